// What happens while the page is open: others' verdicts, an edited file, a new build, no server.

import { announce, button } from "./dom.js";
import { message } from "./frame.js";
import { Away } from "./remote.js";
import { visible } from "./text.js";

const EVERY = 2000; // ms

export class Watch {
  constructor(app) {
    this.app = app;
    this.epoch = app.told.epoch;
    this.count = app.told.count;
    this.build = app.told.build;
    this.own = 0;
  }

  start() {
    this.standing(this.app.told);
    if (this.app.store.offline) return;
    setInterval(() => this.look(), EVERY);
    addEventListener("visibilitychange", () => this.look());
  }

  /** Take in the answer to verdicts of this window; others' are left to the next look. */
  mine(told) {
    if (told.epoch === this.epoch && told.count === this.count + told.saved) this.count = told.count;
    else this.own += told.saved;
  }

  async look() {
    if (document.hidden || this.looking) return;
    this.looking = true;
    try {
      const told = await this.app.store.changes(this.epoch, this.count);
      message(this.app.parts, "away", this.app.sender.unsaved ? `${this.app.sender.unsaved} verdicts are not saved yet.` : "");
      this.take(told);
    } catch (error) {
      this.failed(error);
    } finally {
      this.looking = false;
    }
  }

  take(told) {
    const { app } = this;
    this.standing(told);
    if (told.edited) {
      if (told.edited === "edited") this.tell(`${app.told.file} was changed by another program; it has been read again.`);
      this.own = 0;
      app.reload();
    } else if (told.said.length) {
      const now = app.queue.patch(told.said);
      app.patchBoxes(told.said);
      if (app.view === "grid") app.grid.refresh(now);
      else if (now.includes(app.index)) app.renderSingle();
      this.news(told.people);
      app.around();
      app.people();
    }
    this.epoch = told.epoch;
    this.count = told.count;
  }

  /** Say who else has added verdicts. */
  news(people) {
    const { app } = this;
    const parts = Object.entries(people).map(([name, number]) => {
      const mine = name === app.reviewer ? number - this.own : number;
      return mine > 0 ? `${name === app.reviewer ? "you, in another window" : visible(name)}: ${mine} ${mine === 1 ? "verdict" : "verdicts"}` : "";
    });
    this.own = 0;
    const text = parts.filter(Boolean).join("; ");
    if (text) this.tell(`New in ${app.told.file}: ${text}`);
  }

  tell(text) {
    announce(text);
    this.app.say(text);
  }

  standing(told) {
    const { app } = this;
    const lines = told.problems.map((each) => `line ${each.line}: ${visible(each.said)}`);
    message(app.parts, "problems", lines.length ? `${app.told.file} has lines that cannot be obeyed; builds stop until they are mended. ${lines.slice(0, 3).join("; ")}` : "");
    message(app.parts, "obeyed", app.told.obeyed ? "" : "Builds of this dataset ignore what people say (clean.reviews.obey: ignored).");
    const again = told.build !== undefined && told.build !== this.build;
    message(app.parts, "build", again ? "The dataset was built again." : "", again ? button("Show the new build", () => location.reload()) : null);
  }

  failed(error) {
    if (error instanceof Away) {
      this.app.unsaved();
    } else {
      message(this.app.parts, "failed", error.message, button("Close", () => message(this.app.parts, "failed", "")));
    }
  }
}
