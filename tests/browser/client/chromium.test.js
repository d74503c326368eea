// The client where it is at home: real tabs with one storage, real locks, a browser that knows when it is offline.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { newContext, newPage, startBrowser } from "../harness/browser.js";
import { inTime } from "../harness/patience.js";
import { startServer } from "../harness/server.js";
import { assertWhole, history, pair } from "./world.js";

const WEB = new URL("../../../priyo-core/web/", import.meta.url);
const PAGE = "<!doctype html><meta charset=utf-8><title>Client</title><link rel=icon href=data:,>";

const browser = await startBrowser({ after });
const origin = await startPages();

/** An empty page, and the client's modules as they are written. */
async function startPages() {
  const pages = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/") return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
    const text = await readFile(new URL(`.${pathname}`, WEB)).catch(() => null);
    response.writeHead(text ? 200 : 404, { "content-type": "text/javascript", "cache-control": "no-store" }).end(text);
  });
  await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
  after(() => { pages.close(); pages.closeAllConnections(); });
  // Another origin than the server's, as a website is.
  return `http://localhost:${pages.address().port}`;
}

/** A tab with a client: `page.client(action, argument)` does something with `{client, chat}` there. */
async function tab(context, server, id) {
  const page = await newPage(context);
  page.load = async () => {
    await page.goto(origin);
    await page.evaluate(async ({ url, id }) => {
      const { Client } = await import("/client.js");
      const client = new Client({ url, times: { wait: 100, waitMax: 1_000, ack: 2_000, poll: 200 } });
      const events = [];
      const here = globalThis.here = { client, chat: client.conversation(id), events };
      client.on("state", (state) => events.push(state));
      client.on("user", (user) => events.push(user && user.id));
      here.texts = () => here.chat.messages.map((message) => message.content);
      here.placed = () => here.chat.messages.filter((message) => message.seq);
    }, { url: server.base, id });
  };
  const text = (action, argument) => `(${action})(here, ${JSON.stringify(argument)})`;
  page.client = (action, argument) => inTime(page.evaluate(text(action, argument)), String(action));
  page.until = (condition, argument) => page.waitForFunction(text(condition, argument), null, { polling: 20 });
  page.messages = () => page.client(({ chat }) => chat.messages);
  await page.load();
  return page;
}

/** A tab that has logged in and follows. */
async function signedInTab(context, server, { email, password }, id) {
  const page = await tab(context, server, id);
  await page.client(({ client }, who) => client.login(who.email, who.password).then(() => null), { email, password });
  await page.client(({ chat }) => chat.follow().then(() => null));
  return page;
}

/** Another tab of the same browser. */
async function resumedTab(context, server, id) {
  const page = await tab(context, server, id);
  await page.client(({ client }) => client.resume().then(() => null));
  await page.client(({ chat }) => chat.follow().then(() => null));
  return page;
}

const numbers = (count) => Array.from({ length: count }, (_, at) => `number ${at}`);
const isLive = ({ client }) => client.state === "live";
const hasPlaced = (here, count) => here.placed().length === count && here.chat.messages.length === count;

test("two tabs: written in both while offline, each message goes once, and both show all in one order", async (t) => {
  const server = await startServer(t);
  const { one, id } = await pair(t, server);
  const context = await newContext(t, browser);
  const left = await signedInTab(context, server, one, id);
  const right = await resumedTab(context, server, id);
  const tabs = [left, right];
  await context.setOffline(true);
  for (const page of tabs) await page.until(({ client }) => client.state === "offline");
  const texts = numbers(20);
  for (const [at, text] of texts.entries()) await tabs[at % 2].client(({ chat }, said) => chat.send(said).key, text);
  // What one writes the other shows too, before anything is sent.
  for (const page of tabs) await page.until((here) => here.chat.messages.length === 20);
  await context.setOffline(false);
  for (const page of tabs) await page.until(hasPlaced, 20);
  for (const page of tabs) assertWhole(await page.messages(), texts);
  assertWhole(await history(one, id), texts);
  assert.equal(await left.client(() => localStorage.length), 1, "only the login is kept");
});

test("what a tab had not sent when it was closed another one sends", async (t) => {
  const server = await startServer(t);
  const { one, id } = await pair(t, server);
  const context = await newContext(t, browser);
  const left = await signedInTab(context, server, one, id);
  const right = await resumedTab(context, server, id);
  await context.setOffline(true);
  await left.until(({ client }) => client.state === "offline");
  await left.client(({ chat }) => chat.send("my last words").key);
  await right.until((here) => here.chat.messages.length === 1);
  await left.close();
  await context.setOffline(false);
  await right.until(hasPlaced, 1);
  assertWhole(await history(one, id), ["my last words"]);
});

test("two tabs renew one login in turns for as long as they are open", async (t) => {
  const server = await startServer(t, { JWT_ACCESS_EXPIRES_IN: "3s" });
  const { one, id } = await pair(t, server);
  const context = await newContext(t, browser);
  const left = await signedInTab(context, server, one, id);
  const right = await resumedTab(context, server, id);
  let refreshes = 0;
  context.on("request", (request) => { refreshes += request.method() === "POST" && request.url().endsWith("/refresh"); });
  const since = Date.now();
  for (let at = 0; Date.now() - since < 9_000; at += 1) {
    for (const page of [left, right]) await page.client(({ client }) => client.request("GET", "/api/auth/me").then(() => null));
    const said = `number ${at}`;
    await [left, right][at % 2].client(({ chat }, text) => chat.sent(chat.send(text).key).then(() => null), said);
  }
  for (const page of [left, right]) {
    const events = await page.client((here) => here.events);
    assert.deepEqual(events.slice(events.indexOf("live") + 1), [], "neither was disconnected or signed out");
  }
  // The server asks for another token each 1.5 s. Two tabs that did not know of each other would need twice as many.
  const most = (Date.now() - since) / 1_500 + 1;
  assert.ok(refreshes >= 3 && refreshes <= most, `${refreshes} refreshes`);
  const [here, there] = [await left.messages(), await right.messages()];
  assert.deepEqual(here.map((message) => message.id), there.map((message) => message.id));
});

test("a reload while the server is dead keeps what was written, and it goes once", async (t) => {
  const server = await startServer(t);
  const { one, id } = await pair(t, server);
  const context = await newContext(t, browser);
  const page = await signedInTab(context, server, one, id);
  await page.client(({ chat }) => chat.sent(chat.send("before").key).then(() => null));
  await server.kill();
  const keys = await page.client(({ chat }) => [chat.send("one").key, chat.send("two").key]);
  await page.until(({ client }) => client.state === "offline");
  await page.load();
  await page.client(({ client }) => client.resume().then(() => null));
  assert.deepEqual((await page.client(({ client }) => client.pending)).map((message) => message.key), keys);
  await server.start();
  await page.client(({ chat }) => chat.follow().then(() => null));
  await page.until(hasPlaced, 3);
  assertWhole(await page.messages(), ["before", "one", "two"]);
  assertWhole(await history(one, id), ["before", "one", "two"]);
});

test("a server killed and started again while both write: each message once and in order", async (t) => {
  const server = await startServer(t);
  const { one, other, id } = await pair(t, server);
  const here = await signedInTab(await newContext(t, browser), server, one, id);
  const there = await signedInTab(await newContext(t, browser), server, other, id);
  const both = [here, there];
  for (let round = 1; round <= 3; round += 1) {
    for (const page of both) await page.client(({ chat }) => { for (let at = 0; at < 10; at += 1) chat.send(`${at}`); });
    await server.kill();
    for (const page of both) await page.client(({ chat }) => { for (let at = 0; at < 5; at += 1) chat.send(`later ${at}`); });
    await server.start();
    for (const page of both) await page.until(hasPlaced, round * 30);
  }
  const stored = (await history(one, id)).map((message) => message.content);
  for (const page of both) assertWhole(await page.messages(), stored);
});

test("the browser says that it is offline, and that it is back: it is known at once", async (t) => {
  const server = await startServer(t);
  const { one, other, id } = await pair(t, server);
  const context = await newContext(t, browser);
  const page = await signedInTab(context, server, one, id);
  await context.setOffline(true);
  await page.until(({ client }) => client.state === "offline");
  await other.say(id, "missed");
  await context.setOffline(false);
  await page.until(hasPlaced, 1);
  assert.equal(await page.client(isLive), true);
});

test("where WebSocket does not go through it asks, and goes on over the socket when it may", async (t) => {
  const server = await startServer(t);
  const { one, other, id } = await pair(t, server);
  const context = await newContext(t, browser);
  await context.addInitScript(() => {
    const Real = WebSocket;
    globalThis.isBlocked = true;
    globalThis.WebSocket = class extends Real {
      constructor(url) {
        super(globalThis.isBlocked ? "ws://127.0.0.1:9/" : url);
      }
    };
  });
  const page = await signedInTab(context, server, one, id);
  assert.equal(await page.client(({ client }) => client.polling), true);
  await other.say(id, "asked for");
  await page.client(({ chat }) => chat.sent(chat.send("posted").key).then(() => null));
  await page.until(hasPlaced, 2);
  await page.evaluate(() => { globalThis.isBlocked = false; });
  await page.until(({ client }) => client.state === "live" && !client.polling);
  await other.say(id, "over the socket");
  await page.until(hasPlaced, 3);
  assertWhole(await page.messages(), ["asked for", "posted", "over the socket"]);
});

test("a file goes up with progress and is there for the other; one that is stopped never appears", async (t) => {
  const server = await startServer(t);
  const { one, other, id } = await pair(t, server);
  const here = await signedInTab(await newContext(t, browser), server, one, id);
  const there = await signedInTab(await newContext(t, browser), server, other, id);
  const stopped = await here.client(({ chat }) => {
    const { key } = chat.send({ text: "never", file: new File([new Uint8Array(3_000_000)], "never.txt", { type: "text/plain" }) });
    chat.discard({ key });
    return key;
  });
  const shares = await here.client(({ chat }) => {
    const seen = [];
    const text = "a line of text\n".repeat(200_000);
    const { key } = chat.send({ text: "see", file: new File([text], "notes.txt", { type: "text/plain" }) });
    chat.on("change", () => {
      const message = chat.messages.find((one) => one.key === key);
      if (message?.progress !== undefined) seen.push(message.progress);
    });
    return chat.sent(key).then(() => seen);
  });
  assert.ok(shares.every((share, at) => share >= 0 && share <= 1 && share >= (shares[at - 1] ?? 0)), String(shares));
  await there.until(hasPlaced, 1);
  const [message] = await there.messages();
  assert.deepEqual([message.content, message.type, message.fileName, message.fileSize], ["see", "FILE", "notes.txt", 3_000_000]);
  const size = await there.client(async ({ chat }) => (await (await fetch(await chat.file(chat.messages[0]))).text()).length);
  assert.equal(size, 3_000_000);
  const refused = await here.client(({ chat }) => {
    const { key } = chat.send({ file: new File([new Uint8Array([77, 90, 0, 1])], "virus.exe") });
    return chat.sent(key).catch((error) => error.code);
  });
  assert.equal(refused, "unsupported_media_type");
  assert.equal((await here.messages()).some((one) => one.key === stopped), false);
  assert.equal((await history(one, id)).length, 1);
});

test("no part is asked for while there is no way to the server: some browsers ask once only", async (t) => {
  const server = await startServer(t);
  const { one, id } = await pair(t, server);
  const context = await newContext(t, browser);
  const page = await tab(context, server, id);
  const login = () => page.client(({ client }, { email, password }) => (
    client.login(email, password).then((user) => user.id, (error) => error.code)), one);
  const asked = () => page.notes.requests.filter(({ url }) => url.endsWith("/client/login.js")).length;
  await context.setOffline(true);
  assert.deepEqual([await login(), asked()], ["offline", 0]);
  await context.setOffline(false);
  assert.deepEqual([await login(), asked()], [one.id, 1]);
});

test("no token is ever in a URL", async (t) => {
  const server = await startServer(t);
  const { one, id } = await pair(t, server);
  const page = await signedInTab(await newContext(t, browser), server, one, id);
  await page.client(({ chat }) => chat.sent(chat.send("hello").key).then(() => null));
  await page.client(({ client }) => client.logout());
  const urls = page.notes.requests.map(({ url, referer }) => `${url} ${referer}`);
  assert.ok(urls.some((url) => url.startsWith("ws:")), "sockets are seen");
  // Each token has its three parts, the first of which says that it is JSON.
  assert.deepEqual(urls.filter((url) => /eyJ|token=/i.test(url)), []);
  assert.deepEqual(page.notes.faults, []);
});
