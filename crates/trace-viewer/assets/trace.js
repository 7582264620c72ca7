// The page of one trace. It polls until nothing more is expected.

import { LOST, byId, count, duration, element, getJson, linkBack, say, serviceLabel, unbroken } from "./common.js";
import { addressed, draw, loadWith, openAddressed } from "./waterfall.js";

const EVERY = 1000;
// Exporters send every few seconds: a new trace may not have arrived yet.
const PATIENCE = 60_000;
// Services in the legend; the others are counted.
const LEGEND = 12;

const id = decodeURIComponent(location.pathname.split("/").pop());
const opened = Date.now();
let revision = 0;
let notes = "";
// The first row that is drawn.
let from = 0;
// The span that the address names and the trace does not have.
let missing = "";
let opening = false;
let settled = false;

async function follow() {
  const drawn = from;
  const trace = await getJson(`/view/traces/${encodeURIComponent(id)}?${new URLSearchParams({ since: revision, from })}`);
  // Another part was loaded meanwhile.
  if (drawn !== from) return setTimeout(follow, EVERY);
  const again = trace === null ? unreachable() : trace.known ? known(trace) : unknown(trace);
  if (again) setTimeout(follow, EVERY);
}

// Shows another part of the trace: the rows from a number on, or those with a span.
async function load(wanted) {
  const trace = await getJson(`/view/traces/${encodeURIComponent(id)}?${new URLSearchParams(wanted)}`);
  if (trace?.rows) known(trace);
}

async function openWherever() {
  if (opening) return;
  opening = true;
  if (!openAddressed()) await load({ span: addressed() });
  missing = openAddressed() ? "" : addressed();
  opening = false;
  tell();
}

function unreachable() {
  say("state", LOST);
  return true;
}

function unknown({ reason }) {
  if (revision > 0) {
    say("state", "The viewer no longer has this trace: the oldest ones are dropped when its memory is full.");
    return false;
  }
  if (reason) {
    say("state", `This is not a trace id: ${reason}.`);
    return false;
  }
  const waiting = Date.now() - opened < PATIENCE;
  say(
    "state",
    waiting
      ? "This trace has not arrived yet. Services send their spans every few seconds; this page shows it when it has arrived."
      : "No trace with this id has arrived. The viewer may have dropped it, or its service sends spans elsewhere.",
  );
  return waiting;
}

function known(trace) {
  if (trace.rows) {
    const first = revision === 0;
    ({ revision, from } = trace);
    notes = about(trace);
    part(trace);
    title(trace.trace);
    links(trace);
    byId("picture").hidden = false;
    figures(trace);
    draw(trace);
    if (first || missing) openWherever();
    document.body.dataset.complete = String(trace.complete);
  }
  settled = trace.settled;
  tell();
  return !settled;
}

function tell() {
  const complete = document.body.dataset.complete === "true";
  const end = complete ? "" : settled ? " The program that made it may send its spans elsewhere, or none." : " Still arriving: this page updates by itself.";
  const lost = missing ? `The span ${missing}, which the address names, is not in this trace. ` : "";
  say("state", `${lost}${notes}${end}`.trim());
}

// Which part of a long trace is drawn, and the way to the others.
function part({ trace, rows }) {
  byId("part").hidden = rows.length === trace.spans;
  const last = from + rows.length;
  byId("part-text").textContent = `Rows ${(from + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${trace.spans.toLocaleString("en")}.`;
  byId("earlier").disabled = from === 0;
  byId("later").disabled = last >= trace.spans;
  byId("earlier").onclick = () => load({ from: from - 1 });
  byId("later").onclick = () => load({ from: last });
}

// What is unusual about the trace.
function about({ has_root: hasRoot, orphans, arriving, rows, refused }) {
  const clocks = rows.filter((row) => row.before > 0).length;
  return [
    !hasRoot && "Its root span is missing.",
    orphans > 0 && `${count(orphans, "span")} ${orphans === 1 ? "has a parent" : "have parents"} that did not arrive.`,
    arriving && "What decided the duration is not known before all has arrived.",
    clocks > 0 && `${count(clocks, "span")} ${clocks === 1 ? "starts" : "start"} before the parent: the clocks of the machines disagree.`,
    refused > 0 && `${refused.toLocaleString("en")} more did not fit into the viewer's memory.`,
  ].filter(Boolean).join(" ");
}

function title({ root, id, spans, errors, services, more_services: moreServices, start, duration: all }) {
  const name = root?.name ?? "Trace";
  document.title = `${name} · ${duration(all)}`;
  byId("title").textContent = name;
  const parts = [
    element("span", {}, duration(all)),
    element("span", {}, count(spans, "span")),
    element("span", {}, count(services.length + moreServices, "service")),
    ...(errors > 0 ? [element("span", { class: "error" }, count(errors, "error"))] : []),
    element("time", { dateTime: new Date(start).toISOString() }, new Date(start).toLocaleString()),
    element("code", { title: "the trace's id" }, id),
  ];
  byId("meta").replaceChildren(...parts);
  const more = services.length + moreServices - Math.min(services.length, LEGEND);
  byId("legend").replaceChildren(
    ...services.slice(0, LEGEND).map((service) => element("li", {}, serviceLabel(service))),
    ...(more > 0 ? [element("li", { class: "muted" }, `and ${count(more, "more service")}`)] : []),
    element("li", { class: "service" }, element("i", { class: "critical-line" }), "critical path: what decided the duration"),
  );
}

function links({ trace, previous }) {
  byId("previous").hidden = !previous;
  if (previous) byId("previous").href = `/compare/${previous}/${trace.id}`;
  byId("map").href = `/trace/${trace.id}/map`;
  byId("download").href = `/view/traces/${trace.id}/otlp.json`;
  byId("links").hidden = false;
}

// The figures are those of the siblings in the sentence; without siblings, of the whole trace.
function figures({ verdict, siblings, trace, rows }) {
  byId("verdict").textContent = unbroken(verdict);
  byId("figures").hidden = !siblings;
  if (siblings) {
    const { what, wall, sum, speedup, peak } = siblings;
    byId("wall").textContent = duration(wall);
    byId("wall-what").textContent = `from the first start to the last end of the ${what}`;
    byId("sum").textContent = duration(sum);
    byId("sum-what").textContent = `what each of the ${what} took, added up`;
    // Nothing overlapped, so nothing was gained.
    byId("speedup").parentElement.hidden = peak === 1;
    byId("speedup").textContent = `${speedup.toFixed(1)}×`;
    byId("peak-concurrency").textContent = String(peak);
  }
  say("shares", rows.length < trace.spans ? "" : shares(rows));
  byId("summary").hidden = false;
}

// Where the time on the critical path went: a call's own time is the network, that of a span with children is handling.
function shares(rows) {
  const parts = { work: 0, handling: 0, network: 0 };
  rows.forEach((row, index) => {
    const own = (row.critical ?? []).reduce((sum, [from, to]) => sum + to - from, 0);
    const below = rows[index + 1]?.depth > row.depth;
    parts[!below ? "work" : row.kind === "client" || row.kind === "producer" ? "network" : "handling"] += own;
  });
  if (parts.handling + parts.network === 0) return "";
  const all = parts.work + parts.handling + parts.network;
  const called = parts.network > 0 ? `, ${duration(parts.network)} network between services` : "";
  return `Where the ${duration(all)} went: ${duration(parts.work)} in steps that call nothing further, ${duration(parts.handling)} handling in the spans above them${called}.`;
}

loadWith(load);
addEventListener("hashchange", openWherever);
linkBack();
follow();
