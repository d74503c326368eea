// Files and pictures, both ways.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Heard } from "./harness/patience.js";
import { agent } from "./harness/people.js";
import { page, startSite, strict } from "./harness/site.js";
import { picture } from "./harness/pictures.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { visitor } from "./harness/widget.js";

const server = await startServer({ after });
const site = await startSite({ after });
const browser = await startBrowser({ after });
// Also where the website allows no pictures but its own.
const shop = site.show("/shop", page(server), strict(server));
let count = 0;

async function scene(t, options) {
  const first = `I have a file ${++count}`;
  const widget = await visitor(t, browser, shop, options);
  await widget.open();
  await widget.write(first);
  await widget.reaches(first, "sent");
  const anna = await agent(t, server);
  const id = await anna.claim((one) => one.lastMessage?.content === first);
  return { widget, anna, id };
}

/** Whether a picture is drawn: it has more than one colour. */
const isDrawn = (canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(Array.from({ length: 50 }, (_, index) => data[index * 4 * Math.floor(data.length / 204)])).size > 1;
};

test("a visitor's picture is shown at once, and reaches the agent as it was", async (t) => {
  const { widget, anna, id } = await scene(t);
  const file = await picture(widget.page);
  await widget.sendFile(file);
  await widget.log.locator(".picture canvas").waitFor();
  const message = await anna.event("message:new", (one) => one.type === "IMAGE" && one.conversationId === id);
  assert.equal(message.fileName, "bag.png");
  assert.ok((await anna.download(message.fileUrl)).equals(file.buffer));
  await widget.page.waitForFunction(isDrawn, await widget.log.locator(".picture canvas").elementHandle());
  await widget.log.locator(".row:has(.picture)").locator(".mark.sent, .mark.delivered, .mark.read").waitFor();
  widget.assertNoFault();
});

test("an agent's picture and file are shown, and open in a tab that cannot reach the page", async (t) => {
  const { widget, anna, id } = await scene(t);
  const file = await picture(widget.page);
  const image = await anna.upload(file.name, file.buffer, file.mimeType);
  await anna.say(id, "This one?", { type: "IMAGE", fileId: image.id });
  const canvas = widget.log.locator(".picture canvas");
  await canvas.waitFor();
  await widget.page.waitForFunction(isDrawn, await canvas.elementHandle());
  await widget.row("This one?").waitFor();
  assert.ok(widget.page.notes.requests.some(({ url }) => /size=thumb/.test(url)), "the small one is enough");

  const text = await anna.upload("label.txt", "This is a label.", "text/plain");
  await anna.say(id, "", { type: "FILE", fileId: text.id });
  const card = widget.log.getByRole("link", { name: /label\.txt/ });
  await card.waitFor();
  assert.equal(await card.getAttribute("rel"), "noopener noreferrer");
  assert.equal((await anna.download(await card.getAttribute("href"))).toString(), "This is a label.");
  widget.assertNoFault();
  assert.deepEqual(site.reports.all, []);
});

test("an upload shows how far it is, and can be stopped", async (t) => {
  const { widget, anna, id } = await scene(t);
  const held = [];
  await widget.page.route("**/api/upload", (route) => held.push(route));
  await widget.sendFile({ name: "long.txt", mimeType: "text/plain", buffer: Buffer.from("a long text") });
  await widget.log.locator(".file progress").waitFor();
  await widget.log.getByRole("button", { name: "Remove" }).click();
  await widget.log.locator(".file").waitFor({ state: "detached" });
  for (const route of held) await route.abort().catch(() => {});
  await widget.write("Without it");
  await anna.message("Without it");
  assert.deepEqual((await anna.history(id)).filter((one) => one.fileName), []);
});

test("a file that was only just chosen goes along with what is sent", async (t) => {
  const { widget, anna, id } = await scene(t);
  const held = new Heard();
  await widget.page.route("**/shelf*.js", (route) => held.add(route));
  await widget.page.locator("priyo-widget input[type=file]").setInputFiles([{ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("a") }]);
  const route = await held.first(() => true, "what shows it is asked for");
  await widget.write("With a file");
  await route.continue();
  const message = await anna.event("message:new", (one) => one.conversationId === id && one.content === "With a file");
  assert.equal(message.fileName, "a.txt");
});

test("files can be chosen together, taken away again, and pasted", async (t) => {
  const { widget, anna, id } = await scene(t);
  const file = (name) => ({ name, mimeType: "text/plain", buffer: Buffer.from(name) });
  await widget.page.locator("priyo-widget input[type=file]").setInputFiles([file("a.txt"), file("b.txt")]);
  await widget.panel.getByRole("button", { name: "Remove: a.txt" }).click();
  await widget.text.evaluate((target) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["pasted"], "pasted.txt", { type: "text/plain" }));
    target.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true, composed: true, clipboardData }));
  });
  await widget.panel.getByRole("button", { name: "Remove: pasted.txt" }).waitFor();
  await widget.write("Two files");
  const names = ["b.txt", "pasted.txt"];
  for (const name of names) await anna.event("message:new", (one) => one.fileName === name);
  // Each comes as soon as its file is there; the text is with the first.
  const history = (await anna.history(id)).slice(-2).map((one) => [one.fileName, one.content]);
  assert.deepEqual(history.sort(), [["b.txt", "Two files"], ["pasted.txt", ""]]);
});

test("what is needed to show a file could not be loaded: there is its name", async (t) => {
  const { widget, anna, id } = await scene(t);
  await widget.page.route("**/widget/files-*.js", (route) => route.abort());
  const text = await anna.upload("label.txt", "This is a label.", "text/plain");
  await anna.say(id, "", { type: "FILE", fileId: text.id });
  await widget.log.locator(".bubble").getByText("label.txt").waitFor();
});
