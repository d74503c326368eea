// Who gets into the inbox, and who does not.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { person } from "./harness/people.js";
import { startServer } from "./harness/server.js";
import { agentAtInbox, openInbox, openTab } from "./inbox-page.js";

let browser;
let server;
before(async (t) => {
  [browser, server] = await Promise.all([startBrowser(t), startServer(t)]);
});

test("a wrong password is refused in words, and the right one opens the queue", async (t) => {
  const anna = await person(t, server, "anna", "AGENT");
  const inbox = await openInbox(t, browser, server);
  await inbox.signIn({ ...anna, password: "not the password" });
  await inbox.page.getByRole("alert").filter({ hasText: "E-mail or password is wrong." }).waitFor();

  await inbox.signIn(anna);
  await inbox.ready();
  assert.equal(await inbox.page.getByRole("heading", { name: "Waiting", exact: true }).count(), 1);
  assert.equal(await inbox.page.locator("#who").textContent(), anna.username);
  // What the browser says of the refusal, and nothing else.
  inbox.assertNoFault(/401/);
});

test("a customer is told that the page is for agents, and is not left signed in", async (t) => {
  const carl = await person(t, server, "carl", "CUSTOMER");
  const inbox = await openInbox(t, browser, server);
  await inbox.signIn(carl);
  await inbox.page.getByRole("alert").filter({ hasText: "this page is for agents" }).waitFor();
  await inbox.page.reload();
  await inbox.page.getByRole("button", { name: "Sign in" }).waitFor();
  assert.equal(await inbox.page.locator("#app").isVisible(), false);
});

test("a reload keeps the login and the place", async (t) => {
  const inbox = await agentAtInbox(t, browser, server);
  await inbox.goTo("Closed");
  await inbox.page.reload();
  await inbox.ready();
  await inbox.page.getByRole("heading", { name: "Closed", exact: true }).waitFor();
  inbox.assertNoFault();
});

test("signing out and in counts for all tabs", async (t) => {
  const one = await agentAtInbox(t, browser, server);
  const other = await openTab(one.page.context(), server);
  await other.ready();

  await one.page.getByRole("button", { name: "Sign out" }).click();
  for (const tab of [one, other]) await tab.page.getByRole("button", { name: "Sign in" }).waitFor();

  await one.signIn(one.who);
  for (const tab of [one, other]) await tab.ready();
});
