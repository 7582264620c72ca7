// For both pages: elements, durations, the colours of services, requests.

// Names and attributes come from outside: they are set as text, never as markup.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

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

// The JSON at `path`; null when the viewer does not respond.
export async function getJson(path) {
  try {
    const response = await fetch(path);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
