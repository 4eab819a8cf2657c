// The grid: of any number of items only those in view are in the document.

import { h } from "./dom.js";

const SPARE = 2; // rows drawn beyond what is in view
const TALLEST = 12_000_000; // pixels; browsers draw nothing below about 16 million

export class Grid {
  /** `draw(index)` gives the element of an item; `shape()` its least width, height and the gap. */
  constructor(element, draw, shape) {
    this.element = element;
    this.draw = draw;
    this.shape = shape;
    this.total = 0;
    this.cells = new Map();
    this.inner = h("div", { class: "cells", role: "presentation" });
    element.append(this.inner);
    element.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.layout()).observe(element);
  }

  /** Show another queue, from its start. */
  show(total) {
    this.total = total;
    this.clear();
    this.element.scrollTop = 0;
    this.layout();
  }

  clear() {
    this.cells.clear();
    this.inner.replaceChildren();
  }

  /** Draw the items again that are in view, or those with these numbers. */
  refresh(indices = [...this.cells.keys()]) {
    for (const index of indices) {
      const old = this.cells.get(index);
      if (old) {
        const fresh = this.placed(index);
        old.replaceWith(fresh);
        this.cells.set(index, fresh);
      }
    }
  }

  layout() {
    const { width, height, gap } = this.shape();
    const style = getComputedStyle(this.element);
    const room = this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (room <= 0) return;
    const anchor = this.first();
    this.columns = Math.max(1, Math.floor((room + gap) / (width + gap)));
    this.cell = (room - gap * (this.columns - 1)) / this.columns;
    this.pitch = height(this.cell) + gap;
    this.gap = gap;
    const full = Math.ceil(this.total / this.columns) * this.pitch;
    // Past a height that browsers can scroll, a pixel of the bar stands for several.
    this.scale = Math.max(1, full / TALLEST);
    this.inner.style.height = `${full / this.scale}px`;
    this.clear();
    if (anchor) this.reveal(anchor, true);
    this.render();
  }

  /** Return the first item in view. */
  first() {
    return this.pitch ? Math.floor((this.element.scrollTop * this.scale) / this.pitch) * this.columns : 0;
  }

  /** Return how many rows are in view. */
  get rows() {
    return Math.max(1, Math.floor(this.element.clientHeight / this.pitch));
  }

  /** Scroll an item into view, no farther than needed. */
  reveal(index, atTop = false) {
    if (!this.pitch) return;
    const top = Math.floor(index / this.columns) * this.pitch;
    const from = this.element.scrollTop * this.scale;
    const seen = this.element.clientHeight;
    if (atTop || top < from) this.element.scrollTop = top / this.scale;
    else if (top + this.pitch > from + seen) this.element.scrollTop = (top + this.pitch - seen) / this.scale;
    this.render();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.render(); });
  }

  render() {
    if (!this.pitch || !this.element.clientHeight) return;
    const from = this.element.scrollTop * this.scale;
    const top = Math.max(0, Math.floor(from / this.pitch) - SPARE);
    const bottom = Math.ceil((from + this.element.clientHeight) / this.pitch) + SPARE;
    const [start, end] = [top * this.columns, Math.min(this.total, bottom * this.columns)];
    for (const [index, cell] of this.cells) {
      if (index < start || index >= end) {
        cell.remove();
        this.cells.delete(index);
      }
    }
    for (let index = start; index < end; index += 1) {
      if (!this.cells.has(index)) {
        const cell = this.placed(index);
        this.cells.set(index, cell);
        this.inner.append(cell);
      } else if (this.scale > 1) this.place(this.cells.get(index), index);
    }
  }

  placed(index) {
    const cell = this.draw(index);
    cell.style.width = `${this.cell}px`;
    cell.style.height = `${this.pitch - this.gap}px`;
    this.place(cell, index);
    return cell;
  }

  place(cell, index) {
    const across = (index % this.columns) * (this.cell + this.gap);
    const real = Math.floor(index / this.columns) * this.pitch;
    const scrolled = this.element.scrollTop;
    const down = this.scale === 1 ? real : scrolled + real - scrolled * this.scale;
    cell.style.transform = `translate(${across}px, ${down}px)`;
  }
}
