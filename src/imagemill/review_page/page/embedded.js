// The dataset as it was written into this file; verdicts stay in the browser until they are mailed.

import { called } from "./queue.js";

const COLUMNS = ["digest", "other", "annotation", "tags", "action", "label", "reviewer", "time", "note"];
const FORMULA = /^'*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/; // as in imagemill.sheets

/** Return the same answers as the server gives, from `told`: what `start` says, `items`, `pictures`. */
export function embedded(told) {
  const place = `imagemill.offline.${told.dataset}.${told.build}`;
  const reviews = kept(place);
  const items = Object.values(told.items).flat();
  const parts = items.flatMap((item) => (item.left ? [item, item.left, item.right] : [item]));
  const known = new Map();
  for (const part of parts) {
    const twin = known.get(called(part));
    if (twin) part.said = twin.said; // an image in several pairs
    else known.set(called(part), part);
  }
  let downloaded = reviews.length;

  const put = (review) => {
    const name = `${review.digest} ${review.other} ${review.annotation}`;
    const part = known.get(name);
    if (!part) return null;
    const rest = part.said.filter((each) => each.reviewer !== review.reviewer);
    const said = review.action === "withdraw" ? rest : [...rest, { ...review, state: "in_force" }];
    for (const each of parts) if (called(each) === name) each.said = said;
    return { digest: review.digest, other: review.other, annotation: review.annotation, said };
  };
  reviews.forEach(put);

  return {
    offline: true,
    start: async () => told,
    queue: async (filters, at) => {
      const all = chosen(told.items[filters.kind] ?? [], filters);
      const open = { ...told, items: passing(all, filters) };
      const position = at ? open.items.findIndex((item) => (item.left ? `${item.left.digest}.${item.right.digest}` : item.digest) === at) : -1;
      return { total: open.items.length, all: all.length, judged: all.filter(judged).length, asof: 0, position: position < 0 ? null : position, found: open.items };
    },
    items: async (filters, asof, offset, limit, queue) => ({ items: queue.found.slice(offset, offset + limit) }),
    detail: async (digest) => ({ facts: told.facts[digest] ?? { samples: [] }, boxes: [], history: [], neighbours: [] }),
    labels: async () => ({ labels: [] }),
    people: async () => ({ people: counted(parts), several: 0, agreed: 0, kappas: [] }),
    save: async (reviewer, given) => {
      const made = given.map((each) => ({ ...each, reviewer, time: new Date().toISOString() }));
      reviews.push(...made);
      keep(place, reviews);
      return { saved: made.length, said: made.map(put).filter(Boolean), epoch: told.epoch, count: told.count, problems: [] };
    },
    thumb: (image) => told.pictures[image.digest] ?? "",
    whole: (image) => told.pictures[image.digest] ?? "",
    difference: (pair) => told.pictures[`${pair.left.digest}.${pair.right.digest}`] ?? "",
    unsent: () => reviews.length > downloaded,
    written: () => reviews.length,
    download: (reviewer) => {
      save(`${told.dataset}.${reviewer.replace(/[^\p{L}\p{N}]+/gu, "_")}.reviews.csv`, [COLUMNS.join(","), ...reviews.map(row)].join("\n") + "\n");
      downloaded = reviews.length;
    },
  };
}

function chosen(items, filters) {
  const text = (filters.text ?? "").toLowerCase();
  const holds = (image) => (!filters.label || image.label === filters.label) && (!filters.split || image.split === filters.split)
    && (!filters.verdict || image.verdict === filters.verdict) && (!text || image.sample.toLowerCase().includes(text));
  const found = items.filter((item) => {
    const ends = item.left ? [item.left, item.right] : [item];
    const flags = item.left ? [{ code: item.kind, confidence: item.score }] : item.flags;
    const mine = filters.reason ? flags.filter((each) => each.code === filters.reason) : flags;
    const best = Math.max(...mine.map((each) => each.confidence ?? -Infinity));
    return mine.length && ends.some(holds) && (!filters.least || best >= Number(filters.least)) && (!filters.most || best <= Number(filters.most));
  });
  const name = (item) => (item.left ?? item).sample;
  if (filters.sort === "name") found.sort((one, two) => name(one).localeCompare(name(two), "en"));
  if (filters.sort === "label") found.sort((one, two) => String((one.left ?? one).label).localeCompare(String((two.left ?? two).label), "en"));
  return found;
}

function passing(items, filters) {
  const status = {
    open: (item) => !judged(item),
    unseen: (item) => !item.said.some((each) => each.reviewer === filters.me),
    judged,
    discuss: (item) => item.said.some((each) => each.state === "overruled" || each.tags.includes("mislabel_uncertain")),
    all: () => true,
  };
  return items.filter(status[filters.status] ?? status.all);
}

function judged(item) {
  return item.said.length > 0 || Boolean(item.left && (item.left.said.length || item.right.said.length));
}

function counted(parts) {
  const rows = new Map();
  for (const said of new Set(parts.map((each) => each.said))) {
    for (const each of said) {
      const row = rows.get(each.reviewer) ?? { reviewer: each.reviewer, total: 0, last: "" };
      rows.set(each.reviewer, { ...row, total: row.total + 1, last: each.time > row.last ? each.time : row.last });
    }
  }
  return [...rows.values()];
}

function row(review) {
  const cells = COLUMNS.map((name) => (name === "tags" ? review.tags.join(",") : String(review[name])))
    .map((text) => text.replace(/[\r\n]/g, " "))
    .map((text) => (FORMULA.test(text) ? `'${text}` : text));
  return cells.map((text, at) => (at === cells.length - 1 || /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",");
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function kept(place) {
  try { return JSON.parse(localStorage.getItem(place) ?? "[]"); } catch { return []; }
}

function keep(place, reviews) {
  try { localStorage.setItem(place, JSON.stringify(reviews)); } catch { /* then only this window has them */ }
}
