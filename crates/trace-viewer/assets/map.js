// The map of services: who calls whom, as a picture and as a table.

import { LOST, byId, count, duration, element, getJson, linkBack, say, serviceClass, serviceLabel, svg } from "./common.js";
import { layers } from "./layers.js";

const EVERY = 5000;
// The places of the boxes: `across` and `down` from one to the next, `bend` how far a line goes into the gap between columns.
const BOX = { width: 150, height: 46, across: 274, down: 84, edge: 32, bend: 32 };
// Between two lines that lead back.
const LANE = 18;

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

function picture(map) {
  const { columns, ways } = layers(map);
  // A line needs less height than a box.
  const tall = (item) => (item.name === undefined ? 0 : BOX.height);
  const gap = BOX.down - BOX.height;
  const heights = columns.map((column) => column.reduce((sum, item) => sum + tall(item) + gap, -gap));
  const tallest = Math.max(...heights);
  const places = new Map();
  columns.forEach((column, x) => {
    let down = BOX.edge + 20 + (tallest - heights[x]) / 2;
    for (const item of column) {
      item.place = { x: BOX.edge + x * BOX.across, y: down };
      if (item.name !== undefined) places.set(item.name, item.place);
      down += tall(item) + gap;
    }
  });
  const lowest = BOX.edge + 20 + tallest;
  const width = columns.length * BOX.across - (BOX.across - BOX.width) + 2 * BOX.edge;
  const height = lowest + BOX.edge + ways.filter((way) => way === null).length * LANE;
  const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, svg("path", { d: "M0 0L8 4L0 8Z" }));
  const most = Math.max(...map.calls.map((call) => call.calls), 1);
  const taken = [];
  let lane = lowest;
  const edges = map.calls.map((call, i) => {
    if (ways[i] !== null) return edge(call, forward(ways[i].map((item) => item.place)), most, taken);
    lane += LANE;
    return edge(call, backward(places.get(call.from), places.get(call.to), lane), most, taken);
  });
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

// From the right side of a box to the left side of another one, straight where it passes a column.
function forward(way) {
  const middle = BOX.height / 2;
  const half = (BOX.across - BOX.width) / 2;
  let [x, y] = [way[0].x + BOX.width, way[0].y + middle];
  let path = `M${x} ${y}`;
  let at = null;
  way.slice(1).forEach((place, i) => {
    const isLast = i === way.length - 2;
    const [x2, y2] = [place.x, isLast ? place.y + middle : place.y];
    path += `C${x + half} ${y} ${x2 - half} ${y2} ${x2} ${y2}`;
    // Nearer to what is called: lines that start together have come apart there. Lines that end together come from
    // different sides.
    const side = y > y2 ? 1 : -1;
    at = [x2 - 44, y + 0.84 * (y2 - y) + (side > 0 ? 14 : -5), side];
    [x, y] = [x2 + BOX.width, y2];
    if (!isLast) path += `H${x}`;
  });
  return { path, at };
}

// Below all boxes to the left, or back to the same column.
function backward(from, to, lane) {
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height - 10, to.x, to.y + BOX.height - 10];
  const path = `M${x1} ${y1}C${x1 + BOX.bend} ${y1} ${x1 + BOX.bend} ${lane} ${x1} ${lane}H${x2}C${x2 - BOX.bend} ${lane} ${x2 - BOX.bend} ${y2} ${x2} ${y2}`;
  return { path, at: [(x1 + x2) / 2, lane - 4, -1] };
}

function edge(call, { path, at }, most, taken) {
  // Two labels do not lie on each other.
  while (taken.some(([x, y]) => Math.abs(x - at[0]) < 70 && Math.abs(y - at[1]) < 12)) at[1] += 13 * at[2];
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
    svg("text", { class: "small", x: BOX.width / 2, y: 36, "text-anchor": "middle" }, spans > 0 ? count(spans, "span") : "no spans of its own"),
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
