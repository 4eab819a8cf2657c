// Two images side by side, with their difference and what takes one to the other.

import { thumb } from "./cell.js";
import { h, key } from "./dom.js";
import { heading, said, why } from "./single.js";
import { score, tail, visible } from "./text.js";
import { Zoom } from "./zoom.js";

/** Return the view of a pair: `{ element, zoom }`; zooming moves both. */
export function pairView(app, item) {
  const zooms = [];
  const side = (image, name, number) => {
    const zoom = image.unread === null ? new Zoom(`${name}: ${visible(image.sample)}`, app.store.whole(image), app.store.thumb(image)) : null;
    if (zoom) zooms.push(zoom);
    const chosen = app.side === name;
    return h("figure", { class: `side${chosen ? " chosen" : ""}` },
      h("div", { class: "stage" }, zoom ? zoom.element : thumb(app.store, image)),
      h("figcaption", {},
        h("button", { type: "button", class: "pick", "aria-pressed": String(chosen), on: { click: () => app.pick(name) } }, name === "left" ? "Left " : "Right ", key(number)),
        h("bdi", { class: "name", title: visible(image.sample) }, tail(image.sample)),
        h("span", { class: "fine" }, [image.label ?? "no label", image.split].filter(Boolean).map(visible).join(" · ")),
        h("span", { class: "fine" }, image.width ? `${image.width} × ${image.height}` : "")));
  };
  const chosen = app.side ? item[app.side] : null;
  const element = h("div", { class: "single two" },
    h("div", { class: "sides" }, side(item.left, "left", "1"), side(item.right, "right", "2")),
    h("div", { class: "panel" },
      h("h2", { class: "sample" }, title(item)),
      h("p", { class: "how" }, how(item)),
      difference(app, item),
      item.left.digest === item.right.digest ? h("p", { class: "fine" }, "Both are one and the same file. A verdict on either holds for both.") : said(app, item),
      chosen
        ? h("section", { class: "of-side", "aria-label": `The ${app.side} image` }, h("h3", {}, `The ${app.side} image`), heading(chosen).slice(1), why(app, chosen), said(app, chosen, `Verdicts on the ${app.side} image`))
        : h("p", { class: "fine hint" }, "To judge one of the two images, choose it first: ", key("1"), " left, ", key("2"), " right.")),
  );
  return { element, zoom: zooms.length ? together(zooms) : null, more: () => {} };
}

function title(item) {
  const name = item.title.charAt(0).toUpperCase() + item.title.slice(1);
  return item.leak ? `${name}, in ${visible(item.left.split ?? "no split")} and ${visible(item.right.split ?? "no split")}` : name;
}

function how(item) {
  const parts = [];
  if (item.score !== null) parts.push(`likeness ${item.score.toFixed(3)}`);
  if (item.distance !== null) parts.push(`${item.distance} bits apart`);
  if (item.similarity !== null) parts.push(`similarity ${score(item.similarity)}`);
  if (item.transform && item.transform !== "none") parts.push(`the right one, ${item.turn}, is the left one`);
  if (item.leak) parts.push(item.removed === null ? "the build removes neither" : `the build removes ${tail(item.removed)}`);
  return parts.join(" · ");
}

function difference(app, item) {
  if (item.left.unread !== null || item.right.unread !== null) return null;
  const source = app.store.difference(item);
  if (!source) return null;
  return h("figure", { class: "side difference" },
    h("div", { class: "stage" }, h("img", { class: "whole", src: source, alt: "Where the two differ: black is equal" })),
    h("figcaption", {}, h("span", { class: "name" }, "Difference"), h("span", { class: "fine" }, item.transform && item.transform !== "none" ? `black is equal, once the right one is ${item.turn}` : "black is equal")));
}

function together(zooms) {
  return {
    toggle: () => zooms.forEach((each) => each.toggle()),
    by: (steps) => zooms.forEach((each) => each.by(steps)),
    get text() { return zooms[0].text; },
    get level() { return zooms[0].level; },
  };
}
