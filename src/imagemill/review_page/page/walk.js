// Going through a queue: what the URL says, what is drawn, where one stands.

import { blank, cell } from "./cell.js";
import { announce, button, h, put } from "./dom.js";
import { filterPanel, redraw } from "./filters.js";
import { actions, progress } from "./frame.js";
import { pairView } from "./pair.js";
import { address, Queue } from "./queue.js";
import { imageView } from "./single.js";
import { spoken } from "./text.js";
import { mine } from "./verdicts.js";

const NAMES = ["kind", "reason", "label", "split", "verdict", "status", "least", "most", "text", "share", "sort"];
const USUAL = { kind: "images", reason: "", status: "open", sort: "score" };
const MANY = 2000; // that are selected at once

/** A queue, and one's place in it. */
export class Walk {
  // --- the queue and the URL ---

  async fromUrl() {
    const query = new URLSearchParams(location.search);
    const { counts } = this.told;
    this.filters = { ...USUAL, kind: counts.images || !counts.pairs ? "images" : "pairs" };
    for (const name of NAMES) if (query.get(name)) this.filters[name] = query.get(name);
    this.view = query.get("view") === "single" ? "single" : "grid";
    await this.load(query.get("at") ?? "");
  }

  toUrl(push) {
    const query = new URLSearchParams();
    for (const name of NAMES) if (this.filters[name] && (name === "kind" || this.filters[name] !== USUAL[name])) query.set(name, this.filters[name]);
    if (this.view === "single") query.set("view", "single");
    const item = this.queue.pages.get(0) ? this.queue.get(this.index) : null;
    if (item && (this.index || this.view === "single")) query.set("at", address(item));
    const text = query.toString();
    const url = text ? `?${text}` : location.pathname;
    if (this.store.offline) return;
    if (push) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }

  /** Read the queue that the filters ask for, and stand at the item with this address; tell whether
   *  that was still wanted when it came. */
  async load(at = "") {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const told = await this.ask(() => this.store.queue({ ...this.filters, me: this.reviewer }, at));
    if (!told || turn !== this.turn) return false;
    const queue = new Queue(this.store, { ...this.filters, me: this.reviewer }, told);
    queue.addEventListener("items", (event) => this.arrived(queue, event.detail));
    queue.addEventListener("failed", (event) => this.watch.failed(event.detail));
    this.queue = queue;
    this.index = told.position ?? 0;
    this.selected.clear();
    this.side = null;
    redraw(this.parts.filters, filterPanel(this));
    if (queue.total) await queue.wait(this.index);
    if (queue !== this.queue) return false;
    this.unlaid = true;
    this.render();
    this.people();
    return true;
  }

  arrived(queue, { from, to }) {
    if (queue !== this.queue) return;
    this.grid.refresh([...this.grid.cells.keys()].filter((index) => index >= from && index < to));
  }

  async filter(change) {
    Object.assign(this.filters, change);
    if (change.kind) for (const name of ["least", "most"]) delete this.filters[name];
    this.view = "grid";
    if (!(await this.load())) return;
    this.toUrl(true);
    announce(`${this.queue.total} items`);
  }

  /** Read the queue again: what was judged since is taken out of it. */
  async reload() {
    const item = this.item();
    if (!(await this.load(item ? address(item) : ""))) return;
    this.toUrl(false);
    announce(`${this.queue.total} items`);
  }

  async look(image) {
    this.filters = { ...USUAL, reason: "*", status: "all" };
    this.view = "single";
    if (await this.load(image.digest)) this.toUrl(true);
  }

  item(index = this.index) {
    return this.queue?.total ? this.queue.get(index) : undefined;
  }

  /** Return what a verdict would be on: a box, an image of a pair, an image; null for a whole pair. */
  subject() {
    if (this.view === "single" && this.box !== null) return this.shown?.boxes?.subjects[this.box] ?? null;
    const item = this.item();
    return item?.left ? (this.side ? item[this.side] : null) : item ?? null;
  }

  chooseBox(at) {
    this.box = this.box === at ? null : at;
    this.shown.boxes.draw();
    this.around();
    announce(this.box === null ? "The whole image" : `Box ${at + 1}: ${this.subject().label}`);
  }

  nextBox() {
    const { boxes } = this.shown ?? {};
    if (this.view !== "single" || !boxes) return announce("No boxes here");
    const next = this.box === null ? 0 : this.box + 1;
    return this.chooseBox(next < boxes.subjects.length ? next : this.box);
  }

  mine(item) {
    return mine(item, this.reviewer);
  }

  // --- drawing ---

  shape() {
    const phone = innerWidth < 620;
    if (this.filters.kind === "images") return { width: phone ? 150 : 190, height: (width) => Math.round(width) + 66, gap: phone ? 8 : 14 };
    return { width: phone ? 300 : 330, height: (width) => Math.round(width / 2) + 66, gap: phone ? 8 : 14 };
  }

  cell(index) {
    const item = this.queue.get(index);
    if (!item) return blank(index);
    return cell(this.store, item, index, { total: this.queue.total, current: index === this.index, selected: this.selected.has(index), reviewer: this.reviewer, reason: this.filters.reason });
  }

  render() {
    const { parts, queue } = this;
    const single = this.view === "single" && queue.total > 0;
    parts.page.dataset.view = single ? "single" : "grid";
    parts.grid.hidden = single || !queue.total;
    parts.single.hidden = !single;
    parts.empty.hidden = queue.total > 0;
    if (!queue.total) this.nothing();
    put(parts.views, ["grid", "single"].map((name) => button(name === "grid" ? "Grid" : "Single", () => this.show(name), { "aria-pressed": String((name === "single") === single), class: "quiet" })));
    if (single) this.renderSingle();
    else {
      if (this.unlaid) this.grid.show(queue.total);
      else this.grid.layout();
      this.unlaid = false;
      this.grid.reveal(this.index);
      this.grid.refresh();
      parts.grid.setAttribute("aria-activedescendant", `item-${this.index}`);
    }
    this.around();
  }

  /** Draw what depends on the present item but is no picture. */
  around() {
    progress(this);
    actions(this, this.item());
  }

  nothing() {
    const all = this.filters.status === "open" && this.queue.all > 0;
    put(this.parts.empty, h("h2", {}, all ? "All judged" : "Nothing here"),
      h("p", {}, all ? `Each of the ${this.queue.all} in this queue has a verdict. Build again to see what follows: dvc repro` : "No item passes these filters."),
      button(all ? "Show what was judged" : "Take the filters off", () => (all ? this.filter({ status: "judged" }) : this.clear()), { class: "primary" }));
  }

  clear() {
    const { kind } = this.filters;
    this.filters = { ...USUAL, kind, status: "all" };
    return this.filter({});
  }

  async renderSingle() {
    const { index, queue } = this;
    const item = this.item() ?? (await queue.wait(index));
    if (!item || index !== this.index || queue !== this.queue) return;
    const view = item.left ? pairView(this, item) : imageView(this, item);
    const panel = this.parts.single.querySelector(".panel");
    const top = this.drawn === item ? panel?.scrollTop ?? 0 : 0;
    this.shown = view;
    if (this.drawn !== item) this.box = null;
    this.drawn = item;
    put(this.parts.single, view.element);
    view.element.querySelector(".panel").scrollTop = top;
    this.around();
    const next = this.queue.get(index + 1);
    for (const image of next?.left ? [next.left, next.right] : next ? [next] : []) if (image.unread === null && !this.store.offline) new Image().src = this.store.whole(image);
    if (!item.left) this.detail(item, view);
  }

  detail(item, view) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(async () => {
      const told = await this.ask(() => this.store.detail(item.digest));
      if (told && view === this.shown) view.more(told);
    }, 120);
  }

  // --- going about ---

  goto(index, event = {}) {
    const last = this.queue.total - 1;
    if (last < 0) return;
    const to = Math.max(0, Math.min(last, index));
    if (event.shiftKey && this.view === "grid") this.extend(to);
    if (to === this.index && index !== to) announce(index > last ? "The end of the queue" : "The start of the queue");
    const from = this.index;
    this.index = to;
    this.side = null;
    this.box = null;
    if (this.view === "single") {
      this.renderSingle().then(() => { if (this.item()) announce(`${to + 1} of ${last + 1}: ${spoken(this.item())}`); });
    } else {
      this.grid.refresh([from, to]);
      this.grid.reveal(to);
      this.parts.grid.setAttribute("aria-activedescendant", `item-${to}`);
    }
    this.around();
    this.toUrl(false);
  }

  move(step, event) { this.goto(this.index + step, event); }

  moveRow(step, event) { this.goto(this.index + step * (this.view === "grid" ? this.grid.columns : 1), event); }

  movePage(step, event) { this.goto(this.index + step * (this.view === "grid" ? this.grid.columns * this.grid.rows : 10), event); }

  /** Go to the next item of which nobody has said anything. */
  async nextOpen() {
    const { queue } = this;
    for (let index = this.index + 1; index < queue.total; index += 1) {
      const item = queue.get(index) ?? (await queue.wait(index));
      if (queue !== this.queue) return;
      if (item && !item.said.length) return this.goto(index);
    }
    this.goto(this.index);
    announce("None left after this one");
  }

  show(view) {
    if (!this.queue.total) return;
    this.view = view;
    this.render();
    this.toUrl(true);
    (view === "grid" ? this.parts.grid : this.parts.single).focus({ preventScroll: true });
  }

  back() {
    if (this.parts.page.classList.contains("open")) this.drawer();
    else if (this.side) this.pick(this.side);
    else if (this.view === "single") this.show("grid");
    else if (this.selected.size) { this.selected.clear(); this.grid.refresh(); this.around(); }
  }

  zoom(run) {
    if (this.view !== "single") this.show("single");
    if (!this.shown?.zoom) return;
    run(this.shown.zoom);
    announce(`Zoom ${this.shown.zoom.text}`);
  }

  pick(side) {
    if (!this.item()?.left) return;
    this.side = this.side === side ? null : side;
    if (this.view === "single") this.renderSingle();
    else this.show("single");
    announce(this.side ? `The ${side} image is chosen` : "The pair is chosen");
  }

  clicked(event) {
    const hit = event.target.closest(".cell");
    if (!hit?.dataset.index) return;
    const index = Number(hit.dataset.index);
    if (event.ctrlKey || event.metaKey) { this.goto(index); this.toggle(); }
    else if (event.shiftKey) this.goto(index, event);
    else if (index === this.index && event.detail === 1 && this.touched === index) this.show("single");
    else this.goto(index);
    this.touched = index;
  }

  toggle() {
    if (this.view !== "grid") return;
    if (!this.selected.delete(this.index)) this.selected.add(this.index);
    this.anchor = this.index;
    this.grid.refresh([this.index]);
    this.around();
    announce(`${this.selected.size} selected`);
  }

  extend(to) {
    const from = this.selected.size ? this.anchor ?? this.index : (this.anchor = this.index);
    this.selected.clear();
    for (let each = Math.min(from, to); each <= Math.max(from, to); each += 1) this.selected.add(each);
    this.grid.refresh();
    announce(`${this.selected.size} selected`);
  }

  selectAll() {
    if (this.view !== "grid") return;
    const all = Math.min(MANY, this.queue.total);
    for (let each = 0; each < all; each += 1) this.selected.add(each);
    this.grid.refresh();
    this.around();
    announce(`${all} selected`);
  }
}
