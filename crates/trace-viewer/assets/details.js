// What one span recorded: attributes, events, status and log lines, beside the waterfall.

import { byId, duration, element, getJson, serviceClass } from "./common.js";

const panel = byId("details");
let shown = null;
let whenClosed = () => {};

// Opens the panel for a row of the waterfall; `closed` is called when it closes.
export async function open(traceId, row, closed) {
  shown = row.id;
  whenClosed = closed;
  const span = await getJson(`/view/traces/${traceId}/spans/${row.id}`);
  // Another row was chosen meanwhile.
  if (shown !== row.id) return;
  panel.replaceChildren(head(row), ...(span ? body(row, span) : [element("p", {}, "The viewer no longer has this span.")]));
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
      { class: "meta" },
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
  parts.push(...section("Attributes", "set by the service", pairs(span.attributes)));
  parts.push(...section("Events", "at a time within the span", ...timeline(span.events, row, (event) => event.name)));
  parts.push(...section("Log lines", "written in the span", ...timeline(span.logs, row, logText)));
  parts.push(...section("Links", "related traces", ...span.links.map(link)));
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

// Events and log lines, each with its time after the start of the span.
function timeline(list, row, name) {
  return list.map((entry) => {
    const since = entry.at - row.start;
    const sign = since < 0 ? "−" : "+";
    const failed = /^(ERROR|FATAL)/.test(entry.level ?? "") ? " error" : "";
    return element(
      "div",
      { class: "moment" },
      element("span", { class: "number muted" }, `${sign}${duration(Math.abs(since))}`),
      element("div", {}, element("span", { class: `moment-name${failed}` }, name(entry)), pairs(entry.attributes) ?? ""),
    );
  });
}

function link(target) {
  return element("p", {}, element("a", { href: `/trace/${target.trace}` }, target.trace));
}
