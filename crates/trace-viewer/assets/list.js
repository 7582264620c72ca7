// The list of recent traces. It polls once a second for changes, while the page is visible.

import { LOST, arrange, byId, count, duration, element, getJson, leave, left, say, serviceClass, serviceLabel, timeOf } from "./common.js";
import { addressWith, parameters, watch } from "./filters.js";
import { acceptFiles } from "./open.js";

const EVERY = 1000;
const FOLLOWS = "New ones appear by themselves.";
const PAUSED = "Paused.";

const traces = new Map();
const items = new Map();
let ticked = [];
let created = null;
let revision = 0;
let paused = false;
let asked = 0;
// Where the list was when one of its traces was opened.
let returning = left().search === location.search ? left() : null;

async function refresh() {
  const mine = ++asked;
  const query = parameters();
  query.set("since", revision);
  const response = await getJson(`/view/traces?${query}`);
  // The filters changed meanwhile.
  if (mine !== asked) return;
  if (response === null) return say("problem", LOST);
  if (response.invalid) return say("problem", response.invalid);
  if (response.created !== created) {
    // The viewer was restarted, with an empty store.
    const again = created !== null;
    created = response.created;
    if (again) return restart();
  }
  say("problem", "");
  // Nothing changed.
  if (!response.ids) return comeBack();
  for (const trace of response.traces) traces.set(trace.id, trace);
  const unknown = response.ids.some((id) => !traces.has(id));
  // What changed before the last response was not in the list then.
  revision = unknown ? 0 : response.revision;
  show(response);
  if (unknown) return refresh();
  comeBack();
}

function restart() {
  traces.clear();
  items.clear();
  revision = 0;
  return refresh();
}

function show({ ids, traces: changed, kept }) {
  for (const trace of changed) items.delete(trace.id);
  const listed = ids.filter((id) => traces.has(id));
  for (const id of traces.keys()) {
    if (listed.includes(id)) continue;
    traces.delete(id);
    items.delete(id);
  }
  const focused = byId("traces").contains(document.activeElement) ? document.activeElement : null;
  const wanted = listed.map((id) => {
    if (!items.has(id)) items.set(id, item(traces.get(id)));
    return items.get(id);
  });
  arrange(byId("traces"), wanted);
  // An item that was made anew.
  if (focused && !focused.isConnected) items.get(focused.dataset.id)?.querySelector(focused.matches("input") ? "input" : "a")?.focus();
  ticked = ticked.filter((id) => traces.has(id));
  tellTicked();

  const filtered = [...parameters().keys()].length > 0;
  byId("empty").hidden = kept.traces > 0;
  const gone = kept.evicted > 0 ? `; ${count(kept.evicted, "older one")} dropped` : "";
  const all = `${count(kept.traces, "trace")} with ${count(kept.spans, "span")} in memory${gone}`;
  const shown = filtered ? `${count(listed.length, "trace")} with these filters, of ${all}` : listed.length < kept.traces ? `The newest ${listed.length} of ${all}` : all;
  say("state", kept.traces === 0 ? "" : `${shown}. ${paused ? PAUSED : FOLLOWS}`);
  byId("metrics").hidden = !kept.metrics_ignored;
  const services = new Set([...traces.values()].flatMap((trace) => trace.services));
  arrangeOptions([...services].sort());
  const after = Number(parameters().get("after") ?? 0);
  byId("cleared").hidden = after === 0;
  byId("cleared-at").textContent = timeOf(new Date(after));
  byId("uncleared").href = addressWith("after", null);
}

function arrangeOptions(services) {
  const box = byId("services");
  if ([...box.children].map((option) => option.value).join("\n") === services.join("\n")) return;
  box.replaceChildren(...services.map((value) => element("option", { value })));
}

function item(trace) {
  const name = trace.root?.name ?? "first span missing";
  const title = element("span", { class: "trace-name", title: name }, name);
  if (trace.root) title.append(" ", element("span", { class: "muted" }, trace.root.service));
  const services = element("span", { class: "trace-services" }, ...trace.services.map(serviceLabel));
  if (trace.more_services > 0) services.append(element("span", {}, `and ${trace.more_services.toLocaleString("en")} more`));
  const when = new Date(trace.start);
  const link = element(
    "a",
    { class: "trace", href: `/trace/${trace.id}`, "data-id": trace.id },
    title,
    services,
    picture(trace),
    element("span", { class: "trace-duration number" }, duration(trace.duration)),
    element("span", { class: "trace-spans number" }, count(trace.spans, "span")),
    element("span", { class: "trace-errors number" }, trace.errors > 0 ? count(trace.errors, "error") : ""),
    element("time", { class: "trace-when number muted", dateTime: when.toISOString(), title: when.toLocaleString() }, timeOf(when)),
  );
  const box = element("input", { type: "checkbox", checked: ticked.includes(trace.id), "data-id": trace.id, "aria-label": `Compare ${name} of ${timeOf(when)}` });
  box.addEventListener("change", () => tick(trace.id, box.checked));
  return element("li", {}, element("label", { class: "tick", title: "Tick two to compare them" }, box), link);
}

function tick(id, on) {
  ticked = ticked.filter((other) => other !== id);
  if (on) ticked.push(id);
  // Two are compared: a third takes the place of the first.
  for (const other of ticked.splice(0, ticked.length - 2)) {
    const box = items.get(other)?.querySelector("input");
    if (box) box.checked = false;
  }
  tellTicked();
}

function tellTicked() {
  byId("compare").hidden = ticked.length === 0;
  byId("compare-link").hidden = ticked.length < 2;
  say("compare-text", ticked.length === 2 ? "Two traces are ticked." : ticked.length === 1 ? "One trace is ticked. Tick another one to compare the two." : "");
  const [a, b] = ticked.map((id) => traces.get(id)).sort((a, b) => a.start - b.start);
  if (b) byId("compare-link").href = `/compare/${a.id}/${b.id}`;
}

// Spans from all parts of the trace as thin bars, which show a fan-out.
function picture(trace) {
  const box = element("span", { class: "spark", "aria-hidden": "true" });
  const all = Math.max(trace.duration, 1);
  trace.bars.forEach(([start, length, service, failed], i) => {
    const bar = element("i", { class: `${serviceClass(service)}${failed ? " failed" : ""}` });
    // Also a bar at the very end has its least width within the picture.
    bar.style.left = `min(${(100 * start) / all}%, 100% - 2px)`;
    bar.style.width = `${(100 * length) / all}%`;
    bar.style.top = `${(100 * i) / trace.bars.length}%`;
    bar.style.height = `${Math.min(100 / trace.bars.length, 16)}%`;
    box.append(bar);
  });
  return box;
}

function comeBack() {
  if (!returning) return;
  const { id, top, ticked: before = [] } = returning;
  returning = null;
  for (const other of before) {
    const box = items.get(other)?.querySelector("input");
    if (!box) continue;
    box.checked = true;
    tick(other, true);
  }
  const link = items.get(id)?.querySelector("a");
  if (!link) return;
  // New traces may have moved it down: it comes to the same height in the window.
  scrollBy(0, link.getBoundingClientRect().top - top);
  link.focus({ preventScroll: true });
}

byId("traces").addEventListener("click", (event) => {
  const link = event.target.closest("a.trace");
  if (link) leave({ search: location.search, id: link.dataset.id, top: link.getBoundingClientRect().top, ticked });
});

byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.textContent = paused ? "Go on" : "Pause";
  event.target.setAttribute("aria-pressed", String(paused));
  const [from, to] = paused ? [FOLLOWS, PAUSED] : [PAUSED, FOLLOWS];
  byId("state").textContent = byId("state").textContent.replace(from, to);
  if (!paused) refresh();
});

byId("clear").addEventListener("click", () => {
  const newest = Math.max(...[...traces.values()].map((trace) => trace.start), 0);
  if (newest === 0) return;
  history.pushState(null, "", addressWith("after", newest));
  restart();
});

async function follow() {
  if (!document.hidden && !paused) await refresh();
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
watch(restart);
acceptFiles();
document.addEventListener("visibilitychange", () => document.hidden || paused || refresh());
follow();
