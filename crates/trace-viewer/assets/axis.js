// The common time axis, and the number of spans in progress over time.

import { byId, element } from "./common.js";

// Ticks at 1, 2 or 5 times a power of ten. `view` is the stretch of time that is shown, in nanoseconds.
export function axis(view) {
  const all = view.to - view.from;
  const wanted = Math.max(byId("axis").clientWidth / 90, 2);
  const power = 10 ** Math.floor(Math.log10(all / wanted));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => all / size <= wanted);
  const ticks = [];
  const lines = [];
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    const place = `${(100 * (at - view.from)) / all}%`;
    const line = element("i", { class: "line" });
    line.style.left = place;
    lines.push(line);
    const share = (at - view.from) / all;
    const tick = element("span", { class: share > 0.9 ? "mark-at last" : share < 0.02 ? "mark-at first" : "mark-at" }, at === 0 ? "0" : round(at, step));
    tick.style.left = place;
    ticks.push(tick);
  }
  byId("axis").replaceChildren(...ticks);
  byId("grid").firstElementChild.replaceChildren(...lines);
}

// With as many digits as tell two ticks apart, and without trailing zeros.
function round(nanos, step) {
  const [unit, size] = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]].find(([, size]) => nanos >= size) ?? ["ns", 1];
  const places = Math.max(0, Math.ceil(-Math.log10(step / size)));
  return `${Number((nanos / size).toFixed(Math.min(places, 9)))} ${unit}`;
}

// The number of siblings in progress over time, as steps.
export function profile(siblings, view) {
  const box = byId("profile");
  box.hidden = !siblings;
  if (!siblings) return;
  const atOnce = siblings.peak === 1 ? "one at a time" : `up to ${siblings.peak} at once`;
  byId("profile-name").textContent = `${siblings.what}, ${atOnce}`;
  const all = view.to - view.from;
  const x = (at) => Math.min(Math.max((at - view.from) / all, 0), 1);
  let path = "M0 1";
  for (const [at, active] of siblings.steps) path += `H${x(at).toFixed(5)}V${(1 - active / siblings.peak).toFixed(3)}`;
  byId("profile-path").setAttribute("d", `${path}H1V1Z`);
}

// Calls `zoom(from, to)`, in shares of the width, when a stretch of the axis was drawn with the pointer.
export function selectOn(place, zoom) {
  const shade = element("div", { class: "selection", hidden: true });
  let began = null;
  const share = (event) => {
    const { left, width } = place.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - left) / width, 0), 1);
  };
  place.parentElement.append(shade);
  place.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    began = share(event);
    place.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  place.addEventListener("pointermove", (event) => {
    if (began === null) return;
    const [from, to] = [began, share(event)].sort((a, b) => a - b);
    const left = place.offsetLeft + from * place.offsetWidth;
    shade.hidden = false;
    shade.style.left = `${left}px`;
    shade.style.width = `${(to - from) * place.offsetWidth}px`;
  });
  const end = (event) => {
    if (began === null) return;
    const [from, to] = [began, share(event)].sort((a, b) => a - b);
    began = null;
    shade.hidden = true;
    // A click is no stretch.
    if (event.type === "pointerup" && (to - from) * place.offsetWidth > 4) zoom(from, to);
  };
  place.addEventListener("pointerup", end);
  place.addEventListener("pointercancel", end);
}

