// How names, numbers and verdicts are written.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

/** Return text in which what cannot be seen, or turns the direction of text, is a visible code. */
export function visible(text) {
  return String(text ?? "").replace(HIDDEN, (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);
}

/** Return the last part of a sample's name. */
export function tail(sample) {
  return visible(sample.slice(sample.lastIndexOf("/") + 1) || sample);
}

/** Return a number with separators. */
export function count(number) {
  return Number(number).toLocaleString("en");
}

/** Return a likeness or confidence with as many digits as tell anything. */
export function score(number) {
  return number === null || number === undefined ? "" : Number(number).toFixed(2);
}

/** Return a length in bytes. */
export function bytes(number) {
  if (number < 1024) return `${number} B`;
  return number < 1 << 20 ? `${(number / 1024).toFixed(1)} KB` : `${(number / (1 << 20)).toFixed(1)} MB`;
}

/** Return a point in time as this machine's clock has it. */
export function moment(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

const SIGNS = { keep: "✓", remove: "✕", relabel: "→", same: "=", different: "≠", "": "…" };
const WORDS = { keep: "keep", remove: "remove", relabel: "relabel", same: "same", different: "different", "": "opinion" };

/** Return the sign of an action; colour alone never tells. */
export function sign(action) {
  return SIGNS[action] ?? "?";
}

/** Return a verdict in words, such as "relabel to dog". */
export function verdict(said) {
  const word = WORDS[said.action] ?? said.action;
  return said.action === "relabel" ? `relabel to ${visible(said.label)}` : word;
}

/** Return what a screen reader says of an item in a list. */
export function spoken(item) {
  if (item.left) return `Pair, ${item.title}: ${tail(item.left.sample)} and ${tail(item.right.sample)}. ${state(item)}`;
  const flags = item.flags.map((each) => `${each.title}${each.confidence === null ? "" : ` ${score(each.confidence)}`}`);
  const label = item.label === null ? "no label" : `label ${visible(item.label)}`;
  return `${tail(item.sample)}, ${label}. ${[...new Set(flags)].join(", ")}. ${state(item)}`;
}

function state(item) {
  if (!item.said.length) return "Not judged.";
  return item.said.map((each) => `${visible(each.reviewer)}: ${verdict(each)}`).join("; ");
}
