// A conversation between an agent in the inbox and a visitor.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { deflateSync } from "node:zlib";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { agentAtInbox, until, visitor } from "./inbox-page.js";

let browser;
before(async (t) => {
  browser = await startBrowser(t);
});

const ADA = { name: "Ada Lovelace" };

/** An agent who has claimed the conversation of a visitor who hears it. */
async function talking(t, { settings, ...options } = {}) {
  const server = await startServer(t, settings);
  const inbox = await agentAtInbox(t, browser, server, options);
  const ada = await visitor(t, server, ADA);
  await ada.joins();
  await inbox.open("Ada Lovelace");
  await inbox.claim();
  return { server, inbox, ada };
}

test("both hear each other, and see what was delivered and read", async (t) => {
  const { inbox, ada } = await talking(t);
  await inbox.write("How can I help?");
  const sent = await ada.message("How can I help?");
  await inbox.reaches("How can I help?", "delivered");
  await ada.emit("message:read", { conversationId: ada.conversationId, messageId: sent.id });
  await inbox.reaches("How can I help?", "read");

  await ada.write("With an invoice.");
  await inbox.message("With an invoice.").waitFor();
  // It is on the screen of somebody who looks.
  await ada.event("message:read", ({ readBy }) => readBy === inbox.who.id);

  await ada.emit("typing:start", { conversationId: ada.conversationId });
  await inbox.thread.getByText("Ada Lovelace is typing …").waitFor();
  await ada.emit("typing:stop", { conversationId: ada.conversationId });
  await until(inbox.page, () => !document.querySelector(".typing").textContent);

  await inbox.text.pressSequentially("One");
  await ada.event("typing:start", ({ userId }) => userId === inbox.who.id);
  inbox.assertNoFault();
});

test("500 messages are read back in order, each once, and the reader stays in place", async (t) => {
  const server = await startServer(t);
  const ada = await visitor(t, server, ADA, "number 1");
  await ada.connect();
  for (let from = 2; from <= 500; from += 20) {
    const some = Array.from({ length: Math.min(20, 501 - from) }, (_, index) => from + index);
    await Promise.all(some.map((number) => ada.emit("message:send", { conversationId: ada.conversationId, content: `number ${number}` })));
  }
  const inbox = await agentAtInbox(t, browser, server);
  await inbox.open("Ada Lovelace");
  await inbox.message("number 500").waitFor();
  const all = (await ada.history(ada.conversationId)).at(-1).seq;
  assert.ok((await inbox.seqs()).length < all, "all was loaded at once");

  // Goes up as a reader does, and looks at each step whether what is read has moved.
  let before = 0;
  while (before < all) {
    const jumped = await inbox.page.evaluate(async () => {
      const log = document.getElementById("log");
      const count = log.querySelectorAll("li.message").length;
      log.scrollTop = 300;
      const top = log.getBoundingClientRect().top;
      const first = [...log.querySelectorAll("li.message")].find((one) => one.getBoundingClientRect().bottom > top);
      const at = first.getBoundingClientRect().top;
      await new Promise((resolve) => {
        const look = () => {
          const isMore = log.querySelectorAll("li.message").length > count;
          if (isMore || log.querySelector(".log-top").textContent.includes("where it began")) resolve();
          else requestAnimationFrame(look);
        };
        look();
      });
      return Math.abs(first.getBoundingClientRect().top - at);
    });
    assert.ok(jumped <= 2, `it moved by ${jumped} px`);
    const now = (await inbox.seqs()).length;
    assert.ok(now > before, "nothing came");
    before = now;
  }
  assert.deepEqual(await inbox.seqs(), Array.from({ length: all }, (_, index) => index + 1));
  inbox.assertNoFault();
});

test("files go both ways: with a small picture, a name and a size", async (t) => {
  const { inbox, ada } = await talking(t);
  const files = [
    { name: "photo.png", mimeType: "image/png", buffer: png(64, 48) },
    { name: "note <b>.txt", mimeType: "text/plain", buffer: Buffer.from("hello") },
  ];
  await inbox.page.locator("#thread input[type=file]").setInputFiles(files);
  await inbox.page.getByRole("list", { name: "Files to be sent" }).getByText("photo.png").waitFor();
  await inbox.text.fill("Here you are");
  await inbox.page.getByRole("button", { name: "Send", exact: true }).click();
  await ada.message("Here you are");
  const [image, note] = await Promise.all(["photo.png", "note <b>.txt"].map((name) => ada.event("message:new", ({ fileName }) => fileName === name)));
  assert.deepEqual(await ada.download(image.fileUrl), files[0].buffer);
  assert.equal((await ada.download(note.fileUrl)).toString(), "hello");
  await until(inbox.page, () => [...document.querySelectorAll("#log img")].some((one) => one.naturalWidth > 0));
  await inbox.message("note <b>.txt").getByText("5 B").waitFor();

  const upload = await ada.upload("mine.png", png(32, 32), "image/png");
  await ada.write("", { type: "IMAGE", fileId: upload.id });
  await until(inbox.page, () => document.querySelector('#log img[alt="mine.png"]')?.naturalWidth > 0);
  inbox.assertNoFault();
});

test("a file that is too large is refused in words, and one that takes too long can be stopped", async (t) => {
  const { inbox, ada } = await talking(t, { settings: { MAX_FILE_SIZE: "1000" } });
  const picker = inbox.page.locator("#thread input[type=file]");
  const send = inbox.page.getByRole("button", { name: "Send", exact: true });
  await picker.setInputFiles({ name: "large.txt", mimeType: "text/plain", buffer: Buffer.alloc(2000, "x") });
  await send.click();
  const refused = inbox.message("large.txt");
  await refused.getByText("Not sent. The file is larger than 1.0 kB.").waitFor();
  await refused.getByRole("button", { name: "Discard" }).click();
  await refused.waitFor({ state: "detached" });

  await inbox.page.route("**/api/upload", () => {});
  await picker.setInputFiles({ name: "slow.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
  await send.click();
  const slow = inbox.message("slow.txt");
  await slow.getByRole("progressbar", { name: "Uploading slow.txt" }).waitFor();
  await slow.getByRole("button", { name: "Stop" }).click();
  await slow.waitFor({ state: "detached" });
  await inbox.write("never mind");
  await ada.message("never mind");
  assert.ok((await ada.history(ada.conversationId)).every(({ type }) => type === "TEXT"));
});

test("an upload that goes on leaves the button that stops it in place", async (t) => {
  const { inbox } = await talking(t);
  await inbox.page.evaluate(() => {
    XMLHttpRequest.prototype.send = function send() {
      globalThis.goOn = (loaded) => this.upload.onprogress({ loaded, total: 100 });
    };
  });
  await inbox.page.locator("#thread input[type=file]").setInputFiles({ name: "slow.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
  await inbox.page.getByRole("button", { name: "Send", exact: true }).click();
  const stop = inbox.message("slow.txt").getByRole("button", { name: "Stop" });
  const first = await stop.elementHandle();
  await until(inbox.page, () => globalThis.goOn);
  for (const loaded of [20, 40]) {
    await inbox.page.evaluate((share) => globalThis.goOn(share), loaded);
    await until(inbox.page, (share) => document.querySelector("#log progress").value === share, loaded);
  }
  assert.ok(await first.evaluate((element) => element.isConnected));
  await stop.click();
  await inbox.message("slow.txt").waitFor({ state: "detached" });
  inbox.assertNoFault();
});

test("a server that is killed loses nothing, and nothing comes twice", async (t) => {
  const { server, inbox, ada } = await talking(t);
  await inbox.write("before");
  await ada.message("before");
  await server.kill();
  await inbox.page.locator("#connection:not([data-state=live])").waitFor();
  await inbox.write("while it was away");
  await inbox.write("and another");
  await inbox.message("and another").waitFor();
  await server.start();
  await inbox.reaches("and another", "sent");
  await ada.write("after");
  await inbox.message("after").waitFor();

  const history = await ada.history(ada.conversationId);
  const wanted = ["before", "while it was away", "and another", "after"];
  assert.deepEqual(history.map(({ content }) => content).slice(-4), wanted);
  await inbox.shows(history.map(({ content }) => content));
});

test("a conversation that is in no list stays open over an interruption", async (t) => {
  const { server, inbox, ada } = await talking(t);
  await inbox.action("Close").click();
  const closed = inbox.thread.getByText("This conversation is closed.");
  await closed.waitFor();
  // By its address alone, in a folder where it is not.
  await inbox.page.goto("about:blank");
  await inbox.page.goto(`${server.base}/inbox#waiting/${ada.conversationId}`);
  await closed.waitFor();
  await server.kill();
  await inbox.page.locator("#connection:not([data-state=live])").waitFor();
  await server.start();
  await inbox.ready();
  await inbox.page.getByRole("heading", { name: "Ada Lovelace" }).waitFor();
  await closed.waitFor();
  await ada.write("One more thing");
  await inbox.message("One more thing").waitFor();
  await inbox.text.waitFor();
});

test("who is offline is told so, and what they write is sent later", async (t) => {
  const { inbox, ada } = await talking(t);
  await inbox.page.context().setOffline(true);
  await inbox.thread.getByText("You are offline.").waitFor();
  await inbox.write("from the train");
  await inbox.message("from the train").getByText("Sending …").waitFor();
  await inbox.page.context().setOffline(false);
  await ada.message("from the train");
  await until(inbox.page, () => document.querySelector(".notice").hidden);
});

test("half an answer survives a reload, and is gone once it is sent", async (t) => {
  const { inbox, ada } = await talking(t);
  await inbox.text.fill("Half an ans");
  await inbox.page.reload();
  await inbox.ready();
  await inbox.text.waitFor();
  assert.equal(await inbox.text.inputValue(), "Half an ans");
  await inbox.write("A whole answer");
  await ada.message("A whole answer");
  await inbox.page.reload();
  await inbox.text.waitFor();
  assert.equal(await inbox.text.inputValue(), "");
});

/** A picture of one colour. */
function png(width, height) {
  const table = Array.from({ length: 256 }, (_, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    return sum >>> 0;
  });
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    let sum = 0xffffffff;
    for (const byte of body) sum = (sum >>> 8) ^ table[(sum ^ byte) & 255];
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE((sum ^ 0xffffffff) >>> 0);
    return Buffer.concat([length, body, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, Buffer.from([0x44, 0x53, 0xd6]))]);
  const pixels = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}
