// The filters of the list, which live in the address.

import { byId } from "./common.js";

const TEXTS = ["q", "service", "name", "min"];
const TICKS = ["errors", "hide"];
// Time without a key before a typed filter is applied.
const PAUSE = 250;

// A trace id, alone or in a traceparent.
const TRACE_ID = /^(?:[0-9a-f]{2}-)?([0-9a-f]{16,32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?$/i;

export function parameters() {
  const kept = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (value !== "" && [...TEXTS, ...TICKS, "after"].includes(name)) kept.set(name, value);
  }
  return kept;
}

export function traceId(text) {
  return TRACE_ID.exec(text.trim())?.[1].toLowerCase();
}

function fill() {
  const kept = parameters();
  for (const name of TEXTS) byId(name).value = kept.get(name) ?? "";
  for (const name of TICKS) byId(name).checked = kept.has(name);
}

// Changes one parameter; a value of null removes it.
export function addressWith(name, value) {
  const kept = parameters();
  if (value === null) kept.delete(name);
  else kept.set(name, value);
  return kept.size > 0 ? `/?${kept}` : "/";
}

// Calls `changed` whenever the filters changed.
export function watch(changed) {
  const form = byId("filters");
  let typing = 0;
  // Whether the address already has an entry of its own for what is being typed.
  let entered = false;
  const apply = () => {
    clearTimeout(typing);
    const kept = parameters();
    for (const name of TEXTS) {
      const value = byId(name).value.trim();
      if (value === "") kept.delete(name);
      else kept.set(name, value);
    }
    for (const name of TICKS) {
      if (byId(name).checked) kept.set(name, "1");
      else kept.delete(name);
    }
    const address = kept.size > 0 ? `/?${kept}` : "/";
    if (address === location.pathname + location.search) return;
    if (entered) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    entered = true;
    changed();
  };
  const open = () => {
    const id = traceId(byId("q").value);
    if (id) location.assign(`/trace/${id}`);
    return Boolean(id);
  };
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    if (event.target.type === "checkbox") apply();
    else if (event.target.id !== "q") typing = setTimeout(apply, PAUSE);
    // An unfinished query is not valid: it is applied with Enter, or when it is pasted or cleared.
    else if (byId("q").value === "" || (event.inputType === "insertFromPaste" && !open())) apply();
  });
  form.addEventListener("change", () => {
    if (!traceId(byId("q").value)) apply();
    entered = false;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!open()) apply();
    entered = false;
  });
  addEventListener("popstate", () => {
    fill();
    entered = false;
    changed();
  });
  fill();
  form.hidden = false;
}
