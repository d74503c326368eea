// A visitor with the widget in one browser, and an agent with the inbox in another.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { agentAtInbox } from "./inbox-page.js";
import { page, startSite } from "./harness/site.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { visitor } from "./harness/widget.js";

const server = await startServer({ after });
const site = await startSite({ after });
const [theirs, ours] = [await startBrowser({ after }), await startBrowser({ after })];
const shop = site.show("/shop", page(server));

test("a visitor and an agent talk both ways, also over a server that is killed and started again", async (t) => {
  const widget = await visitor(t, theirs, shop);
  await widget.open();
  await widget.write("Is anybody there?");
  const inbox = await agentAtInbox(t, ours, server);
  await inbox.open("Is anybody there?");
  await inbox.claim();
  await inbox.write("Yes! What is it?");
  await widget.shows(["Is anybody there?", "Yes! What is it?"]);

  await server.kill();
  await widget.write("My parcel is late.");
  await inbox.write("Are you still there?");
  await server.start();
  await inbox.message("My parcel is late.").waitFor();
  await widget.row("Are you still there?").waitFor();

  await inbox.write("I look where it is.");
  await widget.row("I look where it is.").waitFor();
  const texts = await widget.texts();
  assert.deepEqual([...texts].sort(), [
    "Are you still there?", "I look where it is.", "Is anybody there?", "My parcel is late.", "Yes! What is it?",
  ]);
  // In the same order on both sides, each once; the inbox has the greeting before them.
  await inbox.shows(texts, 1);
});
