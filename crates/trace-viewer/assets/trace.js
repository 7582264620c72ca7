// The page of one trace. It polls until nothing more is expected.

import { byId, duration, element, getJson, serviceClass } from "./common.js";
import { draw } from "./waterfall.js";

const EVERY = 1000;
// Exporters send every few seconds: a new trace may not have arrived yet.
const PATIENCE = 60_000;

const id = decodeURIComponent(location.pathname.split("/").pop());
const opened = Date.now();
let revision = 0;
let complete = false;
let missing = "";

async function follow() {
  const trace = await getJson(`/view/traces/${encodeURIComponent(id)}?since=${revision}`);
  const again = trace === null ? unreachable() : trace.known ? known(trace) : unknown(trace);
  if (again) setTimeout(follow, EVERY);
}

function unreachable() {
  say("The viewer does not respond. This page tries again every second.");
  return true;
}

function unknown({ reason }) {
  if (revision > 0) {
    say("The viewer no longer has this trace: the oldest ones are dropped when its memory is full.");
    return false;
  }
  if (reason) {
    say(`This is not a trace id: ${reason}.`);
    return false;
  }
  const waiting = Date.now() - opened < PATIENCE;
  say(
    waiting
      ? "This trace has not arrived yet. Services send their spans every few seconds; this page shows it when it has arrived."
      : "No trace with this id has arrived. The viewer may have dropped it, or its service sends spans elsewhere.",
  );
  return waiting;
}

function known(trace) {
  if (trace.rows) {
    revision = trace.revision;
    complete = trace.complete;
    missing = trace.has_root ? "the parent of some spans is missing" : "its root span is missing";
    title(trace.trace);
    figures(trace);
    draw(trace).then(() => {
      document.body.dataset.complete = String(complete);
    });
  }
  if (complete) say("");
  else if (!trace.settled) say(`Still arriving: ${missing}. This page updates by itself.`);
  else say(`Not complete: ${missing}. The program that made it may send its spans elsewhere, or none.`);
  return !trace.settled;
}

function say(text) {
  if (byId("state").textContent === text) return;
  byId("state").textContent = text;
  byId("state").hidden = text === "";
}

function title({ root, id, spans, errors, services, start, duration: all }) {
  const name = root?.name ?? "Trace";
  document.title = `${name} · ${duration(all)}`;
  byId("title").textContent = name;
  const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
  const parts = [
    element("span", {}, duration(all)),
    element("span", {}, count(spans, "span")),
    element("span", {}, count(services.length, "service")),
    ...(errors > 0 ? [element("span", { class: "error" }, count(errors, "error"))] : []),
    element("time", { dateTime: new Date(start).toISOString() }, new Date(start).toLocaleString()),
    element("code", { title: "the trace's id" }, id),
  ];
  byId("meta").replaceChildren(...parts);
  byId("legend").replaceChildren(
    ...services.map((service) =>
      element("li", { class: `service ${serviceClass(service)}` }, element("i", { class: "dot" }), service),
    ),
    element("li", { class: "service" }, element("i", { class: "critical-line" }), "critical path: what decided the duration"),
  );
}

// The figures are those of the siblings in the sentence; without siblings, of the whole trace.
function figures({ verdict, siblings, trace, rows, refused }) {
  const one = { wall: trace.duration, sum: trace.duration, speedup: 1, peak: 1 };
  const { what, wall, sum, speedup, peak } = siblings ?? one;
  const lost = refused > 0 ? ` ${refused} more did not fit into the viewer's memory.` : "";
  const hidden = rows.length < trace.spans ? ` The waterfall shows the first ${rows.length} spans.` : "";
  byId("verdict").textContent = verdict + hidden + lost;
  byId("wall").textContent = duration(wall);
  byId("wall-what").textContent = what ? `from the first start to the last end of the ${what}` : "the whole trace";
  byId("sum").textContent = duration(sum);
  byId("sum-what").textContent = what ? `what each of the ${what} took, added up` : "there is nothing to add up";
  byId("speedup").textContent = `${speedup.toFixed(1)}×`;
  byId("peak-concurrency").textContent = String(peak);
  byId("summary").hidden = false;
  byId("picture").hidden = false;
}

follow();
