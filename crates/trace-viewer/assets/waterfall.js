// The waterfall: a row for each span, in the order of the tree, over a common time axis.

import { byId, duration, element, serviceClass } from "./common.js";
import { close, open } from "./details.js";

// Rows built without a pause: ten thousand at once would freeze the page.
const AT_ONCE = 500;
// Parts of the critical path closer than this share of the width are drawn as one line.
const GAP = 0.001;

const rows = byId("rows");
let trace = null;
let items = [];
let current = 0;

// Draws the trace; resolves when all rows are drawn. A newer call cancels an older one.
export async function draw(drawn) {
  const hadFocus = rows.contains(document.activeElement);
  const chosen = hadFocus || isOpen() ? items[current]?.dataset.id : undefined;
  trace = drawn;
  const all = Math.max(drawn.trace.duration, 1);
  axis(all);
  profile(drawn.siblings, all);

  const made = drawn.rows.length <= AT_ONCE ? drawn.rows.map((row) => item(row, all)) : await inPieces(drawn, all);
  if (trace !== drawn) return;
  items = made;
  rows.replaceChildren(...items);
  const place = drawn.rows.findIndex((row) => row.id === chosen);
  current = Math.max(place, 0);
  items[current]?.setAttribute("tabindex", "0");
  if (isOpen() && place >= 0) mark();
  if (hadFocus) items[current]?.focus({ preventScroll: true });
}

async function inPieces(drawn, all) {
  const made = [];
  for (let from = 0; from < drawn.rows.length && trace === drawn; from += AT_ONCE) {
    made.push(...drawn.rows.slice(from, from + AT_ONCE).map((row) => item(row, all)));
    await new Promise((done) => setTimeout(done));
  }
  return made;
}

function item(row, all) {
  const share = (nanos) => `${(100 * nanos) / all}%`;
  const service = serviceClass(row.service);
  const name = element(
    "div",
    { class: "name" },
    element("i", { class: `dot ${service}` }),
    element("span", { class: "span-name" }, row.name),
    element("span", { class: "span-service muted" }, row.service),
    element("span", { class: "kind" }, row.failed ? `${row.kind} · error` : row.cancelled ? "cancelled" : row.kind),
  );
  // Deeper names would be pushed out of their column.
  name.style.setProperty("--depth", Math.min(row.depth, 12));

  const bar = element("div", {
    class: `bar ${service}${row.critical ? " critical" : ""}${row.failed ? " failed" : ""}${row.cancelled ? " cancelled" : ""}`,
    "data-span-id": row.id,
    "data-name": row.name,
    "data-service": row.service,
  });
  bar.style.left = share(row.start);
  bar.style.width = share(row.duration);
  const track = element("div", { class: "track" }, bar);
  for (const at of row.marks) {
    const mark = element("i", { class: "mark" });
    mark.style.left = share(at);
    track.append(mark);
  }
  for (const [from, to] of joined(row.critical ?? [], GAP * all)) {
    const line = element("i", { class: "critical-line" });
    line.style.left = share(from);
    line.style.width = share(to - from);
    track.append(line);
  }
  return element(
    "div",
    { class: `row${row.failed ? " failed" : ""}`, role: "treeitem", tabIndex: -1, "aria-level": row.depth + 1, "data-id": row.id },
    name,
    track,
    element("div", { class: "offset number muted" }, row.start === 0 ? "0" : `+${duration(row.start)}`),
    element("div", { class: "length number" }, duration(row.duration)),
  );
}

function joined(segments, gap) {
  const lines = [];
  for (const [from, to] of segments) {
    const last = lines.at(-1);
    if (last && from - last[1] <= gap) last[1] = to;
    else lines.push([from, to]);
  }
  return lines;
}

// Ticks at 1, 2 or 5 times a power of ten.
function axis(all) {
  const wanted = Math.max(byId("axis").clientWidth / 80, 3);
  const power = 10 ** Math.floor(Math.log10(all / wanted));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => all / size <= wanted);
  const ticks = [];
  const lines = [];
  for (let at = 0; at <= all; at += step) {
    const place = `${(100 * at) / all}%`;
    const line = element("i", { class: "line" });
    line.style.left = place;
    lines.push(line);
    const tick = element("span", { class: at > 0.92 * all ? "tick last" : "tick" }, at === 0 ? "0" : round(at));
    tick.style.left = place;
    ticks.push(tick);
  }
  byId("axis").replaceChildren(...ticks);
  byId("grid").firstElementChild.replaceChildren(...lines);
}

// Without trailing zeros.
function round(nanos) {
  const [value, unit] = duration(nanos).split(" ");
  return `${Number(value)} ${unit}`;
}

// The number of siblings in progress over time, as steps.
function profile(siblings, all) {
  const box = byId("profile");
  box.hidden = !siblings;
  if (!siblings) return;
  const atOnce = siblings.peak === 1 ? "one at a time" : `up to ${siblings.peak} at once`;
  byId("profile-name").textContent = `${siblings.what}, ${atOnce}`;
  let path = "M0 1";
  for (const [at, active] of siblings.steps) path += `H${at / all}V${1 - active / siblings.peak}`;
  byId("profile-path").setAttribute("d", `${path}H1V1Z`);
}

function choose(index, andOpen) {
  if (!items[index]) return;
  items[current]?.setAttribute("tabindex", "-1");
  current = index;
  items[current].setAttribute("tabindex", "0");
  items[current].focus();
  if (andOpen) {
    mark();
    open(trace.trace.id, trace.rows[current], hide);
  }
}

function mark() {
  for (const chosen of rows.querySelectorAll("[aria-selected]")) chosen.removeAttribute("aria-selected");
  items[current].setAttribute("aria-selected", "true");
}

function hide() {
  items[current]?.removeAttribute("aria-selected");
  items[current]?.focus();
}

const isOpen = () => !byId("details").hidden;

function parent(index) {
  const { depth } = trace.rows[index];
  for (let above = index - 1; above >= 0; above--) if (trace.rows[above].depth < depth) return above;
  return index;
}

function child(index) {
  return trace.rows[index + 1]?.depth > trace.rows[index].depth ? index + 1 : index;
}

rows.addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (row) choose(items.indexOf(row), true);
});

rows.addEventListener("keydown", (event) => {
  const moves = {
    ArrowDown: () => current + 1,
    ArrowUp: () => current - 1,
    ArrowLeft: () => parent(current),
    ArrowRight: () => child(current),
    Home: () => 0,
    End: () => items.length - 1,
  };
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") choose(current, true);
  else if (Object.hasOwn(moves, event.key)) choose(moves[event.key](), isOpen());
  else return;
  event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isOpen()) close();
});

new ResizeObserver(() => trace && axis(Math.max(trace.trace.duration, 1))).observe(byId("axis"));
