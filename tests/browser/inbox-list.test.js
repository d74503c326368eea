// The queue behind the page, with a client that the test plays: what comes late, what comes never, and what is over.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Emitter } from "../../priyo-core/web/client/page.js";
import { Queue } from "../../priyo-core/web/inbox/queue.js";

const ME = { id: "me", username: "anna", role: "AGENT", isOnline: true };
const ADA = { id: "ada", username: "Ada", role: "CUSTOMER", isOnline: false };

/** A visitor's conversation as the queue gives it. */
const waiting = (id, more) => ({
  id, type: "SUPPORT", status: "OPEN", participants: [ADA], assignee: null, updatedAt: "2026-01-01", unreadCount: 0,
  visitor: { name: "Ada", isOnline: false }, ...more,
});
const mine = (id, more) => waiting(id, { participants: [ADA, ME], assignee: ME, ...more });

class Handle extends Emitter {
  isReady = true;
  unread = 0;
  isFollowed = false;
  /** How many listen to it. */
  heard = 0;

  constructor(id) {
    super();
    this.id = id;
  }

  on(event, listener) {
    this.heard += 1;
    const off = super.on(event, listener);
    return () => {
      this.heard -= 1;
      off();
    };
  }

  async follow() {
    this.isFollowed = true;
  }

  unfollow() {
    this.isFollowed = false;
  }
}

class FakeClient extends Emitter {
  polling = false;
  handles = new Map();
  /** What each state of the queue holds, and the answer to a call for one conversation. */
  inbox = { unassigned: [], mine: [], open: [], closed: [] };
  view = null;
  /** What a call waits for. */
  answers = Promise.resolve();
  asked = 0;

  conversation(id) {
    if (!this.handles.has(id)) this.handles.set(id, new Handle(id));
    return this.handles.get(id);
  }

  async request(method, path, { query: { state, cursor, limit } }) {
    this.asked += 1;
    const from = cursor ?? 0;
    const rows = this.inbox[state];
    const page = rows.slice(from, from + limit);
    await this.answers;
    return { conversations: page, nextCursor: from + limit < rows.length ? from + limit : null };
  }

  conversations = {
    list: async () => ({ conversations: [], nextCursor: null }),
    get: async () => {
      const { view } = this;
      await this.answers;
      return view;
    },
  };

  get followed() {
    return [...this.handles.values()].filter((handle) => handle.isFollowed).map(({ id }) => id);
  }
}

function scene(t) {
  const client = new FakeClient();
  const queue = new Queue(client, ME.id);
  t.after(() => queue.close());
  return { client, queue };
}

/** Makes the next calls wait, and gives what lets them go on. */
function hold(client) {
  let release;
  client.answers = new Promise((resolve) => { release = resolve; });
  return async () => {
    release();
    client.answers = Promise.resolve();
    await turn();
  };
}

test("what is closed or given away makes room to hear of what is new, for as long as one works", (t) => {
  const { client, queue } = scene(t);
  for (let at = 0; at < 100; at += 1) {
    queue.put(mine(`one-${at}`));
    assert.deepEqual(client.followed, [`one-${at}`]);
    client.emit("inbox:claimed", { conversationId: `one-${at}`, assignee: at % 2 ? null : { id: "bert" } });
    queue.put(mine(`two-${at}`));
    client.emit("conversation:closed", { conversationId: `two-${at}` });
    assert.deepEqual(client.followed, []);
  }
  for (const handle of client.handles.values()) assert.equal(handle.heard, 0);
});

test("what is taken again is heard once", (t) => {
  const { client, queue } = scene(t);
  for (let at = 0; at < 3; at += 1) {
    queue.put(mine("one"));
    assert.equal(client.handles.get("one").heard, 2);
    queue.put(waiting("one"));
  }
  assert.equal(client.handles.get("one").heard, 0);
});

test("what is open is heard of until it is let go, and its count stays", (t) => {
  const { client, queue } = scene(t);
  queue.put(mine("one"));
  queue.keep("one");
  const handle = client.handles.get("one");
  queue.change("one", { status: "CLOSED" });
  handle.unread = 3;
  assert.deepEqual([handle.isFollowed, queue.unread(queue.get("one"))], [true, 3]);
  queue.letGo(handle);
  assert.deepEqual([handle.isFollowed, handle.heard, queue.unread(queue.get("one"))], [false, 0, 3]);
});

test("what was closed while the connection was away is heard of no more", async (t) => {
  const { client, queue } = scene(t);
  client.inbox.mine = [mine("one"), mine("two")];
  await queue.load("mine");
  assert.deepEqual(client.followed, ["one", "two"]);
  client.inbox.mine = [mine("two")];
  await queue.reload();
  assert.deepEqual(client.followed, ["two"]);
});

test("where no socket goes through the queue is read again and again, and who is new is told", async (t) => {
  mock.timers.enable({ apis: ["setInterval"] });
  t.after(() => mock.timers.reset());
  const { client, queue } = scene(t);
  const told = [];
  queue.addEventListener("new", ({ detail }) => told.push(detail.id));
  client.inbox.unassigned = [waiting("one"), waiting("two")];
  await queue.load("waiting");
  client.inbox.unassigned = [waiting("two"), waiting("three")];
  const ids = () => queue.in("waiting").map(({ id }) => id).sort();
  mock.timers.tick(60_000);
  await turn();
  assert.deepEqual([client.asked, ids()], [1, ["one", "two"]], "the socket tells");

  client.polling = true;
  mock.timers.tick(15_000);
  await turn();
  assert.deepEqual([client.asked, ids(), told], [2, ["three", "two"], ["three"]]);
  // A list that comes slowly is waited for.
  const release = hold(client);
  mock.timers.tick(60_000);
  await release();
  assert.equal(client.asked, 3);
  queue.close();
  mock.timers.tick(60_000);
  assert.equal(client.asked, 3);
});

test("whoever has scrolled down stays there when it is read again", async (t) => {
  const { client, queue } = scene(t);
  client.inbox.unassigned = Array.from({ length: 100 }, (_, at) => waiting(`number ${at}`));
  await queue.load("waiting");
  await queue.load("waiting");
  assert.equal(queue.in("waiting").length, 60);
  await queue.reload();
  assert.equal(queue.in("waiting").length, 60);
  await queue.load("waiting");
  assert.equal(queue.in("waiting").length, 90);
});

test("an old answer about one conversation does not undo what came since", async (t) => {
  const { client, queue } = scene(t);
  client.view = mine("one");
  let release = hold(client);
  queue.keep("one");
  queue.put(mine("one"));
  client.emit("conversation:closed", { conversationId: "one" });
  await release();
  assert.equal(queue.get("one").status, "CLOSED");

  client.view = { id: "two", type: "GROUP", status: "OPEN", participants: [ME], updatedAt: "2026-01-01" };
  release = hold(client);
  queue.keep("two");
  queue.drop("two");
  await release();
  assert.equal(queue.get("two"), undefined);
});

test("who comes while a list is read is there, whether the row was known or not", async (t) => {
  const { client, queue } = scene(t);
  queue.put(waiting("one"));
  client.inbox.unassigned = [waiting("one"), waiting("two")];
  const release = hold(client);
  const reading = queue.load("waiting");
  client.emit("user:status", { userId: ADA.id, isOnline: true });
  await release();
  await reading;
  for (const id of ["one", "two"]) {
    const { participants: [ada], visitor } = queue.get(id);
    assert.deepEqual([ada.isOnline, visitor.isOnline], [true, true]);
  }
});
