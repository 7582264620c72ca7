// Opens a file of OTLP/JSON: chosen, or dropped onto the page.

import { byId, element, say } from "./common.js";

export function acceptFiles() {
  const input = byId("file");
  byId("open-file").addEventListener("click", () => input.click());
  input.addEventListener("change", () => input.files[0] && open(input.files[0]));
  const shade = element("div", { class: "drop-shade", hidden: true }, "Drop a file of OTLP/JSON to open its trace");
  document.body.append(shade);
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    shade.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) shade.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    shade.hidden = true;
    open(event.dataTransfer.files[0]);
  });
}

async function open(file) {
  say("problem", "");
  const wrong = (reason) => say("problem", `${file.name} was not opened: ${reason}`);
  try {
    const text = await file.text();
    const id = firstTrace(text);
    if (!id) return wrong("it has no spans in OTLP/JSON, which begins with {\"resourceSpans\": [");
    const response = await fetch("/view/open", { method: "POST", headers: { "content-type": "application/json" }, body: text });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) return wrong(answer.message ?? `the viewer responded with ${response.status}`);
    if (answer.partialSuccess?.errorMessage) return wrong(answer.partialSuccess.errorMessage);
    location.assign(`/trace/${id}`);
  } catch (error) {
    wrong(error.message);
  }
}

function firstTrace(text) {
  try {
    const spans = JSON.parse(text).resourceSpans.flatMap((from) => from.scopeSpans ?? []).flatMap((from) => from.spans ?? []);
    return spans.map((span) => span.traceId).find((id) => /^[0-9a-f]{32}$/i.test(id))?.toLowerCase();
  } catch {
    return undefined;
  }
}
