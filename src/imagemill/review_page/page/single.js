// One image, large, with everything that is known of it.

import { Boxes } from "./boxes.js";
import { badge, thumb } from "./cell.js";
import { button, h, key, put } from "./dom.js";
import { bytes, count, moment, score, sign, tail, verdict, visible } from "./text.js";
import { Zoom } from "./zoom.js";

/** Return the view of an image: `{ element, zoom, more(detail) }`. */
export function imageView(app, item) {
  const alt = `${visible(item.sample)}, ${item.label === null ? "no label" : `labelled ${visible(item.label)}`}`;
  const zoom = item.unread === null ? new Zoom(alt, app.store.whole(item), app.store.thumb(item)) : null;
  const strips = h("div", { class: "strips" });
  const facts = h("div", { class: "facts" });
  const boxes = h("div", {});
  const element = h("div", { class: "single" },
    h("figure", { class: "stage" }, zoom ? [zoom.element, zoom.buttons] : thumb(app.store, item)),
    h("div", { class: "panel" }, heading(item), why(app, item), said(app, item), boxes, strips, facts),
  );
  const view = { element, zoom, boxes: null };
  view.more = (detail) => {
    if (detail.boxes.length) view.boxes = new Boxes(app, item, detail.facts.orientation > 1 ? null : zoom, detail.boxes);
    put(boxes, view.boxes?.element);
    fill(app, item, strips, detail);
    put(facts, measured(detail));
  };
  return view;
}

/** Return the names of an image. */
export function heading(item) {
  const chips = [
    h("span", { class: "chip strong" }, item.label === null ? "no label" : visible(item.label)),
    item.new_label !== item.label && item.verdict !== "remove" ? h("span", { class: "chip" }, `now ${visible(item.new_label)}`) : null,
    item.split ? h("span", { class: "chip" }, visible(item.split)) : null,
    item.identity && item.identity !== item.label ? h("span", { class: "chip" }, visible(item.identity)) : null,
    h("span", { class: `chip build ${item.verdict}` }, item.verdict === "remove" ? "build removes it" : item.verdict === "relabel" ? "build relabels it" : "build keeps it"),
  ];
  return [
    h("h2", { class: "sample" }, h("bdi", {}, tail(item.sample))),
    h("p", { class: "path fine" }, h("bdi", {}, visible(item.sample))),
    h("p", { class: "chips" }, chips),
  ];
}

/** Return why an image is in the queue. */
export function why(app, item) {
  if (!item.flags.length) return null;
  return h("section", { class: "why", "aria-label": "Why it is here" },
    h("h3", {}, "Why it is here"),
    h("ul", {}, item.flags.map((flag) => h("li", {},
      h("p", {}, h("strong", {}, flag.title), flag.confidence === null ? null : meter(flag.confidence), flag.source ? h("span", { class: "fine" }, by(flag.source)) : null),
      flag.detail ? h("p", { class: "fine" }, h("bdi", {}, visible(flag.detail))) : null,
      flag.suggested ? button([`→ ${visible(flag.suggested)} `, key("a")], () => app.relabel(flag.suggested), { class: "suggest", "aria-label": `Relabel to ${visible(flag.suggested)}, as is suggested` }) : null,
    ))),
  );
}

const BY = { check: "by a check", copies: "", suspects: "by its neighbours" };

function by(source) {
  return BY[source] ?? `by ${visible(source.replace(":", " "))}`;
}

function meter(confidence) {
  return h("span", { class: "meter" }, h("meter", { min: 0, max: 1, value: confidence, "aria-hidden": "true" }), score(confidence));
}

/** Return what people say of an item. */
export function said(app, item, title = "Verdicts") {
  return h("section", { class: "said", "aria-label": title },
    h("h3", {}, title),
    item.said.length ? h("ul", {}, item.said.map((each) => h("li", { class: each.state },
      h("p", {}, h("span", { class: `mark ${each.action || "opinion"}`, "aria-hidden": "true" }, sign(each.action)), " ",
        h("strong", {}, verdict(each)), ` by ${each.reviewer === app.reviewer ? "you" : visible(each.reviewer)}`,
        each.state === "overruled" ? h("span", { class: "fine" }, " (overruled by a later word)") : null),
      each.tags.length ? h("p", { class: "chips" }, each.tags.map((tag) => h("span", { class: "chip" }, visible(tag)))) : null,
      each.note ? h("p", { class: "note" }, h("bdi", {}, visible(each.note))) : null,
      h("p", { class: "fine" }, moment(each.time)),
    ))) : h("p", { class: "fine" }, "Nobody has judged it."),
  );
}

function fill(app, item, strips, detail) {
  const parts = [];
  if (detail.neighbours.length) parts.push(strip(app, "Most like it", detail.neighbours, (each) => score(each.likeness)));
  const name = item.identity ?? item.label;
  if (name !== null && !app.store.offline) {
    const by = item.identity === null ? "label" : "identity";
    const room = h("div", {});
    const show = button([`All of ${visible(name)} `, key("i")], () => whole(app, room, by, name), { class: "quiet", id: "show-same" });
    parts.push(h("section", { "aria-label": `All of ${visible(name)}` }, show, room));
  }
  put(strips, parts);
}

async function whole(app, room, by, name) {
  const told = await app.ask(() => app.store.same(by, name, 0));
  if (!told) return;
  const more = told.total > told.items.length ? h("p", { class: "fine" }, `the first ${count(told.items.length)} of ${count(told.total)}`) : null;
  put(room, strip(app, `${count(told.total)} images of ${visible(name)}`, told.items, (each) => visible(each.split ?? "")), more);
}

function strip(app, title, images, note) {
  return h("section", { class: "strip", "aria-label": title },
    h("h3", {}, title),
    h("ul", {}, images.map((each) => h("li", {},
      h("button", { type: "button", title: visible(each.sample), "aria-label": `${tail(each.sample)}, ${visible(each.label ?? "no label")}, ${note(each)}`, on: { click: () => app.look(each) } },
        h("span", { class: "well" }, thumb(app.store, each), badge(each.said, app.reviewer)),
        h("span", { class: "fine label" }, visible(each.label ?? "–")), h("span", { class: "fine" }, note(each))),
    ))),
  );
}

const NAMES = { bytes: "file", gps: "tells the place", taken: "taken", saturation: "colour", quality: "JPEG quality" };

function measured(detail) {
  const { samples, ...values } = detail.facts;
  const size = values.width ? [["pixels", `${values.width} × ${values.height}`]] : [];
  const rows = Object.entries(values).filter(([name, value]) => !["width", "height"].includes(name) && value !== false && !(name === "orientation" && value === 1) && !(name === "frames" && value === 1));
  const others = samples.length > 1 ? h("p", { class: "fine" }, `The same file is also: ${samples.slice(1, 6).map(visible).join(", ")}${samples.length > 6 ? ", …" : ""}`) : null;
  const past = detail.history.length > 1 ? h("details", {}, h("summary", {}, `History: ${detail.history.length} entries`), h("ul", {}, detail.history.map((each) => h("li", { class: "fine" }, `${moment(each.time)} · ${visible(each.reviewer)}: ${verdict(each)} ${each.tags.map(visible).join(", ")} (${each.state.replace("_", " ")})`)))) : null;
  return [
    h("details", { class: "measured" }, h("summary", {}, "File and figures"), others,
      h("dl", {}, [...size, ...rows].map(([name, value]) => h("div", {}, h("dt", {}, NAMES[name] ?? name), h("dd", {}, shown(name, value)))))),
    past,
  ];
}

function shown(name, value) {
  if (name === "bytes") return bytes(value);
  if (value === true) return "yes";
  return typeof value === "number" ? String(Number(value.toPrecision(3))) : visible(value);
}
