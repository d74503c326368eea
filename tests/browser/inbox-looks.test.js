// That everybody can use the inbox: by keyboard, with a screen reader, on a phone, in the dark.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { person } from "./harness/people.js";
import { startServer } from "./harness/server.js";
import { agentAtInbox, openInbox, until, visitor } from "./inbox-page.js";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const ADA = { name: "Ada Lovelace", email: "ada@example.com", page: { url: "https://shop.example/", title: "Shop" } };

let browser;
let server;
before(async (t) => {
  [browser, server] = await Promise.all([startBrowser(t), startServer(t)]);
});

/** What of the page is a serious obstacle to somebody. */
async function obstacles(page) {
  const { violations } = await page.evaluate(`${AXE}; axe.run()`);
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}

for (const colorScheme of ["light", "dark"]) {
  test(`no part of the page is an obstacle in the ${colorScheme}`, async (t) => {
    const options = { colorScheme, reducedMotion: "reduce" };
    const login = await openInbox(t, browser, server, options);
    await login.page.getByLabel("E-mail").waitFor();
    assert.deepEqual(await obstacles(login.page), [], "login");

    const inbox = await agentAtInbox(t, browser, server, { ...options, viewport: { width: 1440, height: 900 } });
    const ada = await visitor(t, server, { ...ADA, name: `Ada in the ${colorScheme}` });
    await inbox.open(`Ada in the ${colorScheme}`);
    assert.deepEqual(await obstacles(inbox.page), [], "before it is claimed");
    await inbox.claim();
    await inbox.write("How can I help? See https://shop.example/help");
    await inbox.reaches("How can I help?", "sent");
    const upload = await ada.upload("list.txt", "1, 2, 3", "text/plain");
    await ada.write("My list", { type: "FILE", fileId: upload.id });
    await inbox.message("My list").waitFor();
    assert.deepEqual(await obstacles(inbox.page), [], "conversation");
    await inbox.page.keyboard.press("Escape");
    await inbox.page.keyboard.press("?");
    await inbox.page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    assert.deepEqual(await obstacles(inbox.page), [], "shortcuts");
    await closeSheet(inbox);
    await inbox.page.keyboard.press("n");
    await inbox.page.getByRole("dialog", { name: "New conversation" }).waitFor();
    assert.deepEqual(await obstacles(inbox.page), [], "new conversation");
    await closeSheet(inbox);
    await inbox.goTo("Closed");
    assert.deepEqual(await obstacles(inbox.page), [], "an empty folder");
  });
}

/** Closes the sheet that is open. */
async function closeSheet({ page }) {
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
}

test("an obstacle would be noticed", async (t) => {
  const { page } = await openInbox(t, browser, server);
  await page.getByLabel("E-mail").waitFor();
  await page.evaluate(() => document.querySelector("label[for=email]").remove());
  assert.match((await obstacles(page)).join(), /label/);
});

test("everything can be done with the keyboard alone", async (t) => {
  const own = await startServer(t);
  const anna = await person(t, own, "anna", "AGENT");
  const ada = await visitor(t, own, ADA);
  await visitor(t, own, { name: "Grace" });
  const inbox = await openInbox(t, browser, own);
  const { keyboard } = inbox.page;
  await until(inbox.page, () => document.activeElement?.id === "email");
  await keyboard.type(anna.email);
  await keyboard.press("Tab");
  await keyboard.type(anna.password);
  await keyboard.press("Enter");
  await inbox.row("Ada Lovelace").waitFor();

  // Newest first: the second one down is Ada.
  await keyboard.press("j");
  await inbox.page.getByRole("heading", { name: "Grace" }).waitFor();
  await keyboard.press("j");
  await inbox.page.getByRole("heading", { name: "Ada Lovelace" }).waitFor();
  await inbox.message("Hello?").waitFor();
  await keyboard.press("c");
  await until(inbox.page, () => document.activeElement?.id === "reply");
  // In a field a letter is a letter.
  await keyboard.type("jack ec?");
  await keyboard.press("Enter");
  await inbox.reaches("jack ec?", "sent");
  assert.equal((await ada.history(ada.conversationId)).at(-1).content, "jack ec?");
  await keyboard.press("Escape");
  await until(inbox.page, () => document.activeElement?.id === "log");
  await keyboard.press("e");
  await inbox.thread.getByText("This conversation is closed.").waitFor();
  await keyboard.press("e");
  await inbox.text.waitFor();
  await keyboard.press("1");
  await inbox.row("Grace").waitFor();
  // The arrows walk through the list, and the focus goes along.
  await keyboard.press("3");
  await inbox.row("Ada Lovelace").focus();
  await keyboard.press("ArrowDown");
  await until(inbox.page, () => document.activeElement.matches("a.row[aria-current]") && document.activeElement.textContent.includes("Grace"));
  inbox.assertNoFault();
});

test("single keys can be switched off, but for the sheet that switches them on", async (t) => {
  const inbox = await agentAtInbox(t, browser, server);
  const { keyboard } = inbox.page;
  const sheet = inbox.page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await keyboard.press("?");
  await sheet.getByLabel("Use single keys as shortcuts").uncheck();
  await closeSheet(inbox);
  await keyboard.press("4");
  await keyboard.press("?");
  await sheet.waitFor();
  assert.equal(await inbox.page.locator("#folder-title").textContent(), "Waiting");
  await sheet.getByLabel("Use single keys as shortcuts").check();
  await closeSheet(inbox);
  await keyboard.press("4");
  await inbox.page.getByRole("heading", { name: "Closed", exact: true }).waitFor();
});

test("a phone shows the list or the conversation, and Back leads from one to the other", async (t) => {
  const own = await startServer(t);
  const ada = await visitor(t, own, { ...ADA, name: "A visitor whose name is longer than any phone is wide, and then some" }, "x".repeat(300));
  const inbox = await agentAtInbox(t, browser, own, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const fits = () => inbox.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.equal(await inbox.thread.isVisible(), false);
  assert.ok(await fits());
  await inbox.row("A visitor").tap();
  await inbox.message("xxx").waitFor();
  assert.equal(await inbox.rows.first().isVisible(), false);
  assert.ok(await fits());
  await inbox.action("Claim").tap();
  await inbox.text.waitFor();
  await inbox.write("On my way");
  await inbox.reaches("On my way", "sent");
  await ada.write("Good");
  await inbox.message("Good").waitFor();

  await inbox.page.getByRole("button", { name: "Details", exact: true }).tap();
  await inbox.about.getByText("ada@example.com").waitFor();
  assert.ok(await fits());
  await inbox.about.getByRole("button", { name: "Close details" }).tap();
  await inbox.page.goBack();
  await inbox.page.goBack();
  await inbox.rows.first().waitFor({ state: "hidden" });
  await inbox.page.locator(".list").waitFor();
  await inbox.folder("Mine").tap();
  await inbox.row("A visitor").tap();
  await inbox.page.getByRole("button", { name: "Back to the list" }).tap();
  await inbox.row("A visitor").waitFor();
  inbox.assertNoFault();
});

test("whoever is at a button stays there while the page around it changes", async (t) => {
  const own = await startServer(t);
  const ada = await visitor(t, own, ADA);
  const inbox = await agentAtInbox(t, browser, own, { viewport: { width: 1440, height: 900 } });
  await inbox.open("Ada Lovelace");
  const { page } = inbox;
  const details = inbox.action("Details");
  const close = inbox.about.getByRole("button", { name: "Close details" });
  const places = [details, close, inbox.action("Claim"), inbox.about.getByRole("link", { name: "Shop" })];
  for (const [at, place] of places.entries()) {
    await place.focus();
    await ada.write(`number ${at}`);
    await inbox.row("Ada Lovelace").getByText(`number ${at}`).waitFor();
    assert.ok(await place.evaluate((element) => element === document.activeElement), `number ${at}`);
  }
  await close.focus();
  await page.keyboard.press("Enter");
  await inbox.about.waitFor({ state: "hidden" });
  assert.ok(await details.evaluate((element) => element === document.activeElement));
  inbox.assertNoFault();
});

test("that a list could not be loaded is said once, and its button keeps the focus", async (t) => {
  const own = await startServer(t);
  const inbox = await agentAtInbox(t, browser, own);
  await inbox.page.route("**/api/inbox?*", (route) => route.abort());
  await inbox.goTo("Closed");
  const again = inbox.page.getByRole("button", { name: "Try again" });
  await again.focus();
  await inbox.page.locator("#rows [role=alert]").evaluate((element) => { element.dataset.first = "yes"; });
  await visitor(t, own, ADA);
  await inbox.folder("Waiting").getByText("1").waitFor();
  assert.equal(await inbox.page.locator("#rows [role=alert][data-first]").count(), 1);
  assert.ok(await again.evaluate((element) => element === document.activeElement));
});
