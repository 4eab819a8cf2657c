// Annotations of an image: their boxes over the picture, and a list to choose one from.

import { badge } from "./cell.js";
import { button, h, key, put } from "./dom.js";
import { visible } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, values) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(values)) made.setAttribute(name, String(value));
  return made;
}

/** Return an annotation as what verdicts are given on. */
export function subject(item, box) {
  return { digest: item.digest, annotation: String(box.id), sample: item.sample, label: box.category, flags: [], said: box.said, box };
}

export class Boxes {
  constructor(app, item, zoom, boxes) {
    this.app = app;
    this.subjects = boxes.map((box) => subject(item, box));
    this.element = h("section", { class: "boxes", "aria-label": "Boxes" });
    this.draw();
    if (zoom && item.width) this.over(zoom, item);
  }

  /** Lay the boxes over the picture, and keep them there however it is fitted. */
  over(zoom, item) {
    this.layer = drawn("svg", { viewBox: `0 0 ${item.width} ${item.height}`, class: "layer", "aria-hidden": "true" });
    zoom.element.append(this.layer);
    const follow = () => {
      const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = zoom.image;
      Object.assign(this.layer.style, { left: `${offsetLeft}px`, top: `${offsetTop}px`, width: `${offsetWidth}px`, height: `${offsetHeight}px` });
    };
    const watch = new ResizeObserver(follow);
    watch.observe(zoom.image);
    watch.observe(zoom.element);
    this.draw();
  }

  draw() {
    const { app } = this;
    const line = (each, at) => h("li", {}, button([
      h("span", {}, h("bdi", {}, visible(each.label)), h("span", { class: "fine" }, ` ${each.annotation}`)),
      badge(each.said, app.reviewer) ?? (each.box.verdict === "keep" ? null : h("span", { class: "fine" }, `build: ${each.box.verdict}`)),
    ], () => app.chooseBox(at), { class: "choice", "aria-pressed": String(app.box === at) }));
    put(this.element, h("h3", {}, `${this.subjects.length} boxes `, key("b")), h("ul", {}, this.subjects.map(line)));
    const shapes = this.subjects.filter((each) => each.box.x !== null).map((each) => {
      const { x, y, w: width, h: height } = each.box;
      const last = each.said[each.said.length - 1]?.action ?? "";
      return drawn("rect", { x, y, width, height, class: `${last}${app.subject() === each ? " chosen" : ""}`, "vector-effect": "non-scaling-stroke" });
    });
    this.layer?.replaceChildren(...shapes);
  }
}
