// Verdicts: made from what one has said before, sent in order, kept until they are on the disk.

import { Away } from "./remote.js";

const RETRY = 1500; // ms

/** Return what this person says of an item now, or null. */
export function mine(item, reviewer) {
  return item.said.findLast((each) => each.reviewer === reviewer) ?? null;
}

/** Return a review of an item: what was said before, with a change. Nothing left is a withdrawal. */
export function changed(item, before, change) {
  const about = ends(item);
  const old = before ?? { action: "", label: "", tags: [], note: "" };
  const action = change.action ?? old.action;
  const label = action === "relabel" ? change.label ?? old.label : "";
  const tags = change.tag ? toggled(old.tags, change.tag) : old.tags;
  const note = change.note ?? old.note;
  if (!action && !tags.length && !note) return withdrawal(about);
  return { ...about, action, label, tags: [...tags], note };
}

/** Return what puts back what was said before. */
export function undone(item, before) {
  const about = ends(item);
  if (before === null) return withdrawal(about);
  const { action, label, tags, note } = before;
  return { ...about, action, label, tags: [...tags], note };
}

function withdrawal(about) {
  return { ...about, action: "withdraw", label: "", tags: [], note: "" };
}

function ends(item) {
  const [digest, other] = item.left ? [item.left.digest, item.right.digest].sort() : [item.digest, ""];
  return { digest, other, annotation: item.annotation ?? "" };
}

function toggled(tags, tag) {
  return tags.includes(tag) ? tags.filter((each) => each !== tag) : [...tags, tag];
}

/** Sends verdicts one batch after the other; what the server has not confirmed is not forgotten. */
export class Sender extends EventTarget {
  constructor(store, name) {
    super();
    this.store = store;
    this.place = `imagemill.unsaved.${name}`;
    this.waiting = [];
    this.busy = null;
    this.away = false;
  }

  /** Send what an earlier visit could not. */
  resume() {
    try {
      this.waiting = JSON.parse(localStorage.getItem(this.place) ?? "[]");
    } catch {
      this.waiting = [];
    }
    if (this.waiting.length) this.work();
  }

  get unsaved() {
    return this.waiting.reduce((sum, each) => sum + each.reviews.length, 0);
  }

  send(reviewer, reviews) {
    this.waiting.push({ reviewer, reviews });
    this.remember();
    return this.work();
  }

  work() {
    this.busy ??= this.drain().finally(() => { this.busy = null; });
    return this.busy;
  }

  async drain() {
    while (this.waiting.length) {
      const { reviewer, reviews } = this.waiting[0];
      try {
        const told = await this.store.save(reviewer, reviews);
        this.away = false;
        this.waiting.shift();
        this.remember();
        this.dispatchEvent(new CustomEvent("saved", { detail: told }));
      } catch (error) {
        if (!(error instanceof Away)) {
          this.waiting.shift();
          this.remember();
          this.dispatchEvent(new CustomEvent("refused", { detail: { error, reviews } }));
          continue;
        }
        this.away = true;
        this.dispatchEvent(new CustomEvent("away"));
        await new Promise((wake) => setTimeout(wake, RETRY));
      }
    }
  }

  remember() {
    try {
      if (this.waiting.length) localStorage.setItem(this.place, JSON.stringify(this.waiting));
      else localStorage.removeItem(this.place);
    } catch { /* a browser that keeps nothing for pages from files */ }
  }
}
