// The side of the page: which queue, which filters, who did what.

import { h, put } from "./dom.js";
import { count, moment, visible } from "./text.js";

const KINDS = [["images", "Flagged images"], ["pairs", "Alike pairs"], ["leaks", "Leaks"]];
const STATUSES = [["open", "not judged yet"], ["unseen", "not judged by me"], ["judged", "judged"], ["discuss", "to discuss"], ["all", "all"]];
const SORTS = { images: [["score", "highest score"], ["label", "by label"], ["name", "by name"], ["shuffled", "shuffled"]], pairs: [["score", "least alike first"], ["label", "by label"], ["name", "by name"], ["shuffled", "shuffled"]] };
const VERDICTS = [["", "any"], ["keep", "kept"], ["remove", "removed"], ["relabel", "relabelled"]];

/** Return the filters of this app as elements. */
export function filterPanel(app) {
  const { told, filters } = app;
  return [
    h("fieldset", { class: "kinds" }, h("legend", {}, "Queue"), KINDS.map(([kind, title]) => choice(app, { kind, reason: "" }, title, told.counts[kind], filters.kind === kind))),
    h("fieldset", { class: "reasons" }, h("legend", {}, filters.kind === "images" ? "Reason" : "Kind"),
      choice(app, { reason: "" }, "Any", null, !filters.reason),
      told.reasons[filters.kind].map((each) => choice(app, { reason: each.code }, visible(each.title), each.count, filters.reason === each.code, visible(each.text))),
      filters.kind === "images" && !app.store.offline ? choice(app, { reason: "*" }, "Every image", told.counts.every, filters.reason === "*") : null),
    h("fieldset", { class: "more" }, h("legend", {}, "Filters"),
      pick(app, "status", "Show", STATUSES),
      pick(app, "sort", "Order", SORTS[filters.kind] ?? SORTS.pairs),
      label(app),
      told.splits.length ? pick(app, "split", "Split", [["", "any"], ...told.splits.map((each) => [each, each])]) : null,
      pick(app, "verdict", "Build", VERDICTS),
      h("div", { class: "two" }, number(app, "least", "Score from"), number(app, "most", "to")),
      text(app, "text", "Name has"),
      app.store.offline ? null : share(app)),
  ];
}

function choice(app, change, title, number, on, hint) {
  return h("button", { type: "button", class: "choice", "aria-pressed": String(on), title: hint || null, on: { click: () => app.filter(change) } },
    h("span", {}, title), number === null ? null : h("span", { class: "fine" }, count(number)));
}

function field(name, title, input) {
  input.id = `filter-${name}`;
  return h("div", { class: "row" }, h("label", { for: input.id }, title), input);
}

function pick(app, name, title, options) {
  const input = h("select", { on: { change: () => app.filter({ [name]: input.value }) } }, options.map(([value, words]) => h("option", { value }, visible(words))));
  input.value = app.filters[name] ?? options[0][0];
  return field(name, title, input);
}

function text(app, name, title, more = {}) {
  const input = h("input", { type: "search", class: "field", autocomplete: "off", value: app.filters[name] ?? "", ...more, on: { change: () => app.filter({ [name]: input.value.trim() }) } });
  return field(name, title, input);
}

function number(app, name, title) {
  return text(app, name, title, { type: "number", min: -1, max: 1, step: 0.01 });
}

function label(app) {
  const list = h("datalist", { id: "all-labels" }, (app.told.labels ?? []).map((each) => h("option", { value: each })));
  return [text(app, "label", "Label", { list: "all-labels" }), list];
}

function share(app) {
  return text(app, "share", "My share", { placeholder: "such as 1/3", pattern: "[1-9][0-9]{0,2}/[1-9][0-9]{0,2}", title: "1/3 is the first of three parts, by content hash: the same for everybody, whatever else is filtered" });
}

/** Return who did what and how far they agree. */
export function peoplePanel(app, told) {
  const rows = told.people.map((each) => h("tr", {},
    h("th", { scope: "row" }, each.reviewer === app.reviewer ? `${visible(each.reviewer)} (you)` : visible(each.reviewer)),
    h("td", {}, count(each.total)), h("td", { class: "fine" }, moment(each.last))));
  const shares = told.kappas.map((each) => h("p", { class: "fine" },
    `${visible(each.one)} and ${visible(each.two)}: the same on ${count(each.agreed)} of ${count(each.both)}${each.kappa === null ? "" : `, Cohen’s kappa ${each.kappa.toFixed(2)}`}`));
  return h("fieldset", { class: "people" }, h("legend", {}, "People"),
    rows.length ? h("table", {}, h("thead", { class: "hidden" }, h("tr", {}, ["who", "verdicts", "last"].map((each) => h("th", { scope: "col" }, each)))), h("tbody", {}, rows)) : h("p", { class: "fine" }, "Nobody has judged anything yet."),
    told.several ? h("p", { class: "fine" }, `Of ${count(told.several)} that several judged, all agree on ${count(told.agreed)}.`) : null,
    shares);
}

/** Draw the filters again without taking the focus from what is used. */
export function redraw(panel, elements) {
  const id = panel.contains(document.activeElement) ? document.activeElement.id : "";
  put(panel, elements);
  if (id) document.getElementById(id)?.focus();
}
