// The page as a whole: its parts, what it listens to, its sides.

import { help } from "./dialogs.js";
import { announce, put } from "./dom.js";
import { peoplePanel } from "./filters.js";
import { frame, Kept, Theme } from "./frame.js";
import { Grid } from "./grid.js";
import { Judge } from "./judge.js";
import { keymap, listen } from "./keys.js";
import { visible } from "./text.js";
import { Sender } from "./verdicts.js";
import { Watch } from "./watch.js";

export class App extends Judge {
  constructor(store, told) {
    super();
    this.store = store;
    this.told = told;
    this.kept = new Kept();
    this.reviewer = this.kept.get("reviewer") || told.reviewer || "";
    this.theme = new Theme(this.kept);
    this.undos = [];
    this.selected = new Set();
    this.side = null;
    this.box = null;
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
    this.parts.main.addEventListener("click", (event) => {
      if (!this.parts.page.classList.contains("open")) return;
      event.stopPropagation();
      this.drawer();
    }, { capture: true });
    this.parts.grid.addEventListener("click", (event) => this.clicked(event));
    this.parts.grid.addEventListener("dblclick", (event) => { if (event.target.closest(".cell")) this.show("single"); });
    this.sender.addEventListener("saved", (event) => this.saved(event.detail));
    this.sender.addEventListener("away", () => this.unsaved());
    this.sender.addEventListener("refused", (event) => this.refused(event.detail.error));
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
