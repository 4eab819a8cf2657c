// A picture that can be looked at closely: fitted, at its own pixels, or larger; dragged to move.

import { button, h } from "./dom.js";

const STEP = 1.5;
const MOST = 16;

export class Zoom {
  constructor(alt, source, small) {
    this.level = 0; // 0: fitted
    this.image = h("img", { class: "whole", alt, draggable: "false" });
    this.element = h("div", { class: "zoom", tabindex: "-1" }, this.image);
    this.buttons = h("div", { class: "closer" },
      button("−", () => this.by(-1), { "aria-label": "Farther" }),
      button("1:1", () => this.toggle(), { "aria-label": "Fitted, or own pixels" }),
      button("+", () => this.by(1), { "aria-label": "Closer" }));
    if (small) this.image.src = small;
    this.load(source);
    this.element.addEventListener("dblclick", () => this.toggle());
    this.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.element.addEventListener("pointerdown", (event) => this.drag(event));
  }

  load(source) {
    const loading = new Image();
    loading.addEventListener("load", () => { this.image.src = source; this.apply(); });
    loading.src = source;
  }

  /** Change between fitted and the image's own pixels, or twice those of a small one. */
  toggle() {
    this.level = this.level ? 0 : Math.max(1, this.image.naturalWidth < 300 ? 4 : 1);
    this.apply(true);
  }

  by(steps) {
    const fitted = this.image.clientWidth / (this.image.naturalWidth || 1);
    const level = (this.level || fitted) * STEP ** steps;
    this.level = level <= fitted && !this.level ? 0 : Math.min(MOST, Math.max(0.05, level));
    this.apply(true);
  }

  get text() {
    return this.level ? `${Math.round(this.level * 100)} %` : "fitted";
  }

  apply(centre = false) {
    const zoomed = this.level > 0;
    this.element.classList.toggle("zoomed", zoomed);
    this.image.classList.toggle("coarse", this.level >= 2);
    this.image.style.width = zoomed ? `${this.image.naturalWidth * this.level}px` : "";
    this.element.tabIndex = zoomed ? 0 : -1;
    if (centre && zoomed) {
      this.element.scrollLeft = (this.element.scrollWidth - this.element.clientWidth) / 2;
      this.element.scrollTop = (this.element.scrollHeight - this.element.clientHeight) / 2;
    }
  }

  wheel(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.by(event.deltaY < 0 ? 0.5 : -0.5);
  }

  drag(start) {
    if (!this.level || start.button !== 0) return;
    const { scrollLeft, scrollTop } = this.element;
    this.element.setPointerCapture(start.pointerId);
    const move = (event) => {
      this.element.scrollLeft = scrollLeft + start.clientX - event.clientX;
      this.element.scrollTop = scrollTop + start.clientY - event.clientY;
    };
    this.element.addEventListener("pointermove", move);
    this.element.addEventListener("pointerup", () => this.element.removeEventListener("pointermove", move), { once: true });
  }
}
