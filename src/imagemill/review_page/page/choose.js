// Choosing from a long list by typing a part of it: labels, and tags of which several may hold.

import { h, put } from "./dom.js";
import { visible } from "./text.js";

const SHOWN = 50;

/**
 * Open a dialog and call `chosen(value)`. `find(text)` gives or promises options:
 * `{ value, text, note, on }`. With `several` it stays open until it is closed.
 */
export function choose({ title, hint, find, chosen, several = false, any = null }) {
  let options = [];
  let active = 0;
  let asked = 0;
  const list = h("ul", { class: "options", role: "listbox", id: "options", "aria-label": title });
  const input = h("input", { type: "text", class: "field", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-expanded": "true", "aria-controls": "options", "aria-autocomplete": "list", "aria-label": title });
  const dialog = h("dialog", { class: "choose", "aria-label": title },
    h("h2", {}, title), input, list, h("p", { class: "fine" }, hint));

  const draw = () => {
    put(list, options.map((each, at) => h("li", { role: "option", id: `option-${at}`, class: at === active ? "active" : null, "aria-selected": String(several ? Boolean(each.on) : at === active), on: { click: () => take(at) } },
      several ? h("span", { class: "tick", "aria-hidden": "true" }, each.on ? "✓" : "") : null,
      h("bdi", {}, visible(each.text)), each.note ? h("span", { class: "fine" }, ` ${visible(each.note)}`) : null)));
    if (options.length) input.setAttribute("aria-activedescendant", `option-${active}`);
    else input.removeAttribute("aria-activedescendant");
    list.children[active]?.scrollIntoView({ block: "nearest" });
  };
  const update = async (at = 0) => {
    const text = input.value.trim();
    const turn = (asked += 1);
    const found = await find(text);
    if (turn !== asked) return;
    options = found.slice(0, SHOWN);
    if (any && text && !options.some((each) => each.value === text)) options.push({ value: text, text, note: any });
    active = Math.min(at, Math.max(0, options.length - 1));
    draw();
  };
  const take = async (at) => {
    const option = options[at];
    if (!option) return;
    if (!several) dialog.close();
    chosen(option.value);
    if (several) { input.select(); await update(at); }
  };
  input.addEventListener("input", () => update());
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) active = Math.min(options.length - 1, Math.max(0, active + step));
    else if (event.key === "Enter") take(active);
    else return;
    event.preventDefault();
    if (step) draw();
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  update();
  return dialog;
}

/** Return options whose text has what is typed, those that begin with it first. */
export function matching(options, typed) {
  const text = typed.toLowerCase();
  const hits = options.filter((each) => each.text.toLowerCase().includes(text));
  const first = (each) => (each.text.toLowerCase().startsWith(text) ? 0 : 1);
  return text ? hits.sort((one, two) => first(one) - first(two)) : hits;
}
