// The map of services: who calls whom, as a picture and as a table.

import { LOST, byId, count, duration, element, getJson, linkBack, say, serviceClass, serviceLabel, svg } from "./common.js";

const EVERY = 5000;
const BOX = { width: 150, height: 46, across: 274, down: 84, edge: 24 };

const trace = /^\/trace\/([^/]+)\/map$/.exec(location.pathname)?.[1];
let shown = "";

async function follow() {
  if (!document.hidden) await refresh();
  setTimeout(follow, EVERY);
}

async function refresh() {
  const map = await getJson(trace ? `/view/traces/${trace}/map` : "/view/map");
  if (map === null) return say("state", LOST);
  const text = JSON.stringify(map);
  if (text === shown) return;
  shown = text;
  const empty = map.services.length === 0;
  byId("map").hidden = empty;
  byId("table").hidden = empty;
  const more = [
    map.more_services > 0 && `The ${map.services.length} busiest services are drawn; there are ${map.more_services.toLocaleString("en")} more.`,
    map.more_calls > 0 && `${count(map.more_calls, "more connection")} between them ${map.more_calls === 1 ? "is" : "are"} not drawn.`,
  ].filter(Boolean);
  say("state", empty ? (trace ? "This trace is not in memory." : "No traces yet.") : more.join(" "));
  if (empty) return;
  byId("map").replaceChildren(picture(map));
  byId("table").replaceChildren(table(map));
}

// Each service is in a column right of all that call it, but for calls that lead back.
function columns({ services, calls }) {
  const under = new Map(services.map(({ name }) => [name, []]));
  for (const { from, to } of calls) under.get(from).push(to);
  const called = new Set(calls.map((call) => call.to));
  const first = services.filter(({ name, entries }) => entries || !called.has(name));
  const finished = [];
  const [visited, open] = [new Set(), new Set()];
  const visit = (name) => {
    visited.add(name);
    open.add(name);
    // A call to what is still open leads back.
    under.set(name, under.get(name).filter((to) => !open.has(to)));
    for (const to of under.get(name)) if (!visited.has(to)) visit(to);
    open.delete(name);
    finished.unshift(name);
  };
  for (const { name } of [...first, ...services]) if (!visited.has(name)) visit(name);
  const column = new Map();
  for (const name of finished) {
    const here = column.get(name) ?? 0;
    column.set(name, here);
    for (const to of under.get(name)) column.set(to, Math.max(column.get(to) ?? 0, here + 1));
  }
  const placed = [];
  for (const { name } of services) (placed[column.get(name)] ??= []).push(name);
  return placed;
}

function picture(map) {
  const placed = columns(map);
  const tallest = Math.max(...placed.map((column) => column.length));
  const width = placed.length * BOX.across - (BOX.across - BOX.width) + 2 * BOX.edge;
  const places = new Map();
  placed.forEach((column, x) =>
    column.forEach((name, y) => {
      const down = ((tallest - column.length) * BOX.down) / 2 + y * BOX.down;
      places.set(name, { x: BOX.edge + x * BOX.across, y: BOX.edge + 20 + down });
    }),
  );
  const below = map.calls.some((call) => skipsColumn(places.get(call.from), places.get(call.to))) ? 30 : 0;
  const height = tallest * BOX.down - (BOX.down - BOX.height) + 2 * BOX.edge + 20 + below;
  const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, svg("path", { d: "M0 0L8 4L0 8Z" }));
  const most = Math.max(...map.calls.map((call) => call.calls), 1);
  const taken = [];
  const edges = map.calls.map((call) => edge(call, places, most, taken));
  const nodes = map.services.map((service) => node(service, places.get(service.name)));
  return svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("defs", {}, arrow),
    ...edges.map(([line]) => line),
    ...nodes,
    ...edges.map(([, text]) => text),
  );
}

const skipsColumn = (from, to) => to.x - from.x > BOX.across;

function edge(call, places, most, taken) {
  const [from, to] = [places.get(call.from), places.get(call.to)];
  const middle = BOX.height / 2;
  let path;
  let at;
  if (skipsColumn(from, to)) {
    // Below all boxes.
    const [x1, y1, x2, y2] = [from.x + BOX.width / 2, from.y + BOX.height, to.x + BOX.width / 2, to.y + BOX.height];
    const lowest = Math.max(...[...places.values()].map((place) => place.y)) + BOX.height + 24;
    const control = (y) => y + (lowest - y) / 0.75;
    path = `M${x1} ${y1}C${x1 + 30} ${control(y1)} ${x2 - 30} ${control(y2)} ${x2} ${y2}`;
    at = [(x1 + x2) / 2, lowest - 6];
  } else if (to.x > from.x) {
    const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + middle, to.x, to.y + middle];
    path = `M${x1} ${y1}C${x1 + 40} ${y1} ${x2 - 40} ${y2} ${x2} ${y2}`;
    // Nearer to what is called: lines that start together have come apart there.
    at = [x2 - 48, y1 + 0.75 * (y2 - y1) - 5];
  } else {
    // Back to the left, or within a column: over the top.
    const [x1, y1, x2, y2] = [from.x + BOX.width / 2 + 12, from.y, to.x + BOX.width / 2 - 12, to.y];
    const top = Math.min(y1, y2) - 34;
    path = `M${x1} ${y1}C${x1} ${top} ${x2} ${top} ${x2} ${y2}`;
    at = [(x1 + x2) / 2, top + 6];
  }
  // Two labels do not lie on each other.
  while (taken.some(([x, y]) => Math.abs(x - at[0]) < 70 && Math.abs(y - at[1]) < 12)) at[1] -= 13;
  taken.push(at);
  const line = svg("path", { class: call.failed > 0 ? "edge failed" : "edge", d: path, "stroke-width": 1 + (2 * call.calls) / most, "marker-end": "url(#arrow)" });
  line.append(svg("title", {}, sentence(call)));
  const text = svg("text", { class: "small edge-text", x: at[0], y: at[1], "text-anchor": "middle" }, `${call.calls.toLocaleString("en")} · ${duration(call.median)}`);
  return [line, text];
}

const sentence = (call) =>
  `${call.from} → ${call.to}: ${count(call.calls, "call")}, median ${duration(call.median)}, 95th percentile ${duration(call.p95)}, ${call.failed} failed`;

function node({ name, spans, entries }, { x, y }) {
  const short = [...name].length > 19 ? `${[...name].slice(0, 10).join("")}…${[...name].slice(-8).join("")}` : name;
  const from = entries ? [svg("text", { class: "small", x: BOX.width / 2, y: -6, "text-anchor": "middle" }, `${entries.calls.toLocaleString("en")} from outside`)] : [];
  return svg(
    "g",
    { class: `node ${serviceClass(name)}`, transform: `translate(${x} ${y})` },
    svg("rect", { width: BOX.width, height: BOX.height, rx: 6 }),
    svg("text", { x: BOX.width / 2, y: 20, "text-anchor": "middle" }, short),
    svg("text", { class: "small", x: BOX.width / 2, y: 36, "text-anchor": "middle" }, count(spans, "span")),
    svg("title", {}, name),
    ...from,
  );
}

function table({ services, calls }) {
  const number = (text) => element("td", { class: "number" }, text);
  const row = (from, to, { calls, median, p95, failed }) =>
    element(
      "tr",
      {},
      element("td", {}, from),
      element("td", {}, serviceLabel(to)),
      number(calls.toLocaleString("en")),
      number(duration(median)),
      number(duration(p95)),
      element("td", { class: failed > 0 ? "number error" : "number" }, failed > 0 ? `${failed.toLocaleString("en")} (${Math.max(Math.round((100 * failed) / calls), 1)} %)` : "0"),
    );
  const heads = ["Caller", "Called", "Calls", "Median", "95th percentile", "Failed"];
  const entered = services.filter((service) => service.entries);
  return element(
    "table",
    {},
    element("caption", {}, "Durations are those of the caller's span: they have the time on the network too."),
    element("thead", {}, element("tr", {}, ...heads.map((head, i) => element("th", { scope: "col", class: i > 1 ? "number" : "" }, head)))),
    element(
      "tbody",
      {},
      ...entered.map((service) => row(element("span", { class: "muted" }, "from outside"), service.name, service.entries)),
      ...calls.map((call) => row(serviceLabel(call.from), call.to, call)),
    ),
  );
}

if (trace) {
  byId("about").textContent = "Who calls whom in one trace: how often, how slow, and how many calls failed.";
  byId("of-trace").href = `/trace/${trace}`;
  byId("of-trace").hidden = false;
  byId("of-all").hidden = false;
}
linkBack();
follow();
