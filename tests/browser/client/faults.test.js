// Whatever happens to the connection: each message once, in order, and none lost.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import WebSocket from "ws";
import { Heard, inTime } from "../harness/patience.js";
import { startServer } from "../harness/server.js";
import { MemoryStorage, Network, assertWhole, clientFor, history, pair, signedIn, until } from "./world.js";

const server = await startServer({ after });

const numbers = (count, name = "number") => Array.from({ length: count }, (_, at) => `${name} ${at}`);
const stored = (handle) => handle.messages.filter((message) => message.seq);

test("a server killed and started again in the middle of a talk loses and repeats nothing", async (t) => {
  const mortal = await startServer(t);
  const { one, other, id } = await pair(t, mortal);
  const [mine, theirs] = [await signedIn(t, mortal.base, one), await signedIn(t, mortal.base, other)];
  const [here, there] = [mine.conversation(id), theirs.conversation(id)];
  await Promise.all([here.follow(), there.follow()]);
  const live = [];
  there.on("message", (message) => live.push(message.seq));
  const texts = numbers(60);
  for (let round = 0; round < 3; round += 1) {
    const half = texts.slice(round * 20, round * 20 + 10);
    for (const text of half) here.send(text);
    // Some are on their way.
    await until(() => stored(here).length > round * 20 + 2, [here], "a few sent");
    await mortal.kill();
    for (const text of texts.slice(round * 20 + 10, round * 20 + 20)) here.send(text);
    await mortal.start();
    await until(() => stored(there).length === (round + 1) * 20, [there, theirs], "all there");
  }
  await until(() => stored(here).length === 60 && !mine.pending.length, [here, mine], "all here");
  assertWhole(here.messages, texts);
  assertWhole(there.messages, texts);
  assert.deepEqual(live, texts.map((_, at) => at + 1), "each was told once, in order");
  assertWhole((await history(one, id)), texts);
});

test("what is written offline is sent later, in order, also by the page after a reload", async (t) => {
  const { one, other, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const storage = new MemoryStorage();
  const first = await signedIn(t, network.url, one, { storage });
  await first.conversation(id).follow();
  network.isDown = true;
  network.cut();
  await until(() => first.state === "offline", [first], "being offline");
  const keys = numbers(10).map((text) => first.conversation(id).send(text).key);
  assert.deepEqual(first.conversation(id).messages.map((message) => message.state), Array(10).fill("sending"));
  first.close();

  const second = clientFor(t, network.url, { storage });
  assert.equal((await second.resume()).id, one.id);
  assert.deepEqual(second.pending.map((message) => message.key), keys);
  second.conversation(id).send("after the reload");
  await until(() => second.state === "offline", [second], "being offline still");
  network.isDown = false;
  const handle = second.conversation(id);
  await handle.follow();
  await until(() => stored(handle).length === 11, [handle], "all sent");
  assertWhole(handle.messages, [...numbers(10), "after the reload"]);
  assert.equal((await history(other, id)).length, 11);
  assert.deepEqual([second.pending.length, storage.length], [0, 1], "nothing but the login is kept");
});

/** Swallows what the server says that fits, and cuts the connection then, so many times. */
function swallow(network, times, fits) {
  const eaten = { count: 0 };
  network.filter = (data) => {
    if (eaten.count >= times || !fits(data.toString("latin1"))) return data;
    eaten.count += 1;
    return null;
  };
  return eaten;
}

const isAcceptance = (text) => /43\d+\[\{"ok":true,"message"/.test(text);

test("a lost acknowledgement is asked for again, and the message is there once", async (t) => {
  const { one, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const client = await signedIn(t, network.url, one);
  const handle = client.conversation(id);
  await handle.follow();
  const shown = [];
  handle.on("change", () => shown.push(handle.messages.map((message) => message.content)));
  const eaten = swallow(network, 3, isAcceptance);
  const texts = numbers(6);
  for (const text of texts) handle.send(text);
  await until(() => stored(handle).length === 6 && !client.pending.length, [handle, client], "all sent");
  assert.equal(eaten.count, 3, "acknowledgements were lost");
  assertWhole(handle.messages, texts);
  assert.equal((await history(one, id)).length, 6);
  for (const contents of shown) assert.equal(new Set(contents).size, contents.length, "none was ever shown twice");
});

test("control: without the same clientMessageId a lost acknowledgement doubles the message", async (t) => {
  const { one, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const client = await signedIn(t, network.url, one);
  await client.conversation(id).follow();
  const eaten = swallow(network, 1, isAcceptance);
  let sent = 0;
  // Each send goes by another name.
  network.filterUp = (data) => data;
  class Renaming extends WebSocket {
    send(text) {
      super.send(text.replace(/"clientMessageId":"[^"]*"/, () => `"clientMessageId":"other-${sent += 1}"`));
    }
  }
  client.close();
  const renaming = await signedIn(t, network.url, one, { globals: { WebSocket: Renaming } });
  const handle = renaming.conversation(id);
  const { key } = handle.send("once, please");
  await handle.sent(key);
  assert.equal(eaten.count, 1);
  assert.equal((await history(one, id)).length, 2);
});

test("10,000 missed messages come, each once and in order", async (t) => {
  const { one, other, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const reader = await signedIn(t, network.url, other);
  const handle = reader.conversation(id);
  await handle.follow();
  await one.say(id, "number 0");
  await until(() => handle.messages.length === 1, [handle], "the first one");
  network.isDown = true;
  network.cut();
  const texts = numbers(10_000);
  for (let at = 1; at < texts.length; at += 100) {
    // At once, so that the server stores many in one commit; their order is its own.
    await Promise.all(texts.slice(at, at + 100).map((text) => one.say(id, text)));
  }
  const told = [];
  handle.on("message", (message) => told.push(message.seq));
  network.isDown = false;
  await until(() => handle.messages.length === 10_000, [handle], "all of them");
  const all = (await history(one, id)).map((message) => message.content);
  assertWhole(handle.messages, all);
  assert.deepEqual(told, all.map((_, at) => at + 1).slice(1));
});

test("control: without resuming, what was missed is not there", async (t) => {
  const { one, other, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  // Joins without `after`, as one does who does not care.
  class Careless extends WebSocket {
    send(text) {
      super.send(text.replace(/,"after":\d+/, ""));
    }
  }
  const reader = await signedIn(t, network.url, other, { globals: { WebSocket: Careless } });
  const handle = reader.conversation(id);
  await handle.follow();
  await one.say(id, "before");
  await until(() => handle.messages.length === 1, [handle], "the first one");
  network.isDown = true;
  network.cut();
  await until(() => reader.state === "offline", [reader], "being offline");
  await one.say(id, "missed");
  network.isDown = false;
  await until(() => handle.isReady, [handle, reader], "the way back");
  assert.deepEqual(handle.messages.map((message) => message.content), ["before"]);
});

test("where WebSocket is blocked it asks, and neither loses nor repeats; and goes back to the socket", async (t) => {
  const { one, other, id } = await pair(t, server);
  let isBlocked = true;
  class Blocked extends WebSocket {
    constructor(url) {
      // Nobody listens there, as behind a proxy that does not know WebSocket.
      super(isBlocked ? "ws://127.0.0.1:1/" : url);
    }
  }
  const client = await signedIn(t, server.base, one, { globals: { WebSocket: Blocked } });
  assert.equal(client.polling, true);
  const handle = client.conversation(id);
  await handle.follow();
  const writer = await signedIn(t, server.base, other);
  const there = writer.conversation(id);
  await there.follow();
  for (let at = 0; at < 20; at += 1) {
    handle.send(`from here ${at}`);
    there.send(`from there ${at}`);
  }
  await until(() => stored(handle).length === 40, [handle], "all by asking");
  assertWhole(handle.messages, (await history(one, id)).map((message) => message.content));
  there.markRead();
  await until(() => stored(handle).every((message) => !message.mine || message.state === "read"), [handle], "read");
  handle.markRead();
  await until(() => stored(there).every((message) => !message.mine || message.state === "read"), [there], "read there");

  isBlocked = false;
  await until(() => !client.polling && handle.isReady, [client, handle], "the socket");
  there.send("over the socket");
  await until(() => stored(handle).length === 41, [handle], "the last one");
  assertWhole(handle.messages, (await history(one, id)).map((message) => message.content));
});

test("tokens of 3 seconds are renewed in time, and nothing is refused or missed", async (t) => {
  const hasty = await startServer(t, { JWT_ACCESS_EXPIRES_IN: "3s" });
  const { one, other, id } = await pair(t, hasty);
  const [mine, theirs] = [await signedIn(t, hasty.base, one), await signedIn(t, hasty.base, other)];
  const [here, there] = [mine.conversation(id), theirs.conversation(id)];
  await Promise.all([here.follow(), there.follow()]);
  const states = [];
  mine.on("state", (state) => states.push(state));
  const since = Date.now();
  for (let at = 0; Date.now() - since < 10_000; at += 1) {
    const { key } = here.send(`number ${at}`);
    await here.sent(key);
    await mine.request("GET", "/api/auth/me");
    await until(() => stored(there).length === at + 1, [there], "the same there");
  }
  assert.deepEqual(states, [], "it was never disconnected");
  assertWhole(here.messages, there.messages.map((message) => message.content));
});

test("two tabs with one login and one outbox: one rotation at a time, each message once", async (t) => {
  const hasty = await startServer(t, { JWT_ACCESS_EXPIRES_IN: "3s" });
  const { one, other, id } = await pair(t, hasty);
  const network = await Network.to(t, hasty.port);
  const storage = new MemoryStorage();
  let rotations = 0;
  network.filterUp = (data) => {
    rotations += data.toString("latin1").includes("POST /api/auth/refresh");
    return data;
  };
  const left = await signedIn(t, network.url, one, { storage });
  const right = clientFor(t, network.url, { storage });
  await right.resume();
  const tabs = [left.conversation(id), right.conversation(id)];
  await Promise.all(tabs.map((tab) => tab.follow()));
  const users = [];
  for (const client of [left, right]) client.on("user", (user) => users.push(user));
  network.isDown = true;
  network.cut();
  await until(() => left.state === "offline" && right.state === "offline", [left, right], "being offline");
  for (let at = 0; at < 20; at += 1) tabs[at % 2].send(`number ${at}`);
  network.isDown = false;
  const done = () => tabs.every((tab) => stored(tab).length === 20 && tab.messages.length === 20);
  await until(done, tabs, "all in both tabs");
  for (const tab of tabs) assertWhole(tab.messages, numbers(20));
  const since = Date.now();
  while (Date.now() - since < 7_000) {
    await Promise.all([left, right].map((client) => client.request("GET", "/api/auth/me")));
  }
  assert.deepEqual(users, [], "the login goes on");
  assert.ok(rotations >= 2, `it was renewed ${rotations} times`);
  await other.renew();
  assert.equal((await history(other, id)).length, 20);
});

test("a logout in one tab ends the other, and leaves nothing behind", async (t) => {
  const { one, id } = await pair(t, server);
  const storage = new MemoryStorage();
  const left = await signedIn(t, server.base, one, { storage });
  const right = clientFor(t, server.base, { storage });
  await right.resume();
  await until(() => right.state === "live", [right], "being live");
  right.conversation(id);
  const gone = new Promise((resolve) => right.on("user", resolve));
  await left.logout();
  assert.equal(await gone, null);
  assert.deepEqual([left.user, left.state, right.user, right.state], [null, "idle", null, "idle"]);
  assert.equal(storage.length, 0);
});

test("a session that the server has ended is over here too", async (t) => {
  const { one } = await pair(t, server);
  const client = await signedIn(t, server.base, one);
  const gone = new Promise((resolve) => client.on("user", resolve));
  await one.call("POST", "/api/auth/logout", { body: { all: true } });
  assert.equal(await gone, null);
  assert.equal(client.state, "idle");
});

test("a server that falls silent is noticed, also in the middle of a send", async (t) => {
  const { one, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const client = await signedIn(t, network.url, one);
  const handle = client.conversation(id);
  await handle.follow();
  // Everything is swallowed, and no connection ends: as when a train enters a tunnel.
  network.filter = () => "";
  const { key } = handle.send("into the tunnel");
  await until(() => client.state !== "live", [client], "noticing");
  network.filter = (data) => data;
  assert.equal((await handle.sent(key)).seq, 1);
  assert.equal((await history(one, id)).length, 1);
});

test("a rate is waited for, in order, and nothing is refused", async (t) => {
  const strict = await startServer(t, { RATE_LIMITS: "on", RATE_LIMIT_SENDS: "5+5/1s" });
  const { one, id } = await pair(t, strict);
  const client = await signedIn(t, strict.base, one);
  const handle = client.conversation(id);
  await handle.follow();
  for (const text of numbers(15)) handle.send(text);
  await until(() => stored(handle).length === 15, [handle], "all of them");
  assertWhole(handle.messages, numbers(15));
});

test("a server that stops in order is come back to", async (t) => {
  const mortal = await startServer(t);
  const { one, id } = await pair(t, mortal);
  const client = await signedIn(t, mortal.base, one);
  const handle = client.conversation(id);
  await handle.follow();
  await mortal.stop();
  const { key } = handle.send("meanwhile");
  await mortal.start();
  assert.equal((await handle.sent(key)).seq, 1);
});

test("an outbox that is full says so", async (t) => {
  const { one, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const client = await signedIn(t, network.url, one);
  network.isDown = true;
  network.cut();
  await until(() => client.state === "offline", [client], "being offline");
  const handle = client.conversation(id);
  for (const text of numbers(200)) handle.send(text);
  assert.throws(() => handle.send("one more"), { code: "outbox_full" });
  network.isDown = false;
  await until(() => !client.pending.length, [client, handle], "all sent");
  assertWhole((await history(one, id)), numbers(200));
});

/** A browser's WebSocket that keeps what fits of what the client says, until `release`. */
function holding(fits) {
  const held = [];
  const sent = [];
  class Holding extends WebSocket {
    send(text) {
      sent.push(text);
      if (!fits?.test(text)) return super.send(text);
      held.push(() => super.send(text));
    }
  }
  const release = () => {
    fits = null;
    for (const send of held.splice(0)) send();
  };
  /** Resolves when something is held. */
  const isHeld = () => inTime(new Promise((resolve) => {
    const timer = setInterval(() => held.length && resolve(clearInterval(timer)), 5);
  }), "something to hold");
  return { WebSocket: Holding, release, isHeld, sent };
}

test("whoever stops to follow and begins again while it joins sees the whole of it", async (t) => {
  const { one, other, id } = await pair(t, server);
  const texts = numbers(3);
  for (const text of texts) await other.say(id, text);
  const network = holding(/conversation:join/);
  const client = await signedIn(t, server.base, one, { globals: { WebSocket: network.WebSocket } });
  const handle = client.conversation(id);
  const first = handle.follow();
  await network.isHeld();
  handle.unfollow();
  const second = handle.follow();
  network.release();
  await assert.rejects(first, { code: "aborted" });
  await second;
  assertWhole(handle.messages, texts);
  await other.say(id, "one more");
  await until(() => handle.messages.length === 4, [handle], "what comes next");
});

test("whoever wants more of it while its beginning is read gets it", async (t) => {
  const { one, other, id } = await pair(t, server);
  const texts = numbers(5);
  for (const text of texts) await other.say(id, text);
  let release;
  const isReleased = new Promise((resolve) => { release = resolve; });
  const asked = new Heard();
  const slow = async (url, options) => {
    const answer = await fetch(url, options);
    if (!url.pathname.endsWith(id) || !url.pathname.includes("messages")) return answer;
    asked.add(true);
    await isReleased;
    return answer;
  };
  const client = await signedIn(t, server.base, one, { globals: { fetch: slow } });
  const handle = client.conversation(id);
  const row = handle.follow({ history: 0 });
  await asked.first(Boolean, "the beginning");
  handle.unfollow();
  const open = handle.follow({ history: 50 });
  release();
  await assert.rejects(row, { code: "aborted" });
  await open;
  assertWhole(handle.messages, texts);
});

test("whoever stops to follow before its beginning is read does not follow", async (t) => {
  const { one, other, id } = await pair(t, server);
  await other.say(id, "hello");
  let handle;
  // Each call in turn is the last thing before it stops.
  for (const path of [`/api/conversations/${id}`, "/api/messages/unread/count", `/api/messages/${id}`]) {
    const stopping = async (url, options) => {
      const answer = await fetch(url, options);
      if (url.pathname === path) handle.unfollow();
      return answer;
    };
    const client = await signedIn(t, server.base, one, { globals: { fetch: stopping } });
    handle = client.conversation(id);
    await assert.rejects(handle.follow(), { code: "aborted" });
    // Longer than it takes to go on.
    for (let at = 0; at < 20; at += 1) await client.request("GET", "/api/auth/me");
    assert.deepEqual([handle.isFollowed, handle.isReady, handle.messages], [false, false, []], path);
  }
});

test("whoever stops to follow while it joins is told nothing more", async (t) => {
  const { one, id } = await pair(t, server);
  const network = holding(/conversation:join/);
  const client = await signedIn(t, server.base, one, { globals: { WebSocket: network.WebSocket } });
  const handle = client.conversation(id);
  const first = handle.follow();
  await network.isHeld();
  network.release();
  handle.unfollow();
  await assert.rejects(first, { code: "aborted" });
  assert.ok(network.sent.some((text) => text.includes("conversation:leave")), "it leaves");
});

test("what was accepted late and is older than what is shown is shown before it, and once", async (t) => {
  const { one, other, id } = await pair(t, server);
  const network = await Network.to(t, server.port);
  const storage = new MemoryStorage();
  const first = await signedIn(t, network.url, one, { storage });
  network.filter = (data) => {
    if (!isAcceptance(data.toString("latin1"))) return data;
    network.isDown = true;
    return null;
  };
  first.conversation(id).send("number 0");
  await until(() => first.state === "offline", [first], "being offline");
  first.close();
  for (let at = 1; at < 6; at += 1) await other.say(id, `number ${at}`);
  network.isDown = false;
  network.filter = (data) => data;

  const second = await signedIn(t, network.url, one, { storage });
  const handle = second.conversation(id);
  await handle.follow({ history: 3 });
  await until(() => !second.pending.length, [handle, second], "the acceptance");
  assert.deepEqual(handle.messages.map(({ seq }) => seq), [1, 4, 5, 6]);
  await handle.loadOlder();
  assertWhole(handle.messages, numbers(6));
});

test("a login that is renewed while another tab signs out does not come back", async (t) => {
  const { one } = await pair(t, server);
  const storage = new MemoryStorage();
  const calls = new Heard();
  let renewed;
  const spying = async (url, options) => {
    const answer = await fetch(url, options);
    calls.add(url.pathname);
    if (url.pathname.endsWith("/refresh")) {
      renewed = (await answer.clone().json()).tokens;
      // The other tab.
      for (let at = storage.length - 1; at >= 0; at -= 1) storage.removeItem(storage.key(at));
    }
    return answer;
  };
  const client = await signedIn(t, server.base, one, { storage, globals: { fetch: spying } });
  const name = storage.key(0);
  storage.setItem(name, JSON.stringify({ ...JSON.parse(storage.getItem(name)), renewAt: 0 }));
  await assert.rejects(client.request("GET", "/api/auth/me"), { code: "signed_out", status: 0 });
  assert.equal(storage.length, 0);
  await calls.first((path) => path === "/api/auth/logout", "the end of the session");
  const body = JSON.stringify({ refreshToken: renewed.refreshToken });
  const headers = { "content-type": "application/json" };
  assert.equal((await fetch(`${server.base}/api/auth/refresh`, { method: "POST", headers, body })).status, 401);
});

test("what was written in a tab that is closed at once another one sends, without a new connection", async (t) => {
  const { one, other, id } = await pair(t, server);
  const storage = new MemoryStorage();
  const network = holding(/message:send/);
  const left = await signedIn(t, server.base, one, { storage, globals: { WebSocket: network.WebSocket } });
  const right = clientFor(t, server.base, { storage });
  await right.resume();
  const handle = right.conversation(id);
  await handle.follow();
  left.conversation(id).send("my last words");
  await network.isHeld();
  left.close();
  await until(() => stored(handle).length === 1 && !right.pending.length, [handle, right], "the message");
  assert.deepEqual((await history(other, id)).map(({ content }) => content), ["my last words"]);
});

test("where a page may use neither storage nor locks nor other tabs, it can be signed in and written", async (t) => {
  const { one, id } = await pair(t, server);
  const refuse = () => { throw new DOMException("Access is denied", "SecurityError"); };
  const locks = { request: async () => refuse() };
  class BroadcastChannel {
    constructor() {
      refuse();
    }
  }
  const client = await signedIn(t, server.base, one, { globals: { BroadcastChannel, navigator: { locks } } });
  const handle = client.conversation(id);
  await handle.follow();
  await handle.sent(handle.send("still here").key);
  assertWhole(await history(one, id), ["still here"]);
});
