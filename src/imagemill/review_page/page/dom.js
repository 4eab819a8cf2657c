// Elements. Whatever comes from data is set as text, never as markup.

/** Return an element: `h("p", { class: "x", on: { click } }, "text", child)`. */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [kind, run] of Object.entries(value)) made.addEventListener(kind, run);
    else if (name === "value" || name === "checked") made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  put(made, ...children);
  return made;
}

/** Put these children in the place of those that are there. */
export function put(parent, ...children) {
  const kept = children.flat(3).filter((each) => each !== null && each !== undefined && each !== false);
  parent.replaceChildren(...kept);
}

/** Return a button. */
export function button(label, run, props = {}) {
  return h("button", { type: "button", ...props, on: { click: run } }, label);
}

/** Return the sign of a key. */
export function key(name) {
  return h("kbd", { "aria-hidden": "true" }, name);
}

let announced = null;

/** Have a screen reader say something, once what it says now is said. */
export function announce(text) {
  const live = document.getElementById("live");
  clearTimeout(announced);
  live.textContent = "";
  announced = setTimeout(() => { live.textContent = text; }, 60);
}
