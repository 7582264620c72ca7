// Rows of equal height, of which only those in sight are in the page.

import { arrange, byId } from "./common.js";

// Rows above and below those in sight, so that scrolling finds them drawn.
const BEYOND = 12;
// Pixels between the current row and the edge of what is in sight.
const MARGIN = 6;

export class Rows {
  #place;
  #make;
  #rows = [];
  #made = new Map();
  #height = 0;
  #current = null;
  #focusable;

  // `make(row, index)` makes the element of a row, which has an `id`. One of the rows can have the focus if `focusable`.
  constructor(place, make, focusable = true) {
    this.#place = place;
    this.#make = make;
    this.#focusable = focusable;
    let waiting = false;
    const soon = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        this.#draw();
      });
    };
    addEventListener("scroll", soon, { passive: true });
    // Wide and narrow pages have rows of different height.
    new ResizeObserver(() => {
      this.redraw();
      if (!(byId("details")?.hidden ?? true)) this.reveal();
    }).observe(document.documentElement);
  }

  get current() {
    return this.#current;
  }

  get index() {
    return this.#rows.findIndex((row) => row.id === this.#current);
  }

  set(rows) {
    this.#rows = rows;
    if (!rows.some((row) => row.id === this.#current)) this.#current = rows[0]?.id ?? null;
    this.redraw();
  }

  // Makes all rows anew.
  redraw() {
    const hadFocus = this.#place.contains(document.activeElement);
    this.#made.clear();
    this.#height = 0;
    this.#place.replaceChildren();
    this.#draw();
    if (hadFocus) this.#made.get(this.#current)?.focus({ preventScroll: true });
  }

  #draw() {
    if (this.#rows.length === 0 || this.#place.offsetParent === null) return;
    if (this.#height === 0) {
      const probe = this.#make(this.#rows[0], 0);
      this.#place.append(probe);
      this.#height = Math.max(probe.offsetHeight, 1);
      probe.remove();
      this.#place.style.height = `${this.#height * this.#rows.length}px`;
    }
    const above = -this.#place.getBoundingClientRect().top;
    const from = Math.max(Math.floor(above / this.#height) - BEYOND, 0);
    const to = Math.min(Math.ceil((above + innerHeight) / this.#height) + BEYOND, this.#rows.length);
    const wanted = new Set();
    for (let index = from; index < to; index++) wanted.add(index);
    // The row with the focus stays, wherever it is.
    if (this.index >= 0) wanted.add(this.index);
    const elements = [...wanted].sort((a, b) => a - b).map((index) => this.#element(index));
    for (const [id, made] of this.#made) if (!elements.includes(made)) this.#made.delete(id);
    arrange(this.#place, elements);
  }

  #element(index) {
    const row = this.#rows[index];
    let made = this.#made.get(row.id);
    if (!made) {
      made = this.#make(row, index);
      made.dataset.id = row.id;
      made.style.top = `${index * this.#height}px`;
      if (this.#focusable) made.tabIndex = row.id === this.#current ? 0 : -1;
      this.#made.set(row.id, made);
    }
    return made;
  }

  // Makes the row the one that the keys act on.
  choose(index, focus = true) {
    const row = this.#rows[index];
    if (!row) return;
    const before = this.#made.get(this.#current);
    if (before) before.tabIndex = -1;
    this.#current = row.id;
    this.reveal();
    this.#draw();
    const made = this.#made.get(row.id);
    if (!made) return;
    made.tabIndex = 0;
    if (focus) made.focus({ preventScroll: true });
  }

  // Scrolls so that the current row is neither under the head nor under the details.
  reveal() {
    const { index } = this;
    if (index < 0 || this.#height === 0) return;
    const top = this.#place.getBoundingClientRect().top + index * this.#height;
    const first = document.querySelector(".head")?.offsetHeight ?? 0;
    const panel = byId("details");
    const below = panel && !panel.hidden && getComputedStyle(panel).position === "fixed" ? panel.getBoundingClientRect() : null;
    // Beside the rows it covers none.
    const last = below && below.left < 1 ? below.top : innerHeight;
    if (top < first) scrollBy(0, top - first - MARGIN);
    else if (top + this.#height + MARGIN > last) scrollBy(0, top + this.#height + MARGIN - last);
  }
}
