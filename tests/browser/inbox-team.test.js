// Conversations between colleagues.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { agent, person } from "./harness/people.js";
import { startServer } from "./harness/server.js";
import { agentAtInbox } from "./inbox-page.js";

let browser;
before(async (t) => {
  browser = await startBrowser(t);
});

/** Chooses people in the sheet of a new conversation. */
async function choose(inbox, ...people) {
  await inbox.page.getByRole("button", { name: "New conversation" }).click();
  const sheet = inbox.page.getByRole("dialog", { name: "New conversation" });
  for (const { username } of people) {
    await sheet.getByLabel("Find people by name").fill(username);
    await sheet.getByLabel(username).check();
  }
  return sheet;
}

for (const role of ["AGENT", "ADMIN"]) {
  test(`an ${role} starts a direct conversation, and the same one the next time`, async (t) => {
    const server = await startServer(t);
    const inbox = await agentAtInbox(t, browser, server, { role });
    const bert = await agent(t, server, "bert");
    for (const text of ["Can you take Ada?", "Or Grace?"]) {
      const sheet = await choose(inbox, bert);
      await sheet.getByRole("button", { name: "Start" }).click();
      await sheet.waitFor({ state: "hidden" });
      await inbox.page.locator("#thread-title", { hasText: bert.username }).waitFor();
      await inbox.write(text);
      await inbox.reaches(text, "sent");
    }
    const { conversations } = await bert.call("GET", "/api/conversations");
    assert.deepEqual(conversations.map(({ type }) => type), ["DIRECT"]);
    assert.deepEqual((await bert.history(conversations[0].id)).map(({ content }) => content), ["Can you take Ada?", "Or Grace?"]);

    await bert.say(conversations[0].id, "With pleasure.");
    await inbox.message("With pleasure.").waitFor();
    await inbox.row(bert.username).getByText("With pleasure.").waitFor();
  });
}

test("a group has a name, grows, and can be left", async (t) => {
  const server = await startServer(t);
  const inbox = await agentAtInbox(t, browser, server);
  const [bert, cleo, dora] = await Promise.all(["bert", "cleo", "dora"].map((name) => person(t, server, name, "AGENT")));
  const sheet = await choose(inbox, bert, cleo);
  await sheet.getByLabel("Name of the group").fill("Night shift");
  await sheet.getByRole("button", { name: "Start" }).click();
  await sheet.waitFor({ state: "hidden" });
  await inbox.page.getByRole("heading", { name: "Night shift" }).waitFor();
  await inbox.write("Hello both");
  await inbox.reaches("Hello both", "sent");

  await inbox.about.getByRole("button", { name: "Add people" }).click();
  const more = inbox.page.getByRole("dialog", { name: "Add people" });
  await more.getByLabel("Find people by name").fill(dora.username);
  await more.getByLabel(dora.username).check();
  await more.getByRole("button", { name: "Add" }).click();
  await more.waitFor({ state: "hidden" });
  await inbox.about.getByText("People (4)").waitFor();
  assert.doesNotMatch(await inbox.about.innerText(), /null|undefined|false/);
  const { conversations: [group] } = await dora.call("GET", "/api/conversations");
  assert.equal(group.name, "Night shift");

  await dora.say(group.id, "Thanks for the invitation");
  await inbox.message("Thanks for the invitation").waitFor();
  await inbox.message(dora.username).waitFor();

  inbox.page.removeAllListeners("dialog");
  inbox.page.once("dialog", (dialog) => dialog.accept());
  await inbox.about.getByRole("button", { name: "Leave" }).click();
  await inbox.page.getByRole("heading", { name: "No conversations yet" }).waitFor();
});

test("a message in a conversation that is not open is counted until it is read", async (t) => {
  const server = await startServer(t);
  const inbox = await agentAtInbox(t, browser, server);
  const bert = await agent(t, server, "bert");
  const { conversation } = await bert.call("POST", "/api/conversations", { body: { participantIds: [inbox.who.id], type: "DIRECT" }, status: 201 });
  await inbox.goTo("Team");
  await inbox.row(bert.username).waitFor();
  await bert.say(conversation.id, "Psst");
  await inbox.row(bert.username).getByText("unread").waitFor({ state: "attached" });
  await inbox.folder("Team").getByText("1").waitFor();
  await inbox.open(bert.username);
  await inbox.row(bert.username).locator(".badge").waitFor({ state: "detached" });
  inbox.assertNoFault();
});
