// A visitor and an agent: the widget in Chromium, the agent over REST and npm's `socket.io-client`.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { agent } from "./harness/people.js";
import { page, startSite } from "./harness/site.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { arrive, visitor } from "./harness/widget.js";

const server = await startServer({ after });
const site = await startSite({ after });
const browser = await startBrowser({ after });
const shop = site.show("/shop", page(server));

/** A visitor who has written, and the agent who has claimed it. */
async function conversation(t, first = "Is anybody there?") {
  const widget = await visitor(t, browser, shop);
  await widget.open();
  await widget.write(first);
  await widget.reaches(first, "sent");
  const anna = await agent(t, server);
  const id = await anna.claim((one) => one.lastMessage?.content === first);
  return { widget, anna, id };
}

/** Texts that no other test of this server's has written. */
let count = 0;
const unique = (text) => `${text} ${++count}`;

test("a visitor and an agent talk, and each sees what the other writes, in order", async (t) => {
  const first = unique("Is anybody there?");
  const { widget, anna, id } = await conversation(t, first);
  await anna.say(id, "Yes! What is it?");
  await widget.shows([first, "Yes! What is it?"]);
  await widget.write("My parcel is late.\nBy a week.");
  assert.equal((await anna.message("My parcel is late.\nBy a week.")).conversationId, id);
  await anna.say(id, "I look where it is.");
  await widget.shows([first, "Yes! What is it?", "My parcel is late.\nBy a week.", "I look where it is."]);
  const history = await anna.history(id);
  assert.deepEqual(history.slice(-4).map((one) => one.content), await widget.texts());
  widget.assertNoFault();
});

test("each sees that the other is writing, and that it was read", async (t) => {
  const first = unique("May I ask something?");
  const { widget, anna, id } = await conversation(t, first);
  await anna.emit("typing:start", { conversationId: id });
  await widget.log.locator(".typing .dots").waitFor();
  await anna.emit("typing:stop", { conversationId: id });
  await widget.log.locator(".typing .dots").waitFor({ state: "hidden" });
  await widget.text.pressSequentially("Where");
  assert.equal((await anna.event("typing:start")).conversationId, id);

  const { seq } = (await anna.history(id)).find((one) => one.content === first);
  assert.ok(seq > 0);
  const ids = (await anna.history(id)).filter((one) => one.content === first).map((one) => one.id);
  await anna.emit("message:read", { conversationId: id, messageIds: ids });
  await widget.reaches(first, "read");
  const said = await anna.say(id, "Of course.");
  assert.equal((await anna.event("message:read", (read) => [read.messageId, ...read.messageIds ?? []].includes(said.id))).conversationId, id);
});

test("a conversation goes on after a reload, on another page and in another tab", async (t) => {
  const first = unique("Remember me?");
  const { widget, anna, id } = await conversation(t, first);
  await anna.say(id, "We do.");
  await widget.shows([first, "We do."]);
  await widget.page.reload();
  // It was open, so it is open again, and takes the focus from nobody.
  await widget.panel.waitFor();
  await widget.shows([first, "We do."]);
  assert.equal(await widget.page.evaluate(() => document.activeElement === document.body), true);
  await widget.close();

  const tab = await arrive(widget.page.context(), site.show("/other", page(server)));
  await tab.open();
  await tab.shows([first, "We do."]);
  await tab.write("From another tab");
  assert.equal((await anna.message("From another tab")).conversationId, id);
  await widget.open();
  await widget.shows([first, "We do.", "From another tab"]);
});

test("an answer is counted on the button while the widget is closed, also on the next page, and read once it is seen", async (t) => {
  const first = unique("Call me back");
  const { widget, anna, id } = await conversation(t, first);
  await widget.close();
  await anna.say(id, "One");
  await anna.say(id, "Two");
  await widget.badge.getByText("2", { exact: true }).waitFor();
  assert.match(await widget.launcher.getAttribute("aria-label"), /2 new messages/);

  await widget.page.goto(site.show("/next", page(server)));
  await widget.badge.getByText("2", { exact: true }).waitFor();
  assert.equal(await widget.panel.isVisible(), false);
  await widget.open();
  await widget.shows([first, "One", "Two"]);
  await widget.page.waitForFunction(() => document.querySelector("priyo-widget").shadowRoot.querySelector(".badge").textContent === "");
  const last = (await anna.history(id)).at(-1);
  await anna.event("message:read", (read) => [read.messageId, ...read.messageIds ?? []].includes(last.id));
});

test("a long history loads back as one scrolls, in order and without a repeat", async (t) => {
  const first = unique("Tell me everything");
  const { widget, anna, id } = await conversation(t, first);
  await widget.close();
  const said = [first, ...Array.from({ length: 180 }, (_, index) => `Line ${index}`)];
  for (const line of said.slice(1)) await anna.say(id, line);
  await widget.page.reload();
  await widget.open();
  await widget.row("Line 179").waitFor();
  assert.ok((await widget.texts()).length < said.length, "not everything is loaded at once");
  // Up to the beginning, however often more comes in above.
  await widget.page.waitForFunction((count) => {
    const log = document.querySelector("priyo-widget").shadowRoot.querySelector("[role=log]");
    log.scrollTop = 0;
    return log.querySelectorAll(".list .row .text").length === count;
  }, said.length);
  assert.deepEqual(await widget.texts(), said);
});

test("what is loaded above leaves in place what one is reading", async (t) => {
  const first = unique("Tell me a story");
  const { widget, anna, id } = await conversation(t, first);
  await widget.close();
  for (let index = 0; index < 90; index += 1) await anna.say(id, `Line ${index}`);
  await widget.page.reload();
  await widget.open();
  await widget.row("Line 89").waitFor();
  const top = (text) => widget.row(text).evaluate((row) => row.getBoundingClientRect().top);
  const [oldest] = await widget.texts();
  await widget.log.evaluate((log) => { log.scrollTop = 100; });
  const before = await top(oldest);
  await widget.page.waitForFunction((text) => {
    const rows = [...document.querySelector("priyo-widget").shadowRoot.querySelectorAll(".list .row .text")];
    return rows[0].textContent !== text;
  }, oldest);
  assert.ok(Math.abs((await top(oldest)) - before) < 40, `${before} is now ${await top(oldest)}`);
});

test("nothing is loaded until the button is used, and no cookie is ever set", async (t) => {
  const widget = await visitor(t, browser, shop);
  await widget.page.waitForLoadState("networkidle");
  const asked = () => widget.page.notes.requests.map(({ url }) => url).filter((url) => url.startsWith(server.base));
  assert.deepEqual(asked(), [`${server.base}/widget.js`]);
  await widget.open();
  assert.ok(asked().length > 1);
  // Who has looked and said nothing is not looked for on the next page either.
  await widget.close();
  widget.page.notes.requests.length = 0;
  await widget.page.reload();
  await widget.launcher.waitFor();
  await widget.page.waitForLoadState("networkidle");
  assert.deepEqual(asked(), [`${server.base}/widget.js`]);
  assert.deepEqual(await widget.page.context().cookies(), []);
});

test("whoever opens it and says nothing does not stand in the queue", async (t) => {
  const widget = await visitor(t, browser, shop);
  await widget.open();
  const anna = await agent(t, server);
  const before = (await anna.call("GET", "/api/inbox?state=unassigned")).conversations.length;
  const first = unique("Now I do");
  await widget.write(first);
  await widget.reaches(first, "sent");
  const waiting = (await anna.call("GET", "/api/inbox?state=unassigned")).conversations;
  assert.equal(waiting.length, before + 1);
  const { visitor: who } = waiting.find((one) => one.lastMessage?.content === first);
  assert.equal(who.page.url, shop);
  assert.equal(who.page.title, "A shop");
});

test("the agent sees the page without what follows its path, which may be a secret", async (t) => {
  const widget = await visitor(t, browser, `${shop}?reset=topsecret#fragment`);
  await widget.open();
  const first = unique("Do you see my secret?");
  await widget.write(first);
  await widget.reaches(first, "sent");
  const anna = await agent(t, server);
  const { conversations } = await anna.call("GET", "/api/inbox?state=unassigned");
  assert.equal(conversations.find((one) => one.lastMessage?.content === first).visitor.page.url, shop);
  assert.doesNotMatch(JSON.stringify(widget.page.notes.requests.filter(({ url }) => url.startsWith(server.base))), /topsecret/);
});

test("a closed conversation says so, and opens again when the visitor writes", async (t) => {
  const first = unique("Solve this");
  const { widget, anna, id } = await conversation(t, first);
  await anna.call("DELETE", `/api/conversations/${id}`);
  await widget.log.getByText("This conversation is closed. Write to open it again.").waitFor();
  await widget.write("It is not solved");
  await widget.reaches("It is not solved", "sent");
  await widget.log.getByText("This conversation is closed. Write to open it again.").waitFor({ state: "hidden" });
  assert.equal((await anna.history(id)).at(-1).content, "It is not solved");
});
