// The items of one queue, fetched a page at a time as they come into view.

const PAGE = 120;
const KEPT = 60; // pages; those looked at longest ago are forgotten

export class Queue extends EventTarget {
  constructor(store, filters, told) {
    super();
    this.store = store;
    this.filters = filters;
    this.total = told.total;
    this.all = told.all;
    this.judged = told.judged;
    this.mine = told.mine;
    this.asof = told.asof;
    this.found = told.found; // where all of it is here already
    this.pages = new Map();
  }

  /** Return an item, or undefined while it is on its way. */
  get(index) {
    const number = Math.floor(index / PAGE);
    const page = this.pages.get(number);
    if (page === undefined) this.fetch(number);
    return page?.[index - number * PAGE];
  }

  /** Return an item once it is there. */
  async wait(index) {
    await this.fetch(Math.floor(index / PAGE));
    return this.get(index);
  }

  /** Return every item that is here, with its number. */
  *here() {
    for (const [number, page] of this.pages) {
      for (const [at, item] of (page ?? []).entries()) yield [number * PAGE + at, item];
    }
  }

  /** Take in what is said now of images and pairs; return the numbers of items that it changes. */
  patch(entries) {
    const said = new Map(entries.map((each) => [`${each.digest} ${each.other} ${each.annotation}`, each.said]));
    const changed = [];
    for (const [index, item] of this.here()) {
      const parts = item.left ? [item, item.left, item.right] : [item];
      const hits = parts.filter((part) => said.has(called(part)));
      for (const part of hits) part.said = said.get(called(part));
      if (hits.length) changed.push(index);
    }
    return changed;
  }

  async fetch(number) {
    if (number < 0 || number * PAGE >= this.total) return;
    this.asked ??= new Map();
    if (this.pages.get(number)) return;
    if (!this.asked.has(number)) this.asked.set(number, this.load(number));
    await this.asked.get(number);
  }

  async load(number) {
    try {
      const told = await this.store.items(this.filters, this.asof, number * PAGE, PAGE, this);
      this.pages.set(number, told.items);
      while (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
      this.dispatchEvent(new CustomEvent("items", { detail: { from: number * PAGE, to: number * PAGE + told.items.length } }));
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    } finally {
      this.asked.delete(number);
    }
  }
}

/** Return how an image or pair is called among the reviews. */
export function called(item) {
  if (!item.left) return `${item.digest}  ${item.annotation ?? ""}`;
  const [low, high] = [item.left.digest, item.right.digest].sort();
  return `${low} ${high} `;
}

/** Return how the URL names an item. */
export function address(item) {
  return item.left ? `${item.left.digest}.${item.right.digest}` : item.digest;
}
