// Start: from the server, or from what was written into this file.

import { App } from "./app.js";
import { h, put } from "./dom.js";
import { embedded } from "./embedded.js";
import { remote } from "./remote.js";

const written = document.getElementById("data");
const store = written ? embedded(JSON.parse(written.textContent)) : remote;

try {
  const app = new App(store, await store.start());
  await app.open();
} catch (error) {
  put(document.getElementById("app"), h("p", { class: "alone" }, `This page could not start: ${error.message}`));
}
