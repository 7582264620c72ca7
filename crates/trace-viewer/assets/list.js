// The list of recent traces. It polls once a second for changes, while the page is visible.

import { byId, duration, element, getJson, serviceClass } from "./common.js";

const LISTED = 100;
const EVERY = 1000;

const traces = new Map();
let created = null;
let revision = 0;

async function refresh() {
  const response = await getJson(`/view/traces?since=${revision}`);
  if (response === null) {
    byId("state").textContent = "The viewer does not respond. This page tries again every second.";
    return;
  }
  if (response.created !== created) {
    // The viewer was restarted, with an empty store.
    const first = created === null;
    created = response.created;
    traces.clear();
    byId("traces").replaceChildren();
    if (!first && revision > 0) {
      revision = 0;
      return refresh();
    }
  }
  revision = response.revision;
  for (const trace of response.traces) show(trace);
  removeOldest();
  const { traces: kept, spans, evicted } = response.kept;
  byId("empty").hidden = traces.size > 0;
  byId("state").hidden = traces.size === 0;
  const shown = traces.size < kept ? `the newest ${traces.size} of ${kept} traces` : `${kept} ${kept === 1 ? "trace" : "traces"}`;
  const gone = evicted > 0 ? `; ${evicted} older ones were dropped` : "";
  byId("state").textContent = `${shown}, ${spans} spans in memory${gone}. New ones appear by themselves.`;
}

function show(trace) {
  const item = row(trace);
  const known = traces.get(trace.id);
  if (known) known.item.replaceWith(item);
  else {
    // By start, newest first.
    const after = [...traces.values()].filter((other) => other.start <= trace.start);
    const next = after.reduce((newest, other) => (newest === null || other.start > newest.start ? other : newest), null);
    byId("traces").insertBefore(item, next?.item ?? null);
  }
  traces.set(trace.id, { start: trace.start, item });
}

function removeOldest() {
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

// The first spans as thin bars, which show a fan-out.
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

// `PORT_OFFSET` adds the same number to all ports: the frontend's differs from its default as this page's does.
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
