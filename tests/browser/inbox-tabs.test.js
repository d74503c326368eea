// Several tabs of one login.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { Heard } from "./harness/patience.js";
import { startServer } from "./harness/server.js";
import { agentAtInbox, openTab, visitor } from "./inbox-page.js";

let browser;
before(async (t) => {
  browser = await startBrowser(t);
});

test("two tabs of one login outlive many tokens", async (t) => {
  const server = await startServer(t, { JWT_ACCESS_EXPIRES_IN: "3s" });
  const one = await agentAtInbox(t, browser, server);
  const refreshes = new Heard();
  one.page.context().on("response", (response) => {
    if (response.url().endsWith("/api/auth/refresh")) refreshes.add({ status: response.status(), number: refreshes.all.length + 1 });
  });
  const other = await openTab(one.page.context(), server);
  await other.ready();
  await refreshes.first(({ number }) => number === 5, "five tokens");
  assert.deepEqual(new Set(refreshes.all.map(({ status }) => status)), new Set([200]));

  await visitor(t, server, { name: "Ada Lovelace" });
  for (const tab of [one, other]) await tab.open("Ada Lovelace");
  await one.claim();
  // The other tab can answer at once.
  await other.text.waitFor();
  await other.write("from the other tab");
  await one.message("from the other tab").waitFor();
  await one.write("from the first");
  await other.message("from the first").waitFor();
  for (const tab of [one, other]) await tab.shows(["Hello?", "from the other tab", "from the first"], 1);
});

test("what is read in one tab is read in the other", async (t) => {
  const server = await startServer(t);
  const one = await agentAtInbox(t, browser, server);
  const ada = await visitor(t, server, { name: "Ada Lovelace" });
  await one.open("Ada Lovelace");
  await one.claim();
  await one.goTo("Team");
  const other = await openTab(one.page.context(), server, "#mine");
  await other.ready();
  await ada.write("Are you there?");
  await other.row("Ada Lovelace").getByText("unread").waitFor({ state: "attached" });
  await other.open("Ada Lovelace");
  await one.goTo("Mine");
  await one.row("Ada Lovelace").locator(".badge").waitFor({ state: "detached" });
});

test("an address of a conversation opens it in another tab", async (t) => {
  const server = await startServer(t);
  const one = await agentAtInbox(t, browser, server);
  await visitor(t, server, { name: "Ada Lovelace" }, "Here I am");
  const address = await one.row("Ada Lovelace").getAttribute("href");
  const other = await openTab(one.page.context(), server, address);
  await other.ready();
  await other.message("Here I am").waitFor();
  await other.page.getByRole("heading", { name: "Ada Lovelace" }).waitFor();
});
