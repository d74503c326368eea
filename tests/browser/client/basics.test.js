// Two people who talk while nothing goes wrong.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { person } from "../harness/people.js";
import { startServer } from "../harness/server.js";
import { assertWhole, clientFor, history, once, pair, signedIn, until } from "./world.js";

const server = await startServer({ after });

/** Two clients in one conversation. */
async function scene(t) {
  const { one, other, id } = await pair(t, server);
  const [mine, theirs] = [await signedIn(t, server.base, one), await signedIn(t, server.base, other)];
  const [here, there] = [mine.conversation(id), theirs.conversation(id)];
  await Promise.all([here.follow(), there.follow()]);
  return { one, other, id, mine, theirs, here, there };
}

test("a message is sending, sent, delivered and read, under one key", async (t) => {
  const { here, there, other } = await scene(t);
  const states = [];
  here.on("change", () => {
    const state = here.messages.at(-1)?.state;
    if (state !== states.at(-1)) states.push(state);
  });
  const { key, state } = here.send("hello");
  assert.equal(state, "sending");
  await until(() => there.messages.length === 1, [there], "the message");
  assert.deepEqual([there.unread, there.messages[0].mine, there.messages[0].unread], [1, false, true]);
  there.markRead();
  assert.equal(there.unread, 0);
  await until(() => here.messages[0].state === "read", [here], "the read mark");
  assert.equal(here.messages[0].key, key);
  assert.deepEqual(here.messages[0].readBy, [other.id]);
  // Two that come together are seen as the later one.
  const order = ["sending", "sent", "delivered", "read"].filter((one) => states.includes(one));
  assert.deepEqual(states, order);
  assert.deepEqual([states[0], states.at(-1)], ["sending", "read"]);
});

test("both see both sides in the same order", async (t) => {
  const { here, there, one, id } = await scene(t);
  for (let at = 0; at < 50; at += 1) {
    here.send(`from here ${at}`);
    there.send(`from there ${at}`);
  }
  const isDone = (handle) => () => handle.messages.filter((message) => message.seq).length === 100;
  await until(isDone(here), [here], "all here");
  await until(isDone(there), [there], "all there");
  const stored = (await history(one, id)).map((message) => message.content);
  assertWhole(here.messages, stored);
  assertWhole(there.messages, stored);
  const own = stored.filter((text) => text.startsWith("from here"));
  assert.deepEqual(own, own.map((_, at) => `from here ${at}`), "each one's in the order of writing");
});

test("history loads back to the first message, in order and without a repeat", async (t) => {
  const { one, other, id } = await pair(t, server);
  const texts = Array.from({ length: 130 }, (_, at) => `number ${at}`);
  for (const text of texts) await one.say(id, text);
  const client = await signedIn(t, server.base, other);
  const handle = client.conversation(id);
  await handle.follow({ history: 50 });
  assert.deepEqual([handle.messages.length, handle.hasOlder, handle.unread], [50, true, 130]);
  const both = await Promise.all([handle.loadOlder(), handle.loadOlder()]);
  assert.deepEqual(both.sort(), [0, 50], "asked for twice, loaded once");
  assert.deepEqual([handle.messages.length, handle.unread], [100, 130]);
  assert.equal(await handle.loadOlder(), 30);
  assert.equal(await handle.loadOlder(), 0);
  assert.equal(handle.hasOlder, false);
  assertWhole(handle.messages, texts);
  handle.markRead(100);
  assert.equal(handle.unread, 30);
  handle.markRead();
  await until(() => handle.unread === 0, [handle], "all read");
});

test("a row of a list hears what comes without its history", async (t) => {
  const { one, other, id } = await pair(t, server);
  for (let at = 0; at < 3; at += 1) await one.say(id, `old ${at}`);
  const client = await signedIn(t, server.base, other);
  const { conversations } = await client.conversations.list();
  assert.equal(conversations[0].unreadCount, 3);
  const handle = client.conversation(id);
  assert.equal(handle.unread, 3);
  await handle.follow({ history: 0 });
  assert.deepEqual([handle.messages.length, handle.unread, handle.lastSeq, handle.hasOlder], [0, 3, 3, true]);
  await one.say(id, "new");
  await until(() => handle.messages.length === 1, [handle], "the new one");
  assert.deepEqual([handle.unread, handle.lastSeq], [4, 4]);
  await handle.follow({ history: 50 });
  assertWhole(handle.messages, ["old 0", "old 1", "old 2", "new"]);
  assert.equal(handle.unread, 4);
});

test("whoever opens a conversation that a row begins to follow sees its history", async (t) => {
  const { one, other, id } = await pair(t, server);
  for (let at = 0; at < 3; at += 1) await one.say(id, `old ${at}`);
  const client = await signedIn(t, server.base, other);
  const handle = client.conversation(id);
  const row = handle.follow({ history: 0 });
  // It has what it begins with, and joins.
  await until(() => handle.lastSeq === 3 && handle.hasOlder, [handle], "its beginning");
  assert.equal(handle.isReady, false);
  await Promise.all([row, handle.follow({ history: 50 })]);
  assertWhole(handle.messages, ["old 0", "old 1", "old 2"]);
  assert.equal(handle.unread, 3);
  handle.markRead();
  assert.equal(handle.unread, 0);
});

test("typing starts, is told once in a while only, and ends with the message", async (t) => {
  const { here, there, mine, one } = await scene(t);
  const started = [];
  there.on("change", () => started.push(there.typing.length));
  for (let at = 0; at < 20; at += 1) here.type();
  await until(() => there.typing.length === 1, [there], "typing");
  assert.deepEqual(there.typing, [{ userId: one.id, username: one.username }]);
  assert.deepEqual(here.typing, []);
  here.send("done");
  await until(() => there.messages.length === 1, [there], "the message");
  assert.deepEqual(there.typing, []);
  here.type();
  await until(() => there.typing.length === 1, [there], "typing again");
  mine.close();
  await until(() => there.typing.length === 0, [there], "its end with the connection");
});

test("presence is told, and lists know it", async (t) => {
  const { one, other, id } = await pair(t, server);
  const mine = await signedIn(t, server.base, one);
  await mine.conversations.list();
  assert.equal(mine.isOnline(other.id), false);
  const came = once(mine, "user:status");
  const theirs = await signedIn(t, server.base, other);
  assert.deepEqual([(await came).userId, mine.isOnline(other.id)], [other.id, true]);
  const went = once(mine, "user:status");
  theirs.close();
  assert.deepEqual([(await went).isOnline, mine.isOnline(other.id)], [false, false]);
  assert.equal(mine.conversation(id).view.type, "DIRECT");
});

test("a refused message fails with the code, and the next one goes", async (t) => {
  const { here } = await scene(t);
  const bad = here.send("x".repeat(5_001));
  const good = here.send("short");
  assert.equal((await here.sent(good.key)).seq, 1);
  const failed = here.messages.find((message) => message.key === bad.key);
  assert.deepEqual([failed.state, failed.error.code], ["failed", "validation_failed"]);
  await assert.rejects(here.sent(bad.key), { code: "validation_failed" });
  here.discard(failed);
  assert.deepEqual(here.messages.map((message) => message.content), ["short"]);
  assert.throws(() => here.send("  "), { code: "validation_failed" });
});

test("a closed conversation refuses, and retry sends once it is open again", async (t) => {
  const agent = await person(t, server, "agent", "AGENT");
  const customer = await person(t, server, "customer", "CUSTOMER");
  const client = await signedIn(t, server.base, agent);
  const handle = await client.conversations.create({ participantIds: [customer.id], type: "DIRECT" });
  await handle.follow();
  await client.request("DELETE", `/api/conversations/${handle.id}`);
  await until(() => handle.view.status === "CLOSED", [handle], "the close");
  const { key } = handle.send("late");
  await assert.rejects(handle.sent(key), { code: "conversation_closed" });
  await client.request("POST", `/api/conversations/${handle.id}/reopen`);
  handle.retry({ key });
  assert.equal((await handle.sent(key)).seq, 1);
});

test("the one direct conversation is given instead of a conflict", async (t) => {
  const { one, other, id } = await pair(t, server);
  const client = await signedIn(t, server.base, one);
  const handle = await client.conversations.create({ participantIds: [other.id], type: "DIRECT" });
  assert.equal(handle.id, id);
});

test("what one may not see is refused, and another conversation goes on", async (t) => {
  const { id } = await pair(t, server);
  const { here, mine } = await scene(t);
  await assert.rejects(mine.conversation(id).follow(), { code: "not_found" });
  await assert.rejects(mine.request("GET", `/api/messages/${id}`), { code: "not_found", status: 404 });
  const { key } = here.send("still here");
  assert.equal((await here.sent(key)).seq, 1);
});

test("a wrong password is refused, and nobody is signed in", async (t) => {
  const one = await person(t, server, "one", "CUSTOMER");
  const client = clientFor(t, server.base);
  await assert.rejects(client.login(one.email, "wrong password"), { code: "invalid_credentials", status: 401 });
  assert.deepEqual([client.user, client.state], [null, "idle"]);
  await assert.rejects(client.request("GET", "/api/auth/me"), { code: "signed_out" });
  assert.throws(() => client.conversation("x").send("hello"), { code: "signed_out" });
});

test("a handle from before the login is this login's, and one of another user's is of no use", async (t) => {
  const { one, other, id } = await pair(t, server);
  const client = clientFor(t, server.base);
  const handle = client.conversation(id);
  await client.login(one.email, one.password);
  await handle.follow();
  await other.say(id, "hello");
  await until(() => handle.messages.length === 1, [handle], "the message");
  await client.login(other.email, other.password);
  assert.deepEqual([handle.isGone, handle.messages.length], [true, 0]);
  await assert.rejects(handle.follow(), { code: "not_found" });
  await client.conversation(id).follow();
  assert.equal(client.conversation(id).messages[0].mine, true);
});

test("whoever is taken out of a group sees it go", async (t) => {
  const [agent, customer] = [await person(t, server, "agent", "AGENT"), await person(t, server, "customer", "CUSTOMER")];
  const [boss, guest] = [await signedIn(t, server.base, agent), await signedIn(t, server.base, customer)];
  const group = await boss.conversations.create({ participantIds: [customer.id], type: "GROUP", name: "us" });
  const handle = guest.conversation(group.id);
  await handle.follow();
  const gone = once(handle, "gone");
  await boss.request("DELETE", `/api/conversations/${group.id}/participants/${customer.id}`);
  await gone;
  assert.deepEqual([handle.isGone, handle.messages.length], [true, 0]);
  assert.notEqual(guest.conversation(group.id), handle);
});
