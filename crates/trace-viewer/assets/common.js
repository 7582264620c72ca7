// For all pages: elements, durations, names, the colours of services, requests.

// Names and attributes come from outside: they are set as text, never as markup.
export function element(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

// Makes `wanted` the children of `parent`. Those that stay are not moved, so they keep the focus.
export function arrange(parent, wanted) {
  const stay = new Set(wanted);
  for (const child of [...parent.children]) if (!stay.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

// Nanoseconds with three significant digits.
export function duration(nanos) {
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    // What would be rounded to 1000 is written as 1 of the next unit.
    if (nanos >= 0.9995 * size) return `${digits(nanos / size)} ${unit}`;
  }
  return `${Math.round(nanos)} ns`;
}

function digits(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

// A sentence whose numbers stay beside their units.
export const unbroken = (text) => text.replace(/(\d) (?=(?:%|h|min|s|ms|µs|ns)(?![\w]))/g, "$1\u00a0");

// The time of day; of another day its date too.
export function timeOf(when) {
  const sameDay = when.toDateString() === new Date().toDateString();
  return sameDay ? when.toLocaleTimeString() : when.toLocaleString(undefined, { month: "short", day: "numeric", hour: "numeric", minute: "numeric" });
}

export const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

// Long names often differ at their end, so that the middle is what a narrow column cuts.
const TAIL = 8;

export function shortened(name) {
  const chars = [...name];
  if (chars.length <= 2 * TAIL) return [element("span", { class: "cut" }, name)];
  const tail = chars.slice(-TAIL).join("");
  return [element("span", { class: "cut" }, chars.slice(0, -TAIL).join("")), element("span", { class: "tail" }, tail)];
}

// Other services get one of six colours by a hash of their name.
const KNOWN = {
  "frontend": "frontend",
  "dice-roller": "dice-roller",
  "die-service": "die-service",
  "traffic-generator-stage4": "traffic-generator",
};
const OTHERS = 6;

export function serviceClass(service) {
  if (Object.hasOwn(KNOWN, service)) return `service-${KNOWN[service]}`;
  let hash = 0;
  for (const char of service) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return `service-other-${hash % OTHERS}`;
}

export const serviceLabel = (service) =>
  element("span", { class: `service ${serviceClass(service)}` }, element("i", { class: "dot" }), service);

export const LOST = "The viewer does not respond. This page tries again every second.";

// The JSON at `path`; null when the viewer does not respond.
export async function getJson(path) {
  try {
    const response = await fetch(path);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

// Shows a text in the element; an empty one hides it.
export function say(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

// The list as it was left in this tab, with its filters and its place.
const LEFT = "list";

export function leave(place) {
  try {
    sessionStorage.setItem(LEFT, JSON.stringify(place));
  } catch {
    // Storage is switched off: the list opens at its top.
  }
}

export function left() {
  try {
    return JSON.parse(sessionStorage.getItem(LEFT)) ?? {};
  } catch {
    return {};
  }
}

// Links to the list lead back to where it was left.
export function linkBack() {
  const { search } = left();
  if (search) for (const link of document.querySelectorAll("a.back")) link.href = `/${search}`;
}
