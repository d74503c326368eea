// The queue: who waits, who takes it, and where it goes from there.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { Heard } from "./harness/patience.js";
import { startServer } from "./harness/server.js";
import { person } from "./harness/people.js";
import { agentAtInbox, openInbox, openTab, until, visitor } from "./inbox-page.js";

let browser;
before(async (t) => {
  browser = await startBrowser(t);
});

const ADA = { name: "Ada Lovelace", email: "ada@example.com", page: { url: "https://shop.example/pricing?a=1", title: "Pricing" } };

test("who writes is in the queue at once, with what is known of them", async (t) => {
  const server = await startServer(t);
  const inbox = await agentAtInbox(t, browser, server);
  await inbox.page.getByRole("heading", { name: "Nobody is waiting" }).waitFor();
  assert.equal(await inbox.page.title(), "Inbox");

  const ada = await visitor(t, server, ADA, "Is there a discount?");
  const row = inbox.row("Ada Lovelace");
  await row.getByText("Is there a discount?").waitFor();
  await row.getByText("Pricing").waitFor();
  await row.locator("time.wait.fresh").waitFor();
  await until(inbox.page, () => document.title === "(1) Inbox");

  await inbox.open("Ada Lovelace");
  await inbox.message("Is there a discount?").waitFor();
  await inbox.about.getByText("ada@example.com").waitFor();
  assert.equal(await inbox.about.getByRole("link", { name: "Pricing" }).getAttribute("href"), ADA.page.url);
  // Looking is not taking.
  assert.equal(await inbox.text.count(), 0);
  await ada.write("For students?");
  await inbox.message("For students?").waitFor();
  await row.getByText("For students?").waitFor();
  inbox.assertNoFault();
});

test("who comes while the list is read is in it", async (t) => {
  const server = await startServer(t);
  const anna = await person(t, server, "anna", "AGENT");
  const inbox = await openInbox(t, browser, server);
  const [lists, frames] = [new Heard(), new Heard()];
  inbox.page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => frames.add(String(payload))));
  // Every list is as it was before, and comes when the page has heard of somebody new.
  await inbox.page.route("**/api/inbox?*", async (route) => {
    const response = await route.fetch();
    lists.add({ url: route.request().url(), number: lists.all.length + 1 });
    await frames.first((frame) => frame.includes("inbox:new"), "somebody comes");
    await route.fulfill({ response });
  });
  await inbox.signIn(anna);
  // Two folders at first, and again when the connection is there.
  await lists.first(({ number }) => number === 4, "four lists");
  await visitor(t, server, ADA);
  await inbox.ready();
  await inbox.row("Ada Lovelace").waitFor();
  inbox.assertNoFault();
});

test("of two agents who claim at once one gets it, and the other is told by whom", async (t) => {
  const server = await startServer(t);
  const [anna, bert] = await Promise.all(["anna", "bert"].map((name) => agentAtInbox(t, browser, server, { name })));
  await visitor(t, server, ADA);
  await Promise.all([anna, bert].map((agent) => agent.open("Ada Lovelace")));
  // Neither claim goes before both have been asked for.
  const asked = new Heard();
  for (const agent of [anna, bert]) {
    await agent.page.route("**/api/inbox/*/claim", async (route) => {
      asked.add(asked.all.length + 1);
      await asked.first((number) => number === 2, "both claims");
      await route.continue();
    });
  }
  await Promise.all([anna, bert].map((agent) => agent.action("Claim").click()));

  const got = [anna, bert].map((agent) => agent.text.waitFor().then(() => agent));
  got.forEach((promise) => promise.catch(() => {}));
  const winner = await Promise.any(got);
  const loser = winner === anna ? bert : anna;
  await loser.page.getByRole("alert").getByText(`${winner.who.username} has claimed it already.`).waitFor();
  await loser.thread.getByText(`${winner.who.username} is answering this conversation.`).waitFor();
  assert.equal(await loser.text.count(), 0);
  assert.equal(await loser.action("Claim").count(), 0);
  await loser.page.getByRole("heading", { name: "Nobody is waiting" }).waitFor();
  await winner.page.getByRole("heading", { name: "Mine", exact: true }).waitFor();
  winner.assertNoFault();
  // What the browser says of the refusal, and nothing else.
  loser.assertNoFault(/409/);
});

test("a conversation can be released, closed and reopened, and every page follows", async (t) => {
  const server = await startServer(t);
  const [anna, bert] = await Promise.all(["anna", "bert"].map((name) => agentAtInbox(t, browser, server, { name })));
  const ada = await visitor(t, server, ADA);
  await anna.open("Ada Lovelace");
  await anna.claim();
  await anna.row("Ada Lovelace").waitFor();
  await bert.page.getByRole("heading", { name: "Nobody is waiting" }).waitFor();

  await anna.action("Release").click();
  await bert.row("Ada Lovelace").waitFor();
  await anna.claim();
  await anna.action("Close").click();
  await anna.thread.getByText("This conversation is closed.").waitFor();
  await bert.goTo("Closed");
  await bert.row("Ada Lovelace").waitFor();

  await anna.action("Reopen").click();
  await anna.text.waitFor();
  await bert.page.getByRole("heading", { name: "Nothing is closed yet" }).waitFor();

  await anna.action("Close").click();
  await bert.row("Ada Lovelace").waitFor();
  await ada.write("One more question");
  await bert.page.getByRole("heading", { name: "Nothing is closed yet" }).waitFor();
  await anna.message("One more question").waitFor();
  for (const agent of [anna, bert]) agent.assertNoFault();
});

test("colleagues read along what another one answers, and an administrator can take it back", async (t) => {
  const server = await startServer(t);
  const [anna, bert, root] = await Promise.all([["anna"], ["bert"], ["root", "ADMIN"]].map(([name, role]) => agentAtInbox(t, browser, server, { name, role })));
  const ada = await visitor(t, server, ADA);
  await anna.open("Ada Lovelace");
  await anna.claim();
  for (const other of [bert, root]) {
    await other.goTo("Open");
    await other.open("Ada Lovelace");
    await other.thread.getByText(`${anna.who.username} is answering this conversation.`).waitFor();
  }
  await anna.write("How can I help?");
  await ada.write("With an invoice.");
  for (const other of [bert, root]) {
    await other.message("How can I help?").waitFor();
    await other.message("With an invoice.").waitFor();
    assert.equal(await other.text.count(), 0);
  }
  assert.equal(await bert.action("Release").count(), 0);
  await root.action("Release").click();
  for (const agent of [anna, bert, root]) await agent.action("Claim").waitFor();
  assert.equal(await anna.text.count(), 0);
  await bert.claim();
  await bert.write("I take over");
  for (const agent of [anna, root]) await agent.message("I take over").waitFor();
  for (const agent of [anna, bert, root]) agent.assertNoFault();
});

test("a list that cannot be read says so, and is read when one asks again", async (t) => {
  const server = await startServer(t);
  await visitor(t, server, ADA);
  const inbox = await agentAtInbox(t, browser, server);
  let asked = 0;
  await inbox.page.route("**/api/inbox?*", (route) => {
    asked += 1;
    return route.abort();
  });
  await inbox.goTo("Open");
  await inbox.page.getByRole("heading", { name: "The list could not be loaded" }).waitFor();
  // Two frames later anything that asks by itself would have done so.
  await inbox.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  assert.equal(asked, 1);
  await inbox.page.unroute("**/api/inbox?*");
  await inbox.page.getByRole("button", { name: "Try again" }).click();
  await inbox.row("Ada Lovelace").waitFor();
  assert.equal(await inbox.page.getByRole("heading", { name: "The list could not be loaded" }).count(), 0);
});

test("a queue of several pages is read as far as one scrolls", async (t) => {
  const server = await startServer(t);
  for (let number = 1; number <= 70; number += 1) await visitor(t, server, { name: `Visitor ${number}` });
  const inbox = await agentAtInbox(t, browser, server);
  await inbox.row("Visitor 70").waitFor();
  assert.ok(await inbox.rows.count() < 70, "all were read at once");
  await until(inbox.page, () => {
    const scroll = document.getElementById("rows-scroll");
    scroll.scrollTop = scroll.scrollHeight;
    return document.querySelectorAll("#rows a.row").length === 70;
  });
  const names = await inbox.rows.locator("strong").allTextContents();
  assert.equal(new Set(names).size, 70);
  inbox.assertNoFault();
});

test("a new conversation sounds in one of the tabs, and in none where sound is off", async (t) => {
  const server = await startServer(t);
  const inbox = await agentAtInbox(t, browser, server);
  const other = await openTab(inbox.page.context(), server);
  await other.ready();
  const tabs = [inbox, other];
  // Before somebody has touched a page it may not make a sound.
  for (const { page } of tabs) await page.locator("#folder-title").click();
  const played = async () => {
    const counts = await Promise.all(tabs.map(({ page }) => page.locator("#sound").getAttribute("data-played")));
    return counts.reduce((sum, count) => sum + Number(count), 0);
  };
  await visitor(t, server, { name: "First" });
  for (const tab of tabs) await tab.row("First").waitFor();
  await Promise.any(tabs.map(({ page }) => page.locator("#sound[data-played='1']").waitFor()));
  assert.equal(await played(), 1);

  await inbox.page.getByRole("button", { name: "Notification sound" }).click();
  for (const { page } of tabs) await page.locator("#sound[aria-pressed=false]").waitFor();
  await visitor(t, server, { name: "Second" });
  for (const tab of tabs) await tab.row("Second").waitFor();
  assert.equal(await played(), 1);
});
