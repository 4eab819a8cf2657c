// The dataset as it was written into this file; verdicts stay in the browser until they are mailed.

/** Return the same answers as the server gives. */
export function embedded(told) {
  return { offline: true, start: async () => told };
}
