// What keys do. One list, from which the help is made too.

const NAMES = { ArrowRight: "→", ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" };

function bind(group, help, keys, run, more = {}) {
  return { group, help, keys, run, shown: more.shown ?? keys.map((each) => NAMES[each] ?? each), ...more };
}

/** Return all bindings for an app. */
export function keymap(app) {
  return [
    bind("Verdict", "keep", ["k"], () => app.act({ action: "keep" })),
    bind("Verdict", "remove", ["r"], () => app.act({ action: "remove" })),
    bind("Verdict", "relabel: type a part of the label", ["l"], () => app.askLabel()),
    bind("Verdict", "accept the suggested label", ["a"], () => app.accept()),
    bind("Verdict", "tags", ["t"], () => app.askTags()),
    bind("Verdict", "not sure: others should look", ["m"], () => app.act({ tag: "mislabel_uncertain" })),
    bind("Verdict", "note", ["e"], () => app.askNote()),
    bind("Verdict", "undo", ["u"], () => app.undo(), { also: (event) => event.key === "z" && (event.ctrlKey || event.metaKey), shown: ["u", "Ctrl Z"] }),
    bind("Verdict", "next box, for a verdict on it alone", ["b"], () => app.nextBox()),
    bind("Pairs", "both show the same", ["s"], () => app.actPair("same")),
    bind("Pairs", "they are different", ["d"], () => app.actPair("different")),
    bind("Pairs", "choose the left or right image for a verdict", ["1", "2"], (event) => app.pick(event.key === "1" ? "left" : "right")),
    bind("Go", "next that is not judged", ["n"], () => app.nextOpen()),
    bind("Go", "next, previous", ["ArrowRight", "ArrowLeft"], (event) => app.move(event.key === "ArrowRight" ? 1 : -1, event)),
    bind("Go", "row below, row above", ["ArrowDown", "ArrowUp"], (event) => app.moveRow(event.key === "ArrowDown" ? 1 : -1, event)),
    bind("Go", "a screen on or back", ["PageDown", "PageUp"], (event) => app.movePage(event.key === "PageDown" ? 1 : -1, event)),
    bind("Go", "first, last", ["Home", "End"], (event) => app.goto(event.key === "Home" ? 0 : app.queue.total - 1)),
    bind("See", "open; back to the grid", ["Enter", "Escape"], (event) => (event.key === "Enter" ? app.show("single") : app.back())),
    bind("See", "grid or single image", ["g"], () => app.show(app.view === "grid" ? "single" : "grid")),
    bind("See", "zoom: fitted or own pixels", ["z"], () => app.zoom((zoom) => zoom.toggle())),
    bind("See", "closer, farther", ["+", "-"], (event) => app.zoom((zoom) => zoom.by(event.key === "-" ? -1 : 1))),
    bind("See", "the whole identity, or label", ["i"], () => document.getElementById("show-same")?.click()),
    bind("Select", "select; Shift with arrows for several", ["x", " "], () => app.toggle()),
    bind("Select", "all, up to 2,000", [], () => app.selectAll(), { also: (event) => event.key === "a" && (event.ctrlKey || event.metaKey), shown: ["Ctrl A"] }),
    bind("Page", "filters", ["f"], () => app.focusFilters()),
    bind("Page", "read the queue again", ["."], () => app.reload()),
    bind("Page", "this help", ["?"], () => app.help()),
  ];
}

/** Have keys act, but where one types or a dialog is open. */
export function listen(bindings, singleLetters) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]") || typing(event.target)) return;
    const hit = bindings.find((each) => each.also?.(event) || (!event.ctrlKey && !event.metaKey && !event.altKey && each.keys.includes(event.key)));
    if (!hit || (isLetter(event) && !singleLetters())) return;
    if (["Enter", " "].includes(event.key) && event.target.closest("button, a, summary, select")) return;
    if (event.key.startsWith("Arrow") && event.target.closest(".zoomed, select, [role=radiogroup]")) return;
    event.preventDefault();
    hit.run(event);
  });
}

function isLetter(event) {
  return event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey;
}

function typing(target) {
  return target.matches?.("textarea, select, input:not([type=checkbox]):not([type=radio])");
}
