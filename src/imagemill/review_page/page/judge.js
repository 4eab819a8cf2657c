// Saying something of images and pairs, and taking it back.

import { choose, matching } from "./choose.js";
import { line } from "./dialogs.js";
import { announce, button } from "./dom.js";
import { message } from "./frame.js";
import { verdict, visible } from "./text.js";
import { changed, undone } from "./verdicts.js";
import { Walk } from "./walk.js";

/** A walk on which one judges. */
export class Judge extends Walk {
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
    else if (advance && !this.side && this.box === null) this.goto(this.index + 1);
    else this.redrawSaid();
  }

  /** Return the images, or with `pairs` the pairs, of which something is to be said. */
  async targets(pairs = false) {
    if (!this.reviewer) { this.askName(); return []; }
    if (!pairs && this.view === "single" && this.box !== null) return [this.subject()].filter(Boolean);
    const indices = this.selected.size ? [...this.selected].sort((a, b) => a - b) : [this.index];
    const items = [];
    for (const index of indices) items.push(this.item(index) ?? (await this.queue.wait(index)));
    const here = items.filter(Boolean);
    if (!here.length || pairs || !here[0].left) return pairs ? here.filter((each) => each.left.digest !== each.right.digest) : here;
    if (!this.side) { announce("Choose an image first: 1 is the left one, 2 the right one"); this.say("Choose an image of the pair first: 1 left, 2 right."); this.hinted = true; return []; }
    return here.map((each) => each[this.side]);
  }

  /** Show reviews at once, and send them. */
  commit(targets, reviews) {
    this.hinted = false;
    for (const [at, target] of targets.entries()) {
      const other = target.said.filter((each) => each.reviewer !== this.reviewer);
      const now = { ...reviews[at], reviewer: this.reviewer, time: new Date().toISOString(), state: "saving" };
      const was = target.said.length;
      target.said = now.action === "withdraw" ? other : [...other, now];
      if (!target.annotation && (!target.left || this.filters.kind !== "images")) this.queue.judged += Math.sign(target.said.length) - Math.sign(was);
    }
    this.sender.send(this.reviewer, reviews);
    if (this.sender.away) this.unsaved();
    this.around();
  }

  undo() {
    const last = this.undos.pop();
    if (!last) return announce("Nothing to undo");
    const reviews = last.undo.map(({ target, before }) => undone(target, before));
    this.commit(last.undo.map(({ target }) => target), reviews);
    this.goto(last.index);
    this.redrawSaid();
  }

  redrawSaid() {
    if (this.box !== null) this.shown.boxes?.draw();
    else if (this.view === "single") this.renderSingle();
    else this.grid.refresh();
  }

  saved(told) {
    const now = this.queue.patch(told.said);
    this.patchBoxes(told.said);
    this.watch.mine(told);
    message(this.parts, "away", "");
    if (this.view === "grid") this.grid.refresh(now);
    else if (now.includes(this.index)) this.renderSingle();
    const words = told.saved === 1 ? this.words(told.said[0]) : `${told.saved} verdicts`;
    if (!this.hinted) this.say(`Saved: ${words}`); // of what came before the hint
    announce(`Saved: ${words}`);
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.people(), 1200);
  }

  patchBoxes(entries) {
    const { boxes } = this.shown ?? {};
    for (const each of boxes?.subjects ?? []) each.said = entries.find((one) => one.digest === each.digest && one.annotation === each.annotation)?.said ?? each.said;
    boxes?.draw();
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
}
