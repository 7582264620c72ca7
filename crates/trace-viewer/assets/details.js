// What one span recorded: attributes, events, status and log lines, beside the waterfall or below it.

import { byId, count, duration, element, getJson, serviceLabel } from "./common.js";

const panel = byId("details");
let shown = null;
let whenClosed = () => {};
let showMoment = () => {};

const KINDS = {
  server: "The service handled a request from outside.",
  client: "The service called another one and waited for its response.",
  internal: "A step within the service.",
  producer: "The service sent a message that is handled later.",
  consumer: "The service handled a message that was sent earlier.",
  unspecified: "The sender did not say what kind of step this is.",
};

// Opens the panel for a row of the waterfall. `closed` is called when it closes, `moment` with the time, in nanoseconds
// after the start of the trace, at which something happened.
export async function open(traceId, row, closed, moment) {
  shown = row.id;
  whenClosed = closed;
  showMoment = moment;
  const span = await getJson(`/view/traces/${traceId}/spans/${row.id}`);
  // Another row was chosen meanwhile.
  if (shown !== row.id) return;
  panel.replaceChildren(head(row), ...(span ? body(traceId, row, span) : [element("p", {}, "The viewer no longer has this span.")]));
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("with-details");
}

export function close() {
  shown = null;
  panel.hidden = true;
  document.body.classList.remove("with-details");
  whenClosed();
}

function head(row) {
  const button = element("button", { type: "button", class: "close", "aria-label": "Close", title: "Close (Esc)" }, "×");
  button.addEventListener("click", close);
  const figure = (name, value) => element("div", {}, element("dt", {}, name), element("dd", { class: "number" }, value));
  return element(
    "header",
    {},
    element("h2", {}, row.to ? `${row.name} → ${row.to}` : row.name),
    button,
    element("p", { class: "meta" }, serviceLabel(row.service), element("span", {}, row.kind)),
    element("p", { class: "muted kind-text" }, KINDS[row.kind] ?? KINDS.unspecified),
    element("dl", { class: "times" }, figure("Offset", `+${duration(row.start)}`), figure("Duration", duration(row.duration))),
  );
}

function body(traceId, row, span) {
  const parts = [];
  const note = (text) => parts.push(element("p", { class: "status" }, text));
  if (span.status !== "unset") {
    const text = span.message ? `${span.status}: ${span.message}` : span.status;
    parts.push(element("p", { class: `status ${span.status}` }, text));
  }
  if (row.cancelled) note("Cancelled: its caller no longer waited.");
  if (row.orphan) note("Its parent did not arrive.");
  if (row.before > 0) note(`It starts ${duration(row.before)} before its parent: the clocks of the two disagree.`);
  if (span.callee) note(`The service that it called needed ${duration(span.callee)}; the other ${duration(Math.max(row.duration - span.callee, 0))} are network and handling.`);
  parts.push(...section("Attributes", "set by the service", pairs(span.attributes)));
  parts.push(...section("Events", "at a time within the span", ...timeline(span.events, row, (event) => text(event.name)), more(span.more.events, "event")));
  parts.push(...section("Log lines", "written in the span", ...timeline(span.logs, row, logText), more(span.more.logs, "log line")));
  parts.push(...section("Links", "related spans", ...span.links.map(link), more(span.more.links, "link")));
  parts.push(...section("Service", "", pairs({ ...span.resource, ...(span.scope && { scope: span.scope }) })));
  parts.push(...section("Ids", "", ids(traceId, span)));
  return parts;
}

function section(title, what, ...content) {
  const filled = content.filter((part) => part !== null);
  if (filled.length === 0) return [];
  const head = element("h3", {}, title);
  if (what) head.append(" ", element("span", { class: "muted" }, what));
  return [element("section", {}, head, ...filled)];
}

const more = (number, what) => (number > 0 ? element("p", { class: "muted" }, `and ${count(number, `more ${what}`)}`) : null);

function pairs(attributes) {
  const entries = Object.entries(attributes);
  if (entries.length === 0) return null;
  return element("dl", { class: "pairs" }, ...entries.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, text(value))]));
}

function ids(traceId, span) {
  const list = element("dl", { class: "pairs" });
  const add = (name, id) => list.append(element("dt", {}, name), element("dd", {}, element("a", { href: `/trace/${traceId}#${id}` }, id)));
  add("span", span.id);
  if (span.parent) add("parent", span.parent);
  return list;
}

function text(value) {
  if (typeof value === "string") return value;
  // 99.60252799999999 is 99.602528: the last digits are rounding in binary.
  return JSON.stringify(value, (_, part) => (typeof part === "number" && !Number.isInteger(part) ? Number(part.toPrecision(12)) : part));
}

function logText(line) {
  const message = line.message === null ? "" : text(line.message);
  return line.level ? `${line.level} ${message}` : message;
}

// Events and log lines, each with its time after the start of the span, which shows it in the waterfall.
function timeline(list, row, name) {
  return list.map((entry) => {
    const since = entry.at - row.start;
    const sign = since < 0 ? "−" : "+";
    const failed = /^(ERROR|FATAL)/.test(entry.level ?? "") ? " error" : "";
    const when = element("button", { type: "button", class: "when number", title: "Show this time in the waterfall" }, `${sign}${duration(Math.abs(since))}`);
    when.addEventListener("click", () => showMoment(entry.at));
    return element(
      "div",
      { class: "moment" },
      when,
      element("div", {}, element("span", { class: `moment-name${failed}` }, name(entry)), pairs(named(entry)) ?? ""),
    );
  });
}

// OpenTelemetry's "event name" of a log record is no attribute.
function named({ event, attributes }) {
  return event ? { "event name": event, ...attributes } : attributes;
}

function link(target) {
  const to = element("a", { href: `/trace/${target.trace}#${target.span}` }, `${target.trace}, span ${target.span}`);
  return element("div", {}, element("p", { class: "link" }, to), pairs(target.attributes) ?? "");
}
