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
    const { id, hasLogs } = contents(text);
    if (!id) return wrong("it has no spans in OTLP/JSON, which begins with {\"resourceSpans\": [");
    const problem = (await send("/view/open", text)) ?? (hasLogs ? await send("/view/open/logs", text) : null);
    if (problem) return wrong(problem);
    location.assign(`/trace/${id}`);
  } catch (error) {
    wrong(error.message);
  }
}

// What is wrong with it; null if all of it is stored. The text is sent as it is: a number may be too large for JavaScript.
async function send(address, text) {
  const response = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: text });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) return answer.message ?? `the viewer responded with ${response.status}`;
  return answer.partialSuccess?.errorMessage ?? null;
}

// The id of its first trace, and whether it has log lines too.
function contents(text) {
  try {
    const { resourceSpans, resourceLogs } = JSON.parse(text);
    const spans = resourceSpans.flatMap((from) => from.scopeSpans ?? []).flatMap((from) => from.spans ?? []);
    const id = spans.map((span) => span.traceId).find((id) => /^[0-9a-f]{32}$/i.test(id))?.toLowerCase();
    return { id, hasLogs: resourceLogs?.length > 0 };
  } catch {
    return {};
  }
}
