// What stands around the images: bar, messages, verdict buttons.

import { button, h, key, put } from "./dom.js";
import { count, visible } from "./text.js";

/** Return the fixed parts of the page by name. */
export function frame(app) {
  const parts = {
    where: h("p", { class: "where" }),
    progress: h("progress", { class: "bar", max: 1, value: 0, "aria-label": "Judged of this queue" }),
    told: h("p", { class: "fine told" }),
    messages: h("div", { class: "messages", role: "alert" }),
    filters: h("div", { class: "filters" }),
    people: h("div", {}),
    grid: h("div", { class: "grid", id: "grid", tabindex: "0", role: "listbox", "aria-multiselectable": "true", "aria-label": "Images to review" }),
    single: h("div", { class: "one", id: "single", tabindex: "-1", role: "group", "aria-label": "One item" }),
    empty: h("div", { class: "empty" }),
    actions: h("div", { class: "actions", role: "toolbar", "aria-label": "Verdict" }),
    who: button("", () => app.askName(), { class: "quiet who" }),
    views: h("div", { class: "views", role: "group", "aria-label": "View" }),
    saved: h("p", { class: "fine saved" }),
  };
  parts.side = h("aside", { id: "side", "aria-label": "Queue and filters" }, parts.filters, parts.people);
  parts.drawer = button("Filters", () => app.drawer(), { class: "quiet drawer", "aria-expanded": "false", "aria-controls": "side" });
  parts.main = h("main", { id: "main", tabindex: "-1" }, parts.messages, parts.empty, parts.grid, parts.single);
  parts.mail = app.store.offline ? button("Save verdicts to mail", () => app.mail(), { class: "primary" }) : null;
  parts.theme = button("", () => app.theme.next(), { class: "quiet icon" });
  const head = h("header", {},
    parts.drawer,
    h("h1", {}, h("span", { class: "product" }, "imagemill review "), h("bdi", {}, visible(app.told.dataset))),
    h("div", { class: "progress" },
      button("‹", () => app.move(-1, {}), { class: "quiet icon", "aria-label": "Previous" }), parts.where,
      button("›", () => app.move(1, {}), { class: "quiet icon", "aria-label": "Following" }), parts.progress),
    h("div", { class: "tools" }, parts.mail, parts.views, parts.who, parts.theme, button("?", () => app.help(), { class: "quiet icon", "aria-label": "Keys and help" })));
  return { ...parts, page: h("div", { class: "page" }, head, h("div", { class: "body" }, parts.side, parts.main), h("footer", {}, parts.actions, parts.saved)) };
}

/** Draw the buttons for what can be said of the present item. */
export function actions(app, item) {
  const pair = Boolean(item?.left);
  const image = app.subject();
  const mine = image ? app.mine(image) : null;
  const ofPair = pair ? app.mine(item) : null;
  const act = (name, letter, run, more = {}) => button([h("span", { class: "word" }, name), key(letter)], run, { "aria-keyshortcuts": letter, "data-of": more.of, disabled: !item || more.off, "aria-pressed": more.on === undefined ? null : String(more.on), class: `act ${more.kind ?? ""}` });
  const ofImage = { of: "image", off: !image };
  const twins = pair && item.left.digest === item.right.digest;
  put(app.parts.actions,
    pair ? [
      act("Same", "s", () => app.actPair("same"), { kind: "keep", on: ofPair?.action === "same", off: twins }),
      act("Different", "d", () => app.actPair("different"), { kind: "remove", on: ofPair?.action === "different", off: twins }),
      h("span", { class: "rule" }),
    ] : null,
    act("Keep", "k", () => app.act({ action: "keep" }), { kind: "keep", on: mine?.action === "keep", ...ofImage }),
    act("Remove", "r", () => app.act({ action: "remove" }), { kind: "remove", on: mine?.action === "remove", ...ofImage }),
    act("Relabel…", "l", () => app.askLabel(), { kind: "relabel", on: mine?.action === "relabel", ...ofImage }),
    act("Tags…", "t", () => app.askTags(), ofImage),
    "mislabel_uncertain" in app.told.tags ? act("Not sure", "m", () => app.act({ tag: "mislabel_uncertain" }), { on: Boolean(mine?.tags.includes("mislabel_uncertain")), ...ofImage }) : null,
    act("Note…", "e", () => app.askNote()),
    h("span", { class: "rule" }),
    act("Undo", "u", () => app.undo(), { off: !app.undos.length }),
    act("Next", "n", () => app.nextOpen(), { kind: "next" }));
}

/** Say how far the queue is judged. */
export function progress(app) {
  const { queue, parts } = app;
  const at = queue.total ? `${count(app.index + 1)} of ${count(queue.total)}` : "0 of 0";
  const chosen = app.selected.size ? ` · ${count(app.selected.size)} selected` : "";
  put(parts.where, h("strong", {}, at), h("span", { class: "fine" }, ` · ${count(queue.judged)} of ${count(queue.all)} judged${chosen}`));
  parts.progress.max = Math.max(1, queue.all);
  parts.progress.value = queue.judged;
}

/** Show or take away a message that stays until what it says is no longer so. */
export function message(parts, name, text, action = null) {
  const old = parts.messages.querySelector(`[data-name="${name}"]`);
  if (!text) return old?.remove();
  const made = h("p", { "data-name": name, class: "message" }, h("span", {}, text), action);
  if (old?.textContent === made.textContent) return undefined;
  return old ? old.replaceWith(made) : parts.messages.append(made);
}

const THEMES = { auto: ["◐", "as the system has it"], light: ["☀", "light"], dark: ["☾", "dark"] };

/** Light, dark, or as the system has it. */
export class Theme {
  constructor(kept) {
    this.kept = kept;
    this.name = kept.get("theme") in THEMES ? kept.get("theme") : "auto";
    this.apply();
  }

  next() {
    const names = Object.keys(THEMES);
    this.name = names[(names.indexOf(this.name) + 1) % names.length];
    this.kept.set("theme", this.name);
    this.apply();
  }

  apply() {
    document.documentElement.dataset.theme = this.name;
    if (!this.button) return;
    const [icon, words] = THEMES[this.name];
    this.button.textContent = icon;
    this.button.setAttribute("aria-label", `Colours: ${words}; change`);
    this.button.title = `Colours: ${words}`;
  }
}

/** What this browser remembers between visits; nothing, where it may not. */
export class Kept {
  get(name) {
    try { return localStorage.getItem(`imagemill.${name}`); } catch { return null; }
  }

  set(name, value) {
    try { localStorage.setItem(`imagemill.${name}`, value); } catch { /* then it is asked again */ }
  }
}
