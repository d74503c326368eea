// A visitor of a website: no login, one conversation, and a token that only this browser has.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, test } from "node:test";
import { Heard } from "../harness/patience.js";
import { agent, person } from "../harness/people.js";
import { startServer } from "../harness/server.js";
import { MemoryStorage, Network, assertWhole, clientFor, history, once, until } from "./world.js";

const SECRET = "a secret of the website, long enough";
const server = await startServer({ after }, { WIDGET_IDENTITY_SECRET: SECRET });

/** What the visitor has written: the conversation begins with a greeting. */
const stored = (handle) => handle.messages.filter((message) => message.seq && message.mine);

/** A visitor who has opened the conversation. */
async function comes(t, url, options) {
  const client = clientFor(t, url, options);
  await client.visit();
  const handle = await client.supportConversation();
  await handle.follow();
  return { client, handle };
}

test("a visitor writes, an agent claims and answers, and both see the same", async (t) => {
  const { client, handle } = await comes(t, server.base);
  assert.equal(client.user.role, "CUSTOMER");
  const anna = await agent(t, server);
  const { key } = handle.send("Is anybody there?");
  await handle.sent(key);
  await anna.call("POST", `/api/inbox/${handle.id}/claim`);
  await anna.emit("conversation:join", handle.id);
  const answered = once(handle, "message");
  await anna.say(handle.id, "Yes, I am Anna.");
  assert.equal((await answered).content, "Yes, I am Anna.");
  assert.equal(handle.messages.at(-1).mine, false);
  assert.ok(handle.unread >= 1);
  handle.markRead();
  assert.equal(handle.unread, 0);
  const read = await anna.event("message:read", (event) => event.readBy === client.user.id);
  assert.equal(read.conversationId, handle.id);
});

test("after a reload it is the same visitor in the same conversation, and only then", async (t) => {
  const storage = new MemoryStorage();
  const { client, handle } = await comes(t, server.base, { storage });
  assert.equal(client.isKnownVisitor, true);
  await handle.sent(handle.send("before the reload").key);
  const { id } = client.user;
  client.close();

  const again = clientFor(t, server.base, { storage });
  assert.equal(again.isKnownVisitor, true);
  const { user, conversation } = await again.visit();
  assert.deepEqual([user.id, conversation.id], [id, handle.id]);
  await again.conversation(conversation.id).follow();
  assert.deepEqual(stored(again.conversation(conversation.id)).map((message) => message.content), ["before the reload"]);

  const stranger = clientFor(t, server.base);
  assert.equal(stranger.isKnownVisitor, false);
  const other = await stranger.visit();
  assert.notEqual(other.user.id, id);
  await assert.rejects(stranger.conversation(handle.id).follow(), { code: "not_found" });
});

test("two tabs that come at once are one visitor", async (t) => {
  const storage = new MemoryStorage();
  // In one process the locks of a browser have to be played: what they do in a browser `chromium` shows.
  const queues = new Map();
  const request = (name, action) => {
    const turn = (queues.get(name) ?? Promise.resolve()).then(action);
    queues.set(name, turn.catch(() => {}));
    return turn;
  };
  const tabs = [0, 1, 2].map(() => clientFor(t, server.base, { storage, globals: { navigator: { locks: { request } } } }));
  const visits = await Promise.all(tabs.map((tab) => tab.visit()));
  assert.equal(new Set(visits.map((visit) => visit.user.id)).size, 1);
});

test("tokens of 3 seconds are renewed by coming again, and the talk goes on", async (t) => {
  const hasty = await startServer(t, { JWT_ACCESS_EXPIRES_IN: "3s" });
  const { client, handle } = await comes(t, hasty.base);
  const [states, users] = [[], []];
  client.on("state", (state) => states.push(state));
  client.on("user", (user) => users.push(user));
  const since = Date.now();
  const texts = [];
  while (Date.now() - since < 8_000) {
    texts.push(`number ${texts.length}`);
    await handle.sent(handle.send(texts.at(-1)).key);
    await client.request("GET", `/api/conversations/${handle.id}`);
  }
  assert.deepEqual(stored(handle).map((message) => message.content), texts);
  assert.deepEqual(users, [], "it stays the same visitor");
  t.diagnostic(`states: ${states}`);
  assert.equal(client.state, "live");
});

test("a visitor who was here before can write while there is no way to the server", async (t) => {
  const storage = new MemoryStorage();
  const network = await Network.to(t, server.port);
  const first = await comes(t, network.url, { storage });
  await first.handle.sent(first.handle.send("hello").key);
  first.client.close();
  network.isDown = true;
  network.cut();

  const second = clientFor(t, network.url, { storage });
  const { conversation } = await second.visit();
  assert.equal(conversation.id, first.handle.id);
  const handle = second.conversation(conversation.id);
  handle.send("from the train");
  await until(() => second.state === "offline", [second], "being offline");
  network.isDown = false;
  await handle.follow();
  await until(() => stored(handle).length === 2, [handle], "both");
  assert.deepEqual(stored(handle).map((message) => message.content), ["hello", "from the train"]);
});

test("whoever says who they are keeps the conversation, and a wrong proof is refused", async (t) => {
  const { client, handle } = await comes(t, server.base);
  await handle.sent(handle.send("who am I?").key);
  const userId = `user-${process.pid}`;
  await assert.rejects(client.visit({ identity: { userId, hash: "00".repeat(32) } }), { status: 401 });
  const hash = createHmac("sha256", SECRET).update(userId).digest("hex");
  const { conversation } = await client.visit({ identity: { userId, name: "Wim", hash } });
  assert.equal(conversation.id, handle.id);
  const known = client.conversation(handle.id);
  await known.follow();
  assert.ok(known.messages.some((message) => message.content === "who am I?"));
});

test("what was written before one said who one is, and is not sent yet, is sent then", async (t) => {
  const network = await Network.to(t, server.port);
  const { client, handle } = await comes(t, network.url);
  network.isDown = true;
  network.cut();
  await until(() => client.state === "offline", [client], "being offline");
  handle.send("from before");
  const userId = `late-${process.pid}`;
  const identity = { userId, hash: createHmac("sha256", SECRET).update(userId).digest("hex") };
  await assert.rejects(client.visit({ identity }), { code: "offline" });
  network.isDown = false;
  const { conversation } = await client.visit({ identity });
  assert.equal(conversation.id, handle.id);
  const known = client.conversation(handle.id);
  await known.follow();
  await until(() => stored(known).length === 1 && !client.pending.length, [known, client], "the message");
});

/** A browser in which a visitor has written something that did not go before the page was left. */
async function leavesUnsent(t, text) {
  const storage = new MemoryStorage();
  const network = await Network.to(t, server.port);
  const { client, handle } = await comes(t, network.url, { storage });
  network.isDown = true;
  network.cut();
  await until(() => client.state === "offline", [client], "being offline");
  handle.send(text);
  client.close();
  network.isDown = false;
  return { storage, url: network.url, id: handle.id };
}

const proof = (userId) => ({ userId, hash: createHmac("sha256", SECRET).update(userId).digest("hex") });

test("what was not sent on the page before goes along when one says who one is on the next", async (t) => {
  const { storage, url, id } = await leavesUnsent(t, "from the page before");
  const client = clientFor(t, url, { storage });
  const { conversation } = await client.visit({ identity: proof(`next-${process.pid}`) });
  assert.equal(conversation.id, id);
  const known = client.conversation(id);
  await known.follow();
  await until(() => stored(known).length === 1 && !client.pending.length, [known, client], "the message");
});

test("it goes into the conversation that one has already by that name", async (t) => {
  const identity = proof(`has-${process.pid}`);
  const elsewhere = clientFor(t, server.base);
  await elsewhere.visit({ identity });
  const own = await elsewhere.supportConversation();
  const { storage, url, id } = await leavesUnsent(t, "from this browser");
  assert.notEqual(own.id, id);
  const client = clientFor(t, url, { storage });
  await client.visit({ identity });
  const known = client.conversation(own.id);
  await known.follow();
  await until(() => stored(known).length === 1 && !client.pending.length, [known, client], "the message");
});

test("it begins another one when the one before was closed meanwhile", async (t) => {
  const { storage, url, id } = await leavesUnsent(t, "one more thing");
  const anna = await agent(t, server);
  await anna.call("POST", `/api/inbox/${id}/claim`);
  await anna.call("DELETE", `/api/conversations/${id}`);
  const client = clientFor(t, url, { storage });
  const { conversation } = await client.visit({ identity: proof(`closed-${process.pid}`) });
  assert.notEqual(conversation.id, id);
  const known = client.conversation(conversation.id);
  await known.follow();
  await until(() => stored(known).length === 1 && !client.pending.length, [known, client], "the message");
});

test("a visitor who is forgotten on a page that did not know them yet leaves nothing unsent, and agents lose nothing", async (t) => {
  const { storage, url } = await leavesUnsent(t, "my account number is 4711");
  assert.ok(storage.length > 1);
  await clientFor(t, url, { storage }).logout();
  assert.equal(storage.length, 0);

  const [anna, ben] = [await person(t, server, "anna", "AGENT"), await person(t, server, "ben", "AGENT")];
  const { handle } = await comes(t, server.base);
  await anna.call("POST", `/api/inbox/${handle.id}/claim`);
  const network = await Network.to(t, server.port);
  const inbox = clientFor(t, network.url, { storage });
  await inbox.login(anna.email, anna.password);
  network.isDown = true;
  network.cut();
  await until(() => inbox.state === "offline", [inbox], "being offline");
  inbox.conversation(handle.id).send("not sent yet");
  inbox.close();
  network.isDown = false;
  const next = clientFor(t, network.url, { storage });
  await next.login(ben.email, ben.password);
  await next.logout();
  await next.login(anna.email, anna.password);
  await next.conversation(handle.id).follow();
  await until(() => stored(next.conversation(handle.id)).length === 1 && !next.pending.length, [next.conversation(handle.id), next], "the message");
});

test("a visitor who is forgotten leaves nothing, and the next one is another", async (t) => {
  const storage = new MemoryStorage();
  const { client, handle } = await comes(t, server.base, { storage });
  const { id } = client.user;
  await client.logout();
  assert.deepEqual([client.user, client.state, storage.length, handle.isGone], [null, "idle", 0, true]);
  assert.notEqual((await client.visit()).user.id, id);
  assert.equal((await client.supportConversation()).id === handle.id, false);
});

test("who comes at once after one who is forgotten is another, and stays", async (t) => {
  const storage = new MemoryStorage();
  const { client } = await comes(t, server.base, { storage });
  const { id } = client.user;
  const [, { user }] = await Promise.all([client.logout(), client.visit()]);
  assert.notEqual(user.id, id);
  assert.equal(client.user.id, user.id);
  const handle = await client.supportConversation();
  await handle.follow();
  await handle.sent(handle.send("I am another").key);
});

test("an answer that comes after the visitor was forgotten does not bring it back", async (t) => {
  const storage = new MemoryStorage();
  let answer;
  const held = new Promise((resolve) => { answer = resolve; });
  const asked = new Heard();
  const late = async (...call) => {
    const given = await fetch(...call);
    asked.add(true);
    await held;
    return given;
  };
  const client = clientFor(t, server.base, { storage, globals: { fetch: late } });
  const visit = client.visit();
  visit.catch(() => {});
  await asked.first(() => true, "the answer");
  await client.logout();
  answer();
  await assert.rejects(visit, { code: "aborted" });
  assert.deepEqual([client.user, client.state, storage.length], [null, "idle", 0]);
});

test("an agent hears of the queue", async (t) => {
  const anna = await person(t, server, "anna", "AGENT");
  const inbox = clientFor(t, server.base);
  await inbox.login(anna.email, anna.password);
  await until(() => inbox.state === "live", [inbox], "being live");
  const told = once(inbox, "inbox:new");
  const { handle } = await comes(t, server.base);
  await handle.sent(handle.send("I wait").key);
  assert.equal((await told).conversation.id, handle.id);
  const claimed = once(inbox, "inbox:claimed");
  await inbox.request("POST", `/api/inbox/${handle.id}/claim`);
  assert.equal((await claimed).conversationId, handle.id);
  await assert.rejects(inbox.request("POST", "/api/inbox/nothing/claim"), { status: 404 });
  await inbox.conversation(handle.id).follow();
  await inbox.conversation(handle.id).sent(inbox.conversation(handle.id).send("here").key);
  const all = await history(anna, handle.id);
  assertWhole(all, all.map((message) => message.content));
});
