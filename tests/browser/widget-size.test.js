// How much a visitor's browser loads.

import assert from "node:assert/strict";
import { get } from "node:http";
import { after, test } from "node:test";
import { agent } from "./harness/people.js";
import { page, startSite } from "./harness/site.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { visitor } from "./harness/widget.js";

const LOADER = 3 * 1024;
const ALL = 20_000;
const server = await startServer({ after });

/** The bytes of a file as they come over the line, and how they are packed. */
function size(url) {
  return new Promise((resolve, reject) => {
    get(url, { headers: { "accept-encoding": "gzip" } }, (answer) => {
      let bytes = 0;
      answer.on("data", (piece) => (bytes += piece.length)).on("end", () => resolve({ bytes, encoding: answer.headers["content-encoding"] }));
    }).on("error", reject);
  });
}

test("the tag loads at most 3 kB, and who writes and reads at most 20 kB in all", async (t) => {
  const site = await startSite(t);
  const browser = await startBrowser(t);
  const widget = await visitor(t, browser, site.show("/", page(server)));
  await widget.open();
  await widget.write("Hello");
  await widget.reaches("Hello", "sent");
  const anna = await agent(t, server);
  const id = await anna.claim();
  await anna.say(id, "Hello!");
  await widget.row("Hello!").waitFor();

  const loaded = new Set(widget.page.notes.requests.map(({ url }) => url).filter((url) => /\.(js|css)$/.test(url)));
  const sizes = await Promise.all([...loaded].map(async (url) => [url.slice(server.base.length), await size(url)]));
  for (const [name, { bytes }] of sizes) t.diagnostic(`${name} ${bytes}`);
  const total = sizes.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  t.diagnostic(`total ${total}`);
  assert.deepEqual(sizes.filter(([, { encoding }]) => encoding !== "gzip"), []);
  const loader = sizes.find(([name]) => name === "/widget.js")[1].bytes;
  assert.ok(loader <= LOADER, `the tag loads ${loader} bytes`);
  assert.ok(total <= ALL, `all is ${total} bytes`);
});
