// Finds spans of the trace by a text in their names, attributes, events or log lines. The viewer looks for it: the page
// has the names of its rows only.

import { byId, count, getJson, say } from "./common.js";

// Time without a key before the viewer is asked.
const PAUSE = 150;

let traceId = null;
let goTo = () => {};
let marked = () => {};
let spans = [];
let ids = new Set();
let all = 0;
let at = -1;
let asked = 0;
let typing = 0;
// The text of the last response.
let text = "";

export const isFound = (id) => ids.has(id);
export const isCurrent = (id) => spans[at]?.id === id;

// `chosen(id)` goes to a span; `changed()` marks others in the waterfall.
export function watch(id, chosen, changed) {
  traceId = id;
  goTo = chosen;
  marked = changed;
}

// Looks again, in a trace that has grown.
export function refresh() {
  if (text !== "") look(false);
}

async function look(andGo) {
  clearTimeout(typing);
  const mine = ++asked;
  const wanted = byId("find").value.trim();
  const now = spans[at]?.id;
  const response = wanted === "" ? { count: 0, spans: [] } : await getJson(`/view/traces/${traceId}/find?${new URLSearchParams({ text: wanted })}`);
  // Another text was typed meanwhile.
  if (mine !== asked) return;
  text = wanted;
  if (response === null) return say("found", "the viewer did not respond in time");
  ({ count: all, spans } = response);
  ids = new Set(spans.map((span) => span.id));
  at = andGo ? -1 : spans.findIndex((span) => span.id === now);
  if (andGo && spans.length > 0) return next(1);
  tell();
  marked();
}

function tell() {
  const place = at >= 0 ? `${at + 1} of ` : "";
  const where = spans[at]?.in ? ` · ${spans[at].in}` : "";
  const first = all > spans.length ? `, of which the first ${spans.length.toLocaleString("en")} are marked` : "";
  say("found", text === "" ? "" : all === 0 ? "no span has this" : `${place}${count(all, "span")}${first}${where}`);
}

export function next(step) {
  if (spans.length === 0) return;
  at = (Math.max(at, step > 0 ? -1 : 0) + step + spans.length) % spans.length;
  tell();
  goTo(spans[at].id);
}

byId("find").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => look(true), PAUSE);
});
byId("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    if (byId("find").value.trim() === text) next(event.shiftKey ? -1 : 1);
    else look(true);
  } else if (event.key === "Escape") {
    byId("find").value = "";
    look(false);
  } else return;
  event.preventDefault();
});
