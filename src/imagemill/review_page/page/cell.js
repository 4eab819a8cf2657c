// One item of the grid: its picture, what it is, why it is here, what was said of it.

import { h } from "./dom.js";
import { score, sign, spoken, tail, verdict, visible } from "./text.js";

/** Return the element of an item that is not here yet. */
export function blank(index) {
  return h("div", { class: "cell blank", role: "option", id: `item-${index}`, "aria-label": "Loading" }, h("div", { class: "well" }));
}

/** Return the element of an item. */
export function cell(store, item, index, { total, current, selected, reviewer, reason }) {
  const pair = Boolean(item.left);
  return h(
    "div",
    {
      class: `cell${pair ? " pair" : ""}${current ? " current" : ""}`,
      role: "option",
      id: `item-${index}`,
      "data-index": index,
      "aria-selected": String(selected),
      "aria-posinset": index + 1,
      "aria-setsize": total,
      "aria-label": spoken(item),
    },
    h("div", { class: "well" }, pair ? [thumb(store, item.left), thumb(store, item.right)] : thumb(store, item), badge(item.said, reviewer)),
    pair ? pairCaption(item) : imageCaption(item, reason),
  );
}

/** Return the small picture of an image, or why there is none. */
export function thumb(store, image) {
  if (image.unread !== null) return h("p", { class: "missing" }, h("strong", {}, "No picture"), visible(image.unread));
  const made = h("img", { src: store.thumb(image), alt: "", decoding: "async", draggable: "false" });
  made.addEventListener("error", () => made.replaceWith(h("p", { class: "missing" }, h("strong", {}, "No picture"))));
  return made;
}

/** Return what people say of an item in one sign each; null where nobody does. */
export function badge(said, reviewer) {
  if (!said.length) return null;
  const last = said[said.length - 1];
  const disputed = said.some((each) => each.state === "overruled");
  const who = last.reviewer === reviewer ? "" : ` · ${visible(last.reviewer)}`;
  const text = last.action ? verdict(last) : last.tags.join(", ") || "note";
  return h("p", { class: `badge ${disputed ? "disputed" : last.action || "opinion"}` },
    h("span", { "aria-hidden": "true" }, disputed ? "⚠" : sign(last.action)), ` ${visible(text)}${who}`);
}

function imageCaption(item, reason) {
  const flag = item.flags.find((each) => each.code === reason) ?? item.flags[0];
  return h("div", { class: "caption" },
    h("bdi", { class: "name", title: visible(item.sample) }, tail(item.sample)),
    h("p", { class: "line" }, labelOf(item), flag?.suggested ? h("span", { class: "to" }, ` → ${visible(flag.suggested)}`) : null),
    h("p", { class: "line fine" }, flag ? `${flag.title} ${score(flag.confidence)}` : "not flagged", item.flags.length > 1 ? ` +${item.flags.length - 1}` : ""),
  );
}

function either(one, two, none) {
  return one === two ? visible(one ?? none) : `${visible(one ?? "–")} | ${visible(two ?? "–")}`;
}

function pairCaption(item) {
  const label = either(item.left.label, item.right.label, "no label");
  const split = either(item.left.split, item.right.split, "");
  const both = split ? `${label} · ${split}` : label;
  return h("div", { class: "caption" },
    h("bdi", { class: "name" }, `${tail(item.left.sample)} | ${tail(item.right.sample)}`),
    h("p", { class: "line" }, both),
    h("p", { class: "line fine" }, `${item.title} ${item.score === null ? "" : item.score.toFixed(3)}${item.turn && item.transform !== "none" && item.transform ? `, ${item.turn}` : ""}`),
  );
}

function labelOf(item) {
  return item.label === null ? h("em", {}, "no label") : h("span", { class: "label" }, visible(item.label));
}
