// What the tests of the client have in common: people and their conversations, a network that can be cut, and clients.

import assert from "node:assert/strict";
import { createServer, connect } from "node:net";
import WebSocket from "ws";
import { Client } from "../../../priyo-core/web/client.js";
import { inTime } from "../harness/patience.js";
import { person } from "../harness/people.js";

/** Waits until a condition holds, looking at each event of these emitters. */
export function until(condition, emitters, what, events = ["change", "state", "message"]) {
  return inTime(new Promise((resolve) => {
    const offs = [];
    const look = () => {
      if (!condition()) return;
      for (const off of offs) off();
      resolve();
    };
    for (const emitter of emitters) for (const event of events) offs.push(emitter.on(event, look));
    look();
  }), what);
}

/** Once an event. */
export function once(emitter, event) {
  return inTime(new Promise((resolve) => {
    const off = emitter.on(event, (payload) => {
      off();
      resolve(payload);
    });
  }), event);
}

/** Two people, and the id of their conversation. */
export async function pair(t, server) {
  const [one, other] = [await person(t, server, "one", "CUSTOMER"), await person(t, server, "other", "CUSTOMER")];
  const body = { participantIds: [other.id], type: "DIRECT" };
  const { conversation } = await one.call("POST", "/api/conversations", { body, status: 201 });
  return { one, other, id: conversation.id };
}

/** The whole history, as the server has it. */
export async function history(one, id) {
  const all = [];
  for (let hasMore = true; hasMore;) {
    const page = await one.call("GET", `/api/messages/${id}?after=${all.at(-1)?.seq ?? 0}&limit=200`);
    all.push(...page.messages.map((message) => ({ ...message, key: message.id })));
    ({ hasMore } = page);
  }
  return all;
}

/** What a browser keeps for a page. */
export class MemoryStorage {
  #kept = new Map();

  get length() {
    return this.#kept.size;
  }

  key(at) {
    return [...this.#kept.keys()][at] ?? null;
  }

  getItem(key) {
    return this.#kept.get(key) ?? null;
  }

  setItem(key, value) {
    this.#kept.set(key, String(value));
  }

  removeItem(key) {
    this.#kept.delete(key);
  }
}

/** The locks of a browser, for the tabs of one storage. */
export class Locks {
  #queues = new Map();

  request(name, action) {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const turn = before.then(() => action());
    this.#queues.set(name, turn.catch(() => {}));
    return turn;
  }
}

const QUICK = { ack: 1_000, open: 2_000, request: 4_000, wait: 50, waitMax: 400, poll: 100 };

/** A client as a page has it. Closed by `after`. */
export function clientFor(test, url, { storage = new MemoryStorage(), globals, times, ...options } = {}) {
  const client = new Client({
    url, storage, times: { ...QUICK, ...times }, globals: { WebSocket, ...globals }, ...options,
  });
  test.after(() => client.close());
  return client;
}

/** A client that has logged in and is live. */
export async function signedIn(test, url, { email, password }, options) {
  const client = clientFor(test, url, options);
  await client.login(email, password);
  await until(() => client.state === "live", [client], "being live");
  return client;
}

/** A network between client and server that can be cut, or swallow what comes. */
export class Network {
  #server;
  #connections = new Set();
  #port;
  /** Whether connections are refused. */
  isDown = false;
  /** Looks at what the server says, and gives what of it is passed on; null cuts the connection. */
  filter = (data) => data;
  /** The same for what the client says. */
  filterUp = (data) => data;

  static async to(test, port) {
    const network = new Network();
    network.#port = port;
    network.#server = createServer((near) => network.#carry(near));
    await new Promise((resolve) => network.#server.listen(0, "127.0.0.1", resolve));
    test.after(() => network.close());
    return network;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  #carry(near) {
    if (this.isDown) return near.destroy();
    const far = connect(this.#port, "127.0.0.1");
    const both = { destroy: () => { near.destroy(); far.destroy(); } };
    this.#connections.add(both);
    const end = () => {
      both.destroy();
      this.#connections.delete(both);
    };
    const pass = (filter, to) => (data) => {
      const rest = this[filter](data);
      if (rest === null) end();
      else if (rest.length) to.write(rest);
    };
    near.on("data", pass("filterUp", far));
    far.on("data", pass("filter", near));
    for (const socket of [near, far]) {
      socket.on("error", end);
      socket.on("close", end);
    }
  }

  cut() {
    for (const both of [...this.#connections]) both.destroy();
  }

  close() {
    this.cut();
    this.#server.close();
  }
}

/** Each `seq` once and in order, from 1, with these texts. */
export function assertWhole(messages, texts) {
  assert.deepEqual(messages.map((message) => message.seq), texts.map((_, at) => at + 1));
  assert.deepEqual(messages.map((message) => message.content), texts);
  assert.equal(new Set(messages.map((message) => message.key)).size, messages.length, "no key twice");
}
