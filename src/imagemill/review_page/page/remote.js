// What is asked of the server. Each call gives what the server says, or throws `Refused` or `Away`.

/** The server understood, and says no. */
export class Refused extends Error {}

/** Nobody answers. */
export class Away extends Error {}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Away("the server does not answer");
  }
  const told = await answer.json().catch(() => ({ error: `the server says ${answer.status}` }));
  if (!answer.ok) throw new Refused(told.error ?? `the server says ${answer.status}`);
  return told;
}

function query(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(kept).toString();
}

/** The dataset as the server has it. */
export const remote = {
  offline: false,
  start: () => call("/api/start"),
  queue: (filters, at) => call(`/api/queue?${query({ ...filters, at })}`),
  items: (filters, asof, offset, limit) => call(`/api/items?${query({ ...filters, asof, offset, limit })}`),
  detail: (digest) => call(`/api/detail?${query({ digest })}`),
  same: (by, name, offset) => call(`/api/same?${query({ by, name, offset })}`),
  labels: (text) => call(`/api/labels?${query({ text })}`),
  people: () => call("/api/people"),
  changes: (epoch, count) => call(`/api/changes?${query({ epoch, count })}`),
  save: (reviewer, reviews) =>
    call("/api/reviews", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ reviewer, reviews }),
    }),
  thumb: (image) => `/thumb/${image.digest}`,
  whole: (image) => `/whole/${image.digest}`,
  difference: (pair) =>
    `/difference/${pair.left.digest}/${pair.right.digest}?${query({ transform: pair.transform ?? "none" })}`,
};
