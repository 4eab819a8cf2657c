// Small dialogs: who reviews, a note, and all keys.

import { button, h } from "./dom.js";

function open(dialog) {
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask for a line of text; `done(text)` is called when it is given. */
export function line({ title, text, hint, label, done, empty = false }) {
  const input = h("input", { type: "text", class: "field", "aria-label": label, value: text, maxlength: 1000, autocomplete: "off" });
  const dialog = h("dialog", { "aria-label": title });
  const form = h("form", { method: "dialog", on: { submit: (event) => {
    event.preventDefault();
    const given = input.value.trim();
    if (!given && !empty) return;
    dialog.close();
    done(given);
  } } }, h("h2", {}, title), input, h("p", { class: "fine" }, hint),
  h("div", { class: "row" }, button("Cancel", () => dialog.close(), { class: "quiet" }), h("button", { type: "submit", class: "primary" }, "Save")));
  dialog.append(form);
  open(dialog);
  input.select();
  return dialog;
}

/** Show all keys; `single` says whether single letters act, `change(on)` turns that. */
export function help(keymap, single, change) {
  const groups = [...new Set(keymap.map((each) => each.group))];
  const box = h("input", { type: "checkbox", checked: single, on: { change: () => change(box.checked) } });
  const dialog = h("dialog", { class: "help", "aria-label": "Keys" },
    h("h2", {}, "Keys"),
    h("div", { class: "keys" }, groups.map((group) => h("section", {},
      h("h3", {}, group),
      h("dl", {}, keymap.filter((each) => each.group === group).map((each) => h("div", {},
        h("dt", {}, each.shown.map((name) => h("kbd", {}, name))), h("dd", {}, each.help))))))),
    h("label", { class: "check" }, box, " Single letters act. Turn this off if you speak or switch to type; every action has a button."),
    h("div", { class: "row" }, button("Close", () => dialog.close(), { class: "primary", autofocus: true })));
  return open(dialog);
}
