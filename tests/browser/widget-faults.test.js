// What a visitor must not notice, or must be told: servers that die, networks that go away, refusals.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, test } from "node:test";
import { agent, person } from "./harness/people.js";
import { page, startSite } from "./harness/site.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { visitor } from "./harness/widget.js";

const site = await startSite({ after });
const browser = await startBrowser({ after });

/** A server of its own, a visitor who has written, and the agent who has claimed it. */
async function scene(t, settings) {
  const server = await startServer(t, settings);
  const anna = await agent(t, server);
  const widget = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await widget.open();
  await widget.write("Hello");
  await widget.reaches("Hello", "sent");
  const id = await anna.claim();
  return { server, anna, widget, id };
}

test("a server that is killed in the middle of a conversation loses nothing and repeats nothing", async (t) => {
  const { server, anna, widget, id } = await scene(t);
  const said = ["Hello"];
  for (let round = 0; round < 3; round += 1) {
    await anna.say(id, `Before ${round}`);
    await widget.shows([...said, `Before ${round}`]);
    // On its way while the server dies: it may have it already, or not.
    await widget.write(`During ${round}`);
    await server.kill();
    await widget.banner.getByText(/./).waitFor();
    await widget.write(`Away ${round}`);
    await server.start();
    await widget.reaches(`Away ${round}`, "sent");
    await anna.say(id, `After ${round}`);
    said.push(`Before ${round}`, `During ${round}`, `Away ${round}`, `After ${round}`);
    await widget.shows(said);
    assert.deepEqual((await anna.history(id)).slice(-said.length).map((one) => one.content), said);
  }
});

test("what is written offline says so, and is sent once when the network is back", async (t) => {
  const { anna, widget, id } = await scene(t);
  const context = widget.page.context();
  await context.setOffline(true);
  await widget.banner.getByText("You are offline; it will be sent.").waitFor();
  await widget.write("Written offline");
  await widget.write("And another one");
  await widget.reaches("Written offline", "sending");
  await anna.say(id, "Said meanwhile");
  await context.setOffline(false);
  await widget.reaches("And another one", "sent");
  await widget.banner.getByText(/./).waitFor({ state: "hidden" });
  const contents = (await anna.history(id)).map((one) => one.content).slice(-4);
  assert.deepEqual(contents, ["Hello", "Said meanwhile", "Written offline", "And another one"]);
  await widget.shows(contents);
});

test("what is written offline is sent after a reload of the page", async (t) => {
  const { server, anna, widget, id } = await scene(t);
  await server.kill();
  await widget.write("Kept over the reload");
  await widget.reaches("Kept over the reload", "sending");
  await server.start();
  await widget.page.reload();
  await widget.reaches("Kept over the reload", "sent");
  assert.deepEqual((await anna.history(id)).slice(-2).map((one) => one.content), ["Hello", "Kept over the reload"]);
});

test("the first message of all is sent, too, when it was written without a network", async (t) => {
  const server = await startServer(t);
  const anna = await agent(t, server);
  const widget = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await widget.open();
  await widget.page.context().setOffline(true);
  await widget.banner.getByText("You are offline; it will be sent.").waitFor();
  await widget.write("First, and offline");
  await widget.reaches("First, and offline", "sending");
  await widget.page.context().setOffline(false);
  await widget.reaches("First, and offline", "sent");
  const id = await anna.claim();
  assert.deepEqual((await anna.history(id)).slice(-1).map((one) => one.content), ["First, and offline"]);
});

test("a server that is away when the chat is opened says so, and it comes when the server does", async (t) => {
  const server = await startServer(t);
  const widget = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await widget.page.route("**/api/widget/session", (route) => route.abort());
  await widget.launcher.click();
  await widget.panel.getByText("The chat cannot be reached now.").waitFor();
  await widget.page.unroute("**/api/widget/session");
  await widget.panel.getByRole("button", { name: "Try again" }).click();
  await widget.text.waitFor();
});

test("a script that could not be loaded is tried again, under another name: some browsers keep the failure", async (t) => {
  const server = await startServer(t);
  const widget = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await widget.page.route("**/widget/app.js", (route) => route.abort());
  const failed = widget.page.evaluate(() => new Promise((resolve) => Priyo.on("error", () => resolve())));
  await widget.launcher.click();
  await failed;
  await widget.open();
});

test("who was here before sees what they write before the connection is there", async (t) => {
  const { widget } = await scene(t);
  let connect;
  const connected = new Promise((resolve) => { connect = resolve; });
  await widget.page.routeWebSocket(/socket\.io/, async (socket) => {
    await connected;
    socket.connectToServer();
  });
  await widget.page.reload();
  await widget.write("Written at once");
  await widget.reaches("Written at once", "sending");
  connect();
  await widget.reaches("Written at once", "sent");
  await widget.shows(["Hello", "Written at once"]);
});

test("who one is can be said offline, and is known when the network is back", async (t) => {
  const secret = "a secret that only the website's own server knows";
  const { anna, server, widget, id } = await scene(t, { WIDGET_IDENTITY_SECRET: secret });
  const who = { userId: "pia", name: "Pia", hash: createHmac("sha256", secret).update("pia").digest("hex") };
  const context = widget.page.context();
  await context.setOffline(true);
  await widget.banner.getByText("You are offline; it will be sent.").waitFor();
  const failed = widget.page.waitForEvent("requestfailed", (request) => request.url().endsWith("/api/widget/session"));
  await widget.page.evaluate((one) => Priyo.identify(one), who);
  await failed;
  await widget.write("I am Pia");
  await widget.reaches("I am Pia", "sending");
  await context.setOffline(false);
  await widget.reaches("I am Pia", "sent");

  const phone = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await phone.page.evaluate((one) => Priyo.identify(one), who);
  await phone.open();
  await phone.shows(["Hello", "I am Pia"]);
  assert.equal((await anna.history(id)).at(-1).content, "I am Pia");
});

test("a file that waits for the conversation to begin can be taken away", async (t) => {
  const server = await startServer(t);
  const widget = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await widget.open();
  let begin;
  const begun = new Promise((resolve) => { begin = resolve; });
  await widget.page.route("**/api/widget/conversation", async (route) => {
    await begun;
    await route.continue();
  });
  await widget.sendFile({ name: "wrong.txt", mimeType: "text/plain", buffer: Buffer.from("the wrong one") });
  await widget.log.getByText("wrong.txt").waitFor();
  await widget.log.getByRole("button", { name: "Remove" }).click();
  await widget.log.getByText("wrong.txt").waitFor({ state: "detached" });
  begin();
  await widget.write("Without the file");
  await widget.reaches("Without the file", "sent");
  const anna = await agent(t, server);
  const id = await anna.claim();
  assert.deepEqual((await anna.history(id)).slice(1).map((one) => one.content), ["Without the file"]);
});

test("a refused file says why, and can be taken away", async (t) => {
  const { anna, widget, id } = await scene(t, { MAX_FILE_SIZE: "1000" });
  await widget.sendFile({ name: "film.txt", mimeType: "text/plain", buffer: Buffer.alloc(1001, "a") });
  await widget.log.getByText("The file is too large.").waitFor();
  assert.equal(await widget.log.getByRole("button", { name: "Try again" }).count(), 0);
  await widget.log.getByRole("button", { name: "Remove" }).click();
  await widget.log.getByText("The file is too large.").waitFor({ state: "hidden" });
  assert.deepEqual((await anna.history(id)).slice(-1).map((one) => one.content), ["Hello"]);
  await widget.write("Then without the film");
  await widget.reaches("Then without the film", "sent");
});

test("a token of three seconds is renewed while one talks", async (t) => {
  const server = await startServer(t, { JWT_ACCESS_EXPIRES_IN: "3s" });
  const widget = await visitor(t, browser, site.show(`/${server.port}`, page(server)));
  await widget.open();
  const said = ["Hello"];
  await widget.write("Hello");
  await widget.reaches("Hello", "sent");
  for (let round = 0; round < 3; round += 1) {
    await widget.page.waitForResponse((answer) => answer.url().endsWith("/api/widget/session") && answer.ok());
    said.push(`Round ${round}`);
    await widget.write(said.at(-1));
    await widget.reaches(said.at(-1), "sent");
  }
  const anna = await person(t, server, "anna", "AGENT");
  const { conversations } = await anna.call("GET", "/api/inbox?state=unassigned");
  await anna.call("POST", `/api/inbox/${conversations[0].id}/claim`);
  assert.deepEqual((await anna.history(conversations[0].id)).slice(-4).map((one) => one.content), said);
});
