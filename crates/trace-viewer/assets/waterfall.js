// The waterfall: a row for each span, in the sequence of the tree, over a common time axis.

import { axis, profile, selectOn } from "./axis.js";
import { byId, duration, element, say, serviceClass, shortened } from "./common.js";
import { close, open } from "./details.js";
import * as find from "./find.js";
import { Rows } from "./rows.js";

// Parts of the critical path that are closer than this, in pixels, are drawn as one line.
const GAP = 4;
// The shortest stretch of time that is shown, in nanoseconds.
const LEAST = 100;

const grid = byId("treegrid");
const rows = new Rows(byId("rows"), item);
const collapsed = new Set();
let trace = null;
// Shows another part of the trace.
let load = async () => {};
// What is not inside a collapsed row.
let visible = [];
let view = { from: 0, to: 1 };
let moment = null;

export function draw(drawn) {
  if (!trace) find.watch(drawn.trace.id, found, () => rows.redraw());
  const whole = !trace || (view.from === 0 && view.to === length());
  trace = drawn;
  trace.rows.forEach((row, index) => (row.index = index));
  if (whole) view = { from: 0, to: length() };
  redraw();
  find.refresh();
}

export const loadWith = (other) => (load = other);

const length = () => Math.max(trace.trace.duration, 1);

function redraw() {
  visible = [];
  let hiddenBelow = Infinity;
  for (const row of trace.rows) {
    if (row.depth > hiddenBelow) continue;
    hiddenBelow = collapsed.has(row.id) ? row.depth : Infinity;
    visible.push(row);
  }
  grid.setAttribute("aria-rowcount", visible.length + 1);
  say("range", view.to - view.from < length() ? `${duration(view.from)} to ${duration(view.to)} of ${duration(length())}` : "");
  byId("whole").disabled = view.to - view.from >= length();
  // The axis is measured, so it comes first.
  axis(view);
  profile(trace.siblings, view);
  rows.set(visible);
}

const hasChildren = (row) => trace.rows[row.index + 1]?.depth > row.depth;

function item(row, index) {
  const all = view.to - view.from;
  const share = (nanos) => `${(100 * nanos) / all}%`;
  const service = serviceClass(row.service);
  const isOpen = !collapsed.has(row.id);
  const twisty = element("span", { class: "twisty", "aria-hidden": "true" }, hasChildren(row) ? (isOpen ? "▾" : "▸") : "");
  const state = [
    row.failed && "error",
    row.cancelled && "cancelled",
    row.orphan && "parent missing",
    row.before > 0 && `starts ${duration(row.before)} before its parent`,
  ].filter(Boolean);
  const name = element(
    "div",
    { class: "name", role: "gridcell" },
    element(
      "span",
      { class: "main-name" },
      twisty,
      element("i", { class: `dot ${service}` }),
      element("span", { class: "span-name", title: row.name }, ...shortened(row.name)),
      row.to ? element("span", { class: "callee" }, `→ ${row.to}`) : "",
      element("span", { class: "state" }, state.join(" · ")),
    ),
    element("span", { class: "span-service" }, row.service),
    element("span", { class: "kind" }, row.kind),
  );
  // Deeper names would be pushed out of their column.
  name.style.setProperty("--depth", Math.min(row.depth, 12));

  const track = element("div", { class: "track", role: "gridcell" });
  if (row.start <= view.to && row.start + row.duration >= view.from) {
    const bar = element("div", {
      class: ["bar", service, row.critical && "critical", row.failed && "failed", row.cancelled && "cancelled"].filter(Boolean).join(" "),
      "data-span-id": row.id,
      "data-name": row.name,
      "data-service": row.service,
    });
    const from = Math.max(row.start, view.from);
    const to = Math.min(row.start + row.duration, view.to);
    bar.style.left = share(from - view.from);
    bar.style.width = share(to - from);
    track.append(bar);
  }
  for (const mark of row.marks ?? []) if (mark >= view.from && mark <= view.to) track.append(line("mark", share(mark - view.from)));
  const gap = (GAP * all) / Math.max(byId("axis").clientWidth, 1);
  for (const [from, to] of joined(row.critical ?? [], gap)) {
    if (to < view.from || from > view.to) continue;
    const [left, right] = [Math.max(from, view.from), Math.min(to, view.to)];
    const drawn = line("critical-line", share(Math.min(left, view.to - gap) - view.from));
    drawn.style.width = share(right - left);
    track.append(drawn);
  }
  if (moment !== null && moment >= view.from && moment <= view.to) track.append(line("moment-line", share(moment - view.from)));

  const classes = ["row", row.failed && "failed", find.isFound(row.id) && "found", find.isCurrent(row.id) && "found-now"];
  const made = element(
    "div",
    { class: classes.filter(Boolean).join(" "), role: "row", "aria-level": row.depth + 1, "aria-rowindex": trace.from + index + 2 },
    name,
    track,
    element("div", { class: "offset number muted", role: "gridcell" }, row.start === 0 ? "0" : `+${duration(row.start)}`),
    element("div", { class: "length number", role: "gridcell" }, duration(row.duration)),
  );
  if (hasChildren(row)) made.setAttribute("aria-expanded", String(isOpen));
  made.setAttribute("aria-selected", String(isShown() && row.id === rows.current));
  return made;
}

function line(kind, left) {
  const made = element("i", { class: kind });
  made.style.left = left;
  return made;
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

const isShown = () => !byId("details").hidden;

function choose(index, andOpen) {
  if (!visible[index]) return;
  rows.choose(index);
  if (andOpen) show(visible[index]);
}

async function show(row) {
  moment = null;
  history.replaceState(history.state, "", `#${row.id}`);
  await open(trace.trace.id, row, hidden, mark);
  for (const chosen of grid.querySelectorAll("[aria-selected='true']")) chosen.setAttribute("aria-selected", "false");
  grid.querySelector(`[data-id="${row.id}"]`)?.setAttribute("aria-selected", "true");
  rows.reveal();
}

function hidden() {
  moment = null;
  history.replaceState(history.state, "", location.pathname + location.search);
  rows.redraw();
  rows.choose(rows.index);
}

// Shows when something happened as a line through all rows.
function mark(nanos) {
  moment = nanos;
  if (nanos < view.from || nanos > view.to) zoom(0, length());
  else rows.redraw();
}

// The span that the address names.
export const addressed = () => location.hash.slice(1).toLowerCase().padStart(16, "0");

// Opens it. Returns whether it is in the rows.
export function openAddressed() {
  if (location.hash.length < 2 || !trace) return true;
  const row = trace.rows.find((row) => row.id === addressed());
  if (!row) return false;
  if (isShown() && rows.current === row.id) return true;
  goTo(row);
  show(row);
  return true;
}

// Goes to a span that was found, also in another part of the trace.
async function found(id) {
  const here = () => trace.rows.find((row) => row.id === id);
  if (!here()) await load({ span: id });
  if (here()) goTo(here(), false);
  rows.redraw();
}

// Makes a row the current one, and visible.
function goTo(row, focus = true) {
  let depth = row.depth;
  let closed = false;
  for (let above = row.index - 1; above >= 0 && depth > 0; above--) {
    if (trace.rows[above].depth >= depth) continue;
    depth = trace.rows[above].depth;
    closed = collapsed.delete(trace.rows[above].id) || closed;
  }
  if (closed) redraw();
  rows.choose(visible.indexOf(row), focus);
}

function fold(row, closed) {
  if (closed) collapsed.add(row.id);
  else collapsed.delete(row.id);
  redraw();
  rows.choose(visible.indexOf(row));
}

function foldAll(closed) {
  collapsed.clear();
  // The root and what it called stay in sight.
  if (closed) for (const row of trace.rows) if (row.depth > 0 && hasChildren(row)) collapsed.add(row.id);
  redraw();
}

function zoom(from, to) {
  const all = Math.min(Math.max(to - from, LEAST), length());
  const begin = Math.min(Math.max(from, 0), length() - all);
  view = { from: begin, to: begin + all };
  redraw();
}

function zoomBy(factor) {
  const row = visible[rows.index];
  // The middle of what is in sight of the current row stays where it is.
  const inSight = row && row.start < view.to && row.start + row.duration > view.from;
  const [from, to] = inSight ? [Math.max(row.start, view.from), Math.min(row.start + row.duration, view.to)] : [view.from, view.to];
  const middle = (from + to) / 2;
  const all = (view.to - view.from) * factor;
  zoom(middle - all / 2, middle + all / 2);
}

const pan = (share) => zoom(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));

function parent(index) {
  const { depth } = visible[index];
  for (let above = index - 1; above >= 0; above--) if (visible[above].depth < depth) return above;
  return index;
}

grid.addEventListener("click", (event) => {
  const made = event.target.closest(".row[data-id]");
  if (!made) return;
  const index = visible.findIndex((row) => row.id === made.dataset.id);
  if (event.target.closest(".twisty") && hasChildren(visible[index])) fold(visible[index], !collapsed.has(made.dataset.id));
  else choose(index, true);
});

grid.addEventListener("keydown", (event) => {
  const { index } = rows;
  const row = visible[index];
  if (!row || event.altKey || event.ctrlKey || event.metaKey || !event.target.closest("#rows")) return;
  const page = Math.max(Math.floor(innerHeight / 60), 5);
  const moves = {
    ArrowDown: index + 1,
    ArrowUp: index - 1,
    PageDown: Math.min(index + page, visible.length - 1),
    PageUp: Math.max(index - page, 0),
    Home: 0,
    End: visible.length - 1,
  };
  const acts = {
    "ArrowLeft": () => (event.shiftKey ? pan(-0.25) : hasChildren(row) && !collapsed.has(row.id) ? fold(row, true) : choose(parent(index), isShown())),
    "ArrowRight": () => (event.shiftKey ? pan(0.25) : collapsed.has(row.id) ? fold(row, false) : hasChildren(row) && choose(index + 1, isShown())),
    "Enter": () => choose(index, true),
    " ": () => choose(index, true),
    "+": () => zoomBy(0.5),
    "-": () => zoomBy(2),
    "0": () => zoom(0, length()),
    "z": () => zoom(row.start - row.duration * 0.05, row.start + row.duration * 1.05),
    "/": () => byId("find").focus(),
    "n": () => find.next(1),
    "p": () => find.next(-1),
    "?": () => (byId("keys").open = !byId("keys").open),
  };
  if (Object.hasOwn(moves, event.key)) choose(moves[event.key], isShown());
  else if (Object.hasOwn(acts, event.key)) acts[event.key]();
  else return;
  event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isShown() && event.target.id !== "find") close();
});

byId("collapse-all").addEventListener("click", () => foldAll(true));
byId("expand-all").addEventListener("click", () => foldAll(false));
byId("zoom-in").addEventListener("click", () => zoomBy(0.5));
byId("zoom-out").addEventListener("click", () => zoomBy(2));
byId("whole").addEventListener("click", () => zoom(0, length()));
selectOn(byId("axis"), (from, to) => {
  const all = view.to - view.from;
  zoom(view.from + from * all, view.from + to * all);
});
new ResizeObserver(() => trace && axis(view)).observe(byId("axis"));
