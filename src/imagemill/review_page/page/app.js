// The page as a whole: what is shown, where one stands, and what becomes of a key or a click.

import { blank, cell } from "./cell.js";
import { choose, matching } from "./choose.js";
import { line, help } from "./dialogs.js";
import { announce, button, put } from "./dom.js";
import { filterPanel, peoplePanel, redraw } from "./filters.js";
import { actions, frame, Kept, message, progress, Theme } from "./frame.js";
import { Grid } from "./grid.js";
import { keymap, listen } from "./keys.js";
import { pairView } from "./pair.js";
import { address, Queue } from "./queue.js";
import { imageView } from "./single.js";
import { spoken, verdict, visible } from "./text.js";
import { changed, mine, Sender, undone } from "./verdicts.js";
import { Watch } from "./watch.js";

const NAMES = ["kind", "reason", "label", "split", "verdict", "status", "least", "most", "text", "share", "sort"];
const USUAL = { kind: "images", reason: "", status: "open", sort: "score" };
const MANY = 2000; // that are selected at once

export class App {
  constructor(store, told) {
    this.store = store;
    this.told = told;
    this.kept = new Kept();
    this.reviewer = this.kept.get("reviewer") || told.reviewer || "";
    this.theme = new Theme(this.kept);
    this.undos = [];
    this.selected = new Set();
    this.side = null;
    this.index = 0;
    this.sender = new Sender(store, told.file);
    this.parts = frame(this);
    this.theme.button = this.parts.theme;
    this.theme.apply();
    this.grid = new Grid(this.parts.grid, (index) => this.cell(index), () => this.shape());
    this.watch = new Watch(this);
    this.bindings = keymap(this);
    this.listen();
  }

  /** Put the page in the document and show what the URL asks for. */
  async open() {
    put(document.getElementById("app"), this.parts.page);
    document.title = `${this.told.dataset} · imagemill review`;
    this.nameChanged();
    await this.fromUrl();
    this.sender.resume();
    this.watch.start();
    if (!this.reviewer) this.askName();
  }

  listen() {
    listen(this.bindings, () => this.kept.get("letters") !== "off");
    addEventListener("popstate", () => this.fromUrl());
    addEventListener("beforeunload", (event) => { if (this.sender.unsaved || this.store.unsent?.()) event.preventDefault(); });
    this.parts.grid.addEventListener("click", (event) => this.clicked(event));
    this.parts.grid.addEventListener("dblclick", (event) => { if (event.target.closest(".cell")) this.show("single"); });
    this.sender.addEventListener("saved", (event) => this.saved(event.detail));
    this.sender.addEventListener("away", () => this.unsaved());
    this.sender.addEventListener("refused", (event) => this.refused(event.detail.error));
  }

  // --- the queue and the URL ---

  async fromUrl() {
    const query = new URLSearchParams(location.search);
    this.filters = { ...USUAL };
    for (const name of NAMES) if (query.get(name)) this.filters[name] = query.get(name);
    this.view = query.get("view") === "single" ? "single" : "grid";
    await this.load(query.get("at") ?? "");
  }

  toUrl(push) {
    const query = new URLSearchParams();
    for (const name of NAMES) if (this.filters[name] && this.filters[name] !== USUAL[name]) query.set(name, this.filters[name]);
    if (this.view === "single") query.set("view", "single");
    const item = this.queue.pages.get(0) ? this.queue.get(this.index) : null;
    if (item && (this.index || this.view === "single")) query.set("at", address(item));
    const text = query.toString();
    const url = text ? `?${text}` : location.pathname;
    if (this.store.offline) return;
    if (push) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }

  /** Read the queue that the filters ask for, and stand at the item with this address. */
  async load(at = "") {
    const told = await this.ask(() => this.store.queue({ ...this.filters, me: this.reviewer }, at));
    if (!told) return;
    const queue = new Queue(this.store, { ...this.filters, me: this.reviewer }, told);
    queue.addEventListener("items", (event) => this.arrived(queue, event.detail));
    queue.addEventListener("failed", (event) => this.watch.failed(event.detail));
    this.queue = queue;
    this.index = told.position ?? 0;
    this.selected.clear();
    this.side = null;
    redraw(this.parts.filters, filterPanel(this));
    if (queue.total) await queue.wait(this.index);
    if (queue !== this.queue) return;
    this.grid.show(queue.total);
    this.render();
    this.people();
  }

  arrived(queue, { from, to }) {
    if (queue !== this.queue) return;
    this.grid.refresh([...this.grid.cells.keys()].filter((index) => index >= from && index < to));
  }

  async filter(change) {
    Object.assign(this.filters, change);
    if (change.kind) for (const name of ["least", "most"]) delete this.filters[name];
    this.view = "grid";
    await this.load();
    this.toUrl(true);
    announce(`${this.queue.total} items`);
  }

  /** Read the queue again: what was judged since is taken out of it. */
  async reload() {
    const item = this.item();
    await this.load(item ? address(item) : "");
    this.toUrl(false);
    announce(`${this.queue.total} items`);
  }

  async look(image) {
    this.filters = { ...USUAL, reason: "*", status: "all" };
    this.view = "single";
    await this.load(image.digest);
    this.toUrl(true);
  }

  item(index = this.index) {
    return this.queue?.total ? this.queue.get(index) : undefined;
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
    return cell(this.store, item, index, { total: this.queue.total, current: index === this.index, selected: this.selected.has(index), reviewer: this.reviewer });
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
      this.grid.layout();
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
    put(this.parts.empty, Object.assign(document.createElement("h2"), { textContent: all ? "All judged" : "Nothing here" }),
      Object.assign(document.createElement("p"), { textContent: all ? `Each of the ${this.queue.all} in this queue has a verdict. Build again to see what follows: dvc repro` : "No item passes these filters." }),
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

  // --- verdicts ---

  /** Say the same of what is selected, or of the present item. */
  act(change) {
    return this.each(() => change, Boolean(change.action));
  }

  relabel(label) {
    return this.act({ action: "relabel", label });
  }

  /** Give each image the label that is suggested for it. */
  accept() {
    const suggested = (image) => image.flags.find((each) => each.suggested)?.suggested;
    return this.each((image) => (suggested(image) ? { action: "relabel", label: suggested(image) } : null), true, "Nothing suggests another label");
  }

  actPair(action) {
    const item = this.item();
    if (!item?.left) return announce("This is not a pair");
    if (item.left.digest === item.right.digest) return announce("Both are one file");
    this.side = null;
    return this.each(() => ({ action }), true, "", true);
  }

  async each(change, advance, otherwise = "", pairs = false) {
    const targets = await this.targets(pairs);
    if (!targets.length) return;
    const reviews = [];
    const undo = [];
    for (const target of targets) {
      const made = change(target);
      if (!made) continue;
      const before = this.mine(target);
      reviews.push(changed(target, before, made));
      undo.push({ target, before });
    }
    if (!reviews.length) return announce(otherwise);
    this.undos.push({ undo, index: this.index });
    this.commit(undo.map(({ target }) => target), reviews);
    if (this.selected.size) { this.selected.clear(); this.grid.refresh(); this.around(); }
    else if (advance && !this.side) this.goto(this.index + 1);
    else this.redrawSaid();
  }

  /** Return the images, or with `pairs` the pairs, of which something is to be said. */
  async targets(pairs = false) {
    if (!this.reviewer) { this.askName(); return []; }
    const indices = this.selected.size ? [...this.selected].sort((a, b) => a - b) : [this.index];
    const items = [];
    for (const index of indices) items.push(this.item(index) ?? (await this.queue.wait(index)));
    const here = items.filter(Boolean);
    if (!here.length || pairs || !here[0].left) return pairs ? here.filter((each) => each.left.digest !== each.right.digest) : here;
    if (!this.side) { announce("Choose an image first: 1 is the left one, 2 the right one"); this.say("Choose an image of the pair first: 1 left, 2 right."); return []; }
    return here.map((each) => each[this.side]);
  }

  /** Show reviews at once, and send them. */
  commit(targets, reviews) {
    for (const [at, target] of targets.entries()) {
      const other = target.said.filter((each) => each.reviewer !== this.reviewer);
      const now = { ...reviews[at], reviewer: this.reviewer, time: new Date().toISOString(), state: "saving" };
      const was = target.said.length;
      target.said = now.action === "withdraw" ? other : [...other, now];
      if (!target.left || this.filters.kind !== "images") this.queue.judged += Math.sign(target.said.length) - Math.sign(was);
    }
    this.last = reviews;
    this.sender.send(this.reviewer, reviews);
    this.around();
  }

  undo() {
    const last = this.undos.pop();
    if (!last) return announce("Nothing to undo");
    const reviews = last.undo.map(({ target, before }) => undone(target, before));
    this.commit(last.undo.map(({ target }) => target), reviews);
    this.goto(last.index);
    this.redrawSaid();
    this.undoing = true;
  }

  redrawSaid() {
    if (this.view === "single") this.renderSingle();
    else this.grid.refresh();
  }

  saved(told) {
    const now = this.queue.patch(told.said);
    this.watch.mine(told);
    message(this.parts, "away", "");
    if (this.view === "grid") this.grid.refresh(now);
    else if (now.includes(this.index)) this.renderSingle();
    const words = told.saved === 1 ? this.words(told.said[0]) : `${told.saved} verdicts`;
    this.say(`Saved: ${words}`);
    announce(`Saved: ${words}`);
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.people(), 1200);
  }

  words(entry) {
    const found = entry.said.findLast((each) => each.reviewer === this.reviewer);
    return found ? [verdict(found), ...found.tags].map(visible).join(", ") : "verdict taken back";
  }

  unsaved() {
    message(this.parts, "away", `The server does not answer. ${this.sender.unsaved} verdicts are kept in this browser and sent when it is back.`);
  }

  refused(error) {
    this.undos.pop();
    message(this.parts, "refused", `Not saved: ${error.message}`, button("Read again", () => { message(this.parts, "refused", ""); this.reload(); }));
    this.reload();
  }

  say(text) {
    this.parts.saved.textContent = text;
  }

  // --- asking ---

  async askLabel() {
    if (!(await this.targets()).length) return;
    const image = (await this.targets())[0];
    const first = [...new Set(image.flags.map((each) => each.suggested).filter(Boolean))].map((value) => ({ value, text: value, note: "suggested" }));
    const rest = (labels) => labels.filter((each) => !first.some((one) => one.value === each)).map((value) => ({ value, text: value, note: value === image.label ? "now" : "" }));
    const find = async (text) => {
      const labels = this.told.labels ?? (await this.ask(() => this.store.labels(text)))?.labels ?? [];
      return matching([...first, ...rest(labels)], text);
    };
    choose({ title: "Relabel to", hint: "Type a part of it; Enter takes the marked one.", find, any: "a new label", chosen: (label) => this.relabel(label) });
  }

  async askTags() {
    const targets = await this.targets();
    if (!targets.length) return;
    const options = () => Object.entries(this.told.tags).map(([value, note]) => ({ value, text: value, note, on: Boolean(this.mine(targets[0])?.tags.includes(value)) }));
    const kept = new Set(this.selected);
    choose({ title: "Tags", hint: "Enter puts a tag on or takes it off; Esc closes.", several: true, find: async (text) => matching(options(), text), chosen: (tag) => { this.selected = new Set(kept); return this.act({ tag }); } });
  }

  async askNote() {
    const pair = Boolean(this.item()?.left) && !this.side;
    const targets = await this.targets(pair);
    if (!targets.length) return;
    line({ title: "Note", label: "Note", hint: "It is kept with your verdict; empty takes it away.", text: this.mine(targets[0])?.note ?? "", empty: true, done: (note) => this.each(() => ({ note }), false, "", pair) });
  }

  askName() {
    line({ title: "Who reviews?", label: "Your name", hint: "Each verdict is kept with the name of who gave it.", text: this.reviewer, done: (name) => { this.reviewer = name; this.kept.set("reviewer", name); this.nameChanged(); this.reload(); } });
  }

  nameChanged() {
    this.parts.who.textContent = this.reviewer || "Who are you?";
    this.parts.who.setAttribute("aria-label", this.reviewer ? `Reviewer: ${visible(this.reviewer)}; change` : "Say who you are");
  }

  /** Write the verdicts of an offline page to a file, for `imagemill review --import`. */
  mail() {
    if (!this.reviewer) return this.askName();
    if (!this.store.written()) return this.say("There are no verdicts yet.");
    this.store.download(this.reviewer);
    this.say(`${this.store.written()} verdicts saved to a file; mail it back.`);
    announce("Verdicts saved to a file");
  }

  help() {
    help(this.bindings, this.kept.get("letters") !== "off", (on) => this.kept.set("letters", on ? "on" : "off"));
  }

  // --- the sides of the page ---

  drawer() {
    const open = this.parts.page.classList.toggle("open");
    this.parts.drawer.setAttribute("aria-expanded", String(open));
    if (open) this.parts.side.querySelector("button")?.focus();
    else this.parts.drawer.focus();
  }

  focusFilters() {
    if (getComputedStyle(this.parts.drawer).display !== "none") this.drawer();
    else this.parts.side.querySelector("button[aria-pressed=true]")?.focus();
  }

  async people() {
    const told = await this.ask(() => this.store.people());
    if (told) put(this.parts.people, peoplePanel(this, told));
  }

  /** Return what a question gives; say what is wrong, and return nothing, where it fails. */
  async ask(question) {
    try {
      return await question();
    } catch (error) {
      this.watch.failed(error);
      return null;
    }
  }
}
