// The list of recent traces. It asks once a second for what has changed, and only while somebody looks.

import { ask, byId, duration, element, serviceClass } from "./common.js";

const LISTED = 100;
const EVERY = 1000;

const traces = new Map();
let made = null;
let revision = 0;

async function refresh() {
  const answer = await ask(`/view/traces?since=${revision}`);
  if (answer === null) {
    byId("state").textContent = "The viewer does not answer. This page goes on asking.";
    return;
  }
  if (answer.made !== made) {
    // Another viewer than before: what it does not know is gone.
    const first = made === null;
    made = answer.made;
    traces.clear();
    byId("traces").replaceChildren();
    if (!first && revision > 0) {
      revision = 0;
      return refresh();
    }
  }
  revision = answer.revision;
  for (const trace of answer.traces) show(trace);
  forgetOldest();
  const { traces: kept, spans, evicted } = answer.kept;
  byId("empty").hidden = traces.size > 0;
  byId("state").hidden = traces.size === 0;
  const shown = traces.size < kept ? `the newest ${traces.size} of ${kept} traces` : `${kept} ${kept === 1 ? "trace" : "traces"}`;
  const gone = evicted > 0 ? `; ${evicted} older ones made room` : "";
  byId("state").textContent = `${shown}, ${spans} spans in memory${gone}. New ones appear by themselves.`;
}

function show(trace) {
  const item = row(trace);
  const known = traces.get(trace.id);
  if (known) known.item.replaceWith(item);
  else {
    // By start, newest first; a late one finds its place.
    const after = [...traces.values()].filter((other) => other.start <= trace.start);
    const next = after.reduce((newest, other) => (newest === null || other.start > newest.start ? other : newest), null);
    byId("traces").insertBefore(item, next?.item ?? null);
  }
  traces.set(trace.id, { start: trace.start, item });
}

function forgetOldest() {
  const surplus = [...traces.entries()].sort(([, a], [, b]) => b.start - a.start).slice(LISTED);
  for (const [id, { item }] of surplus) {
    item.remove();
    traces.delete(id);
  }
}

function row(trace) {
  const name = trace.root?.name ?? "first span missing";
  const title = element("span", { class: "trace-name" }, name);
  if (trace.root) title.append(" ", element("span", { class: "muted" }, trace.root.service));
  const services = element("span", { class: "trace-services" });
  for (const service of trace.services) {
    services.append(
      element("span", { class: `service ${serviceClass(service)}` }, element("i", { class: "dot" }), service),
    );
  }
  const errors = trace.errors > 0 ? `${trace.errors} ${trace.errors === 1 ? "error" : "errors"}` : "";
  const when = new Date(trace.start);
  const link = element(
    "a",
    { class: "trace", href: `/trace/${trace.id}` },
    title,
    services,
    picture(trace),
    element("span", { class: "trace-duration number" }, duration(trace.duration)),
    element("span", { class: "trace-spans number" }, `${trace.spans} ${trace.spans === 1 ? "span" : "spans"}`),
    element("span", { class: "trace-errors number" }, errors),
    element("time", { class: "trace-when number muted", dateTime: when.toISOString() }, when.toLocaleTimeString()),
  );
  return element("li", {}, link);
}

// The first spans as thin bars, so that a fan-out is seen in the list already.
function picture(trace) {
  const box = element("span", { class: "spark", "aria-hidden": "true" });
  const all = Math.max(trace.duration, 1);
  trace.bars.forEach(([start, length, service, failed], i) => {
    const bar = element("i", { class: `${serviceClass(service)}${failed ? " failed" : ""}` });
    bar.style.left = `${(100 * start) / all}%`;
    bar.style.width = `${(100 * length) / all}%`;
    bar.style.top = `${(100 * i) / trace.bars.length}%`;
    bar.style.height = `${Math.min(100 / trace.bars.length, 16)}%`;
    box.append(bar);
  });
  return box;
}

async function follow() {
  if (!document.hidden) await refresh();
  setTimeout(follow, EVERY);
}

// All ports of the system may be moved together: the frontend is as far from its usual one as this page is.
function findFrontend() {
  const moved = Number(location.port) - 3200;
  if (moved === 0) return;
  const address = `http://${location.hostname}:${8108 + moved}`;
  byId("frontend").href = `${address}/`;
  byId("frontend").textContent = address;
  byId("by-hand").textContent = `curl '${address}/roll-async?die=fair&times=5'`;
}

findFrontend();
document.addEventListener("visibilitychange", () => document.hidden || refresh());
follow();
