// Two traces on one time axis, span by span. It polls until nothing more is expected of either.

import { axis } from "./axis.js";
import { LOST, byId, duration, element, getJson, linkBack, say, serviceClass, shortened, unbroken } from "./common.js";
import { Rows } from "./rows.js";

const EVERY = 1000;
// Exporters send every few seconds: a new trace may not have arrived yet.
const PATIENCE = 60_000;

const [a, b] = location.pathname.split("/").slice(-2).map(decodeURIComponent);
const opened = Date.now();
const rows = new Rows(byId("rows"), item, false);
let both = null;
let shown = "";
let view = { from: 0, to: 1 };

const CHANGES = { only_a: "only in A", only_b: "only in B", same: "about the same" };

async function follow() {
  const compared = await getJson(`/view/compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}`);
  if (compared === null) say("state", LOST);
  else if (compared.known.every(Boolean)) draw(compared);
  else missing(compared);
  const settled = compared?.a?.settled && compared?.b?.settled;
  if (!settled && (compared === null || both || Date.now() - opened < PATIENCE)) setTimeout(follow, EVERY);
}

function missing({ known, reason }) {
  const which = known[0] ? "B" : known[1] ? "A" : "A and B";
  const waiting = Date.now() - opened < PATIENCE && !reason;
  const why = waiting ? "This page shows the comparison when they have arrived." : "The viewer may have dropped it, or it was sent elsewhere.";
  say("state", reason ? `This is not a trace id: ${reason}.` : `Not here: trace ${which}. ${why}`);
}

function draw(compared) {
  const text = JSON.stringify(compared);
  if (text === shown) return;
  shown = text;
  both = compared;
  const { cut, sentence, same_structure: same } = compared;
  const notes = [
    !(compared.a.settled && compared.b.settled) && "More spans may still arrive.",
    !same && "The two are not built alike.",
    cut > 0 && `${cut.toLocaleString("en")} more spans are not drawn.`,
  ];
  say("state", notes.filter(Boolean).join(" "));
  byId("verdict").textContent = unbroken(sentence);
  side("A", "side-a", compared.a);
  side("B", "side-b", compared.b);
  byId("swap").href = `/compare/${encodeURIComponent(b)}/${encodeURIComponent(a)}`;
  byId("summary").hidden = false;
  byId("picture").hidden = false;
  document.title = `${duration(compared.a.duration)} and ${duration(compared.b.duration)}`;
  redraw();
}

function side(name, place, { id, span, duration: all, start }) {
  const link = span ? element("a", { href: `/trace/${id}#${span}` }, `${id}, span ${span}`) : element("a", { href: `/trace/${id}` }, id);
  byId(place).replaceChildren(
    element("h2", {}, `${name} · `, element("code", {}, link)),
    element("p", { class: "total" }, duration(all)),
    element("p", { class: "muted" }, element("time", { dateTime: new Date(start).toISOString() }, new Date(start).toLocaleString())),
  );
}

function redraw() {
  const all = both.rows.map((row, index) => ({ ...row, id: String(index) }));
  const wanted = byId("only-changes").checked ? all.filter((row) => row.change !== "same") : all;
  const ends = all.flatMap((row) => [row.a, row.b]).filter(Boolean).map((span) => span.start + span.duration);
  const starts = all.flatMap((row) => [row.a, row.b]).filter(Boolean).map((span) => span.start);
  const least = (numbers, first) => numbers.reduce((found, number) => Math.min(found, number), first);
  const most = (numbers, first) => numbers.reduce((found, number) => Math.max(found, number), first);
  view = { from: least(starts, 0), to: most(ends, 1) };
  axis(view);
  byId("spans").setAttribute("aria-rowcount", wanted.length + 1);
  rows.set(wanted);
}

function item(row, index) {
  const name = element(
    "div",
    { class: "name", role: "cell" },
    element(
      "span",
      { class: "main-name" },
      element("i", { class: `dot ${serviceClass(row.service)}` }),
      element("span", { class: "span-name", title: row.name }, ...shortened(row.name)),
    ),
    element("span", { class: "span-service" }, row.service),
    element("span", { class: "kind" }, row.kind),
  );
  name.style.setProperty("--depth", Math.min(row.depth, 12));
  const track = element("div", { class: "track", role: "cell" }, lane(row, row.a), lane(row, row.b));
  const length = (span) => element("div", { class: "length number", role: "cell" }, span ? duration(span.duration) : "—");
  return element(
    "div",
    { class: `row ${row.change}`, role: "row", "aria-rowindex": index + 2 },
    name,
    track,
    length(row.a),
    length(row.b),
    element("div", { class: "change number", role: "cell" }, change(row)),
  );
}

// `ratio` is B's duration by A's.
function change({ change, ratio }) {
  // A difference between two short spans does not count, however large its factor.
  if (change === "same" && (ratio > 1.5 || ratio < 1 / 1.5)) return "negligible";
  if (change !== "slower" && change !== "faster") return CHANGES[change] ?? change;
  if (!(ratio > 0)) return change;
  const factor = ratio >= 1 ? ratio : 1 / ratio;
  return `${factor >= 100 ? "> 100" : factor.toFixed(factor >= 10 ? 0 : 1)}× ${change}`;
}

function lane(row, span) {
  const made = element("div", { class: "lane" });
  if (!span) return made;
  const all = view.to - view.from;
  const share = (nanos) => `${(100 * nanos) / all}%`;
  const bar = element("a", {
    class: ["bar", serviceClass(row.service), span.critical.length > 0 && "critical", span.failed && "failed", span.cancelled && "cancelled"].filter(Boolean).join(" "),
    href: `/trace/${span === row.a ? both.a.id : both.b.id}#${span.id}`,
    "aria-label": `${row.name} in ${span === row.a ? "A" : "B"}: ${duration(span.duration)}${span.failed ? ", failed" : ""}`,
  });
  bar.style.left = share(span.start - view.from);
  bar.style.width = share(span.duration);
  made.append(bar);
  const gap = (4 * all) / Math.max(byId("axis").clientWidth, 1);
  let last = null;
  for (const [from, to] of span.critical) {
    if (last && from - last.to <= gap) {
      last.to = to;
      last.drawn.style.width = share(to - last.from);
      continue;
    }
    const drawn = element("i", { class: "critical-line" });
    drawn.style.left = share(Math.min(from, view.to - gap) - view.from);
    drawn.style.width = share(to - from);
    made.append(drawn);
    last = { from, to, drawn };
  }
  return made;
}

byId("only-changes").addEventListener("change", redraw);
new ResizeObserver(() => both && axis(view)).observe(byId("axis"));
linkBack();
follow();
