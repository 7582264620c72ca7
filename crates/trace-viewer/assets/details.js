// What one span recorded: attributes, events, status and log lines, beside the waterfall.

import { ask, byId, duration, element, serviceClass } from "./common.js";

const panel = byId("details");
let shown = null;
let whenClosed = () => {};

// Opens the panel for a row of the waterfall; `closed` is called when it closes.
export async function open(traceId, row, closed) {
  shown = row.id;
  whenClosed = closed;
  const span = await ask(`/view/traces/${traceId}/spans/${row.id}`);
  // Who holds an arrow key down is further along than the answers.
  if (shown !== row.id) return;
  panel.replaceChildren(head(row), ...(span ? body(row, span) : [element("p", {}, "The viewer no longer keeps this span.")]));
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
  return element(
    "header",
    {},
    element("h2", {}, row.name),
    button,
    element(
      "p",
      { class: "facts" },
      element("span", { class: `service ${serviceClass(row.service)}` }, element("i", { class: "dot" }), row.service),
      element("span", {}, row.kind),
      element("span", { class: "number" }, duration(row.duration)),
      element("span", { class: "number" }, `+${duration(row.start)}`),
    ),
  );
}

function body(row, span) {
  const parts = [];
  if (span.status !== "unset") {
    const text = span.message ? `${span.status}: ${span.message}` : span.status;
    parts.push(element("p", { class: `status ${span.status}` }, text));
  }
  parts.push(...section("Attributes", "what the service noted about this step", pairs(span.attributes)));
  parts.push(...section("Events", "moments within it", ...moments(span.events, row, (event) => event.name)));
  parts.push(...section("Log lines", "written while it ran", ...moments(span.logs, row, logText)));
  parts.push(...section("Links", "other traces that belong to it", ...span.links.map(link)));
  parts.push(...section("Service", "", pairs({ ...span.resource, ...(span.scope && { scope: span.scope }) })));
  const ids = { span: span.id, ...(span.parent && { parent: span.parent }) };
  parts.push(...section("Ids", "", pairs(ids)));
  return parts;
}

function section(title, what, ...content) {
  const filled = content.filter((part) => part !== null);
  if (filled.length === 0) return [];
  const head = element("h3", {}, title);
  if (what) head.append(" ", element("span", { class: "muted" }, what));
  return [element("section", {}, head, ...filled)];
}

function pairs(attributes) {
  const entries = Object.entries(attributes);
  if (entries.length === 0) return null;
  return element("dl", { class: "pairs" }, ...entries.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, text(value))]));
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function logText(line) {
  const message = text(line.message) ?? "";
  return line.level ? `${line.level} ${message}` : message;
}

// Events and log lines by time, each after the start of the span.
function moments(list, row, name) {
  return list.map((moment) => {
    const since = moment.at - row.start;
    const sign = since < 0 ? "−" : "+";
    const failed = /^(ERROR|FATAL)/.test(moment.level ?? "") ? " error" : "";
    return element(
      "div",
      { class: "moment" },
      element("span", { class: "number muted" }, `${sign}${duration(Math.abs(since))}`),
      element("div", {}, element("span", { class: `moment-name${failed}` }, name(moment)), pairs(moment.attributes) ?? ""),
    );
  });
}

function link(target) {
  return element("p", {}, element("a", { href: `/trace/${target.trace}` }, target.trace));
}
