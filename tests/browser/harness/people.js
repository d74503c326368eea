// People who use REST and npm's `socket.io-client`: what the browser shows must be what they say.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { io } from "socket.io-client";
import { Heard, inTime } from "./patience.js";

const PASSWORD = "correct horse battery";

/** Calls REST and expects a status. */
export async function rest(server, method, path, { token, body, status = 200 } = {}) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(server.base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${text}`);
  return JSON.parse(text);
}

export class Person {
  #server;
  #socket;
  /** Events as `{name, payload}`. */
  heard = new Heard();

  constructor(server, { user, tokens }, password) {
    this.#server = server;
    Object.assign(this, user);
    this.password = password;
    this.token = tokens.accessToken;
  }

  /** Signs in again: for servers whose tokens are good for seconds. */
  async renew() {
    const body = { email: this.email, password: this.password };
    this.token = (await rest(this.#server, "POST", "/api/auth/login", { body })).tokens.accessToken;
  }

  call(method, path, options = {}) {
    return rest(this.#server, method, path, { token: this.token, ...options });
  }

  /** Connects. It connects again by itself, and joins again what it had joined. */
  async connect() {
    const socket = io(this.#server.base, { auth: (give) => give({ token: this.token }), transports: ["websocket"], forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
    this.#socket = socket;
    socket.onAny((name, payload) => this.heard.add({ name, payload }));
    await inTime(new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject)), `${this.username} connects`);
    return this;
  }

  disconnect() {
    this.#socket?.disconnect();
  }

  async emit(name, payload) {
    const answer = await inTime(this.#socket.emitWithAck(name, payload), `${name} is acknowledged`);
    assert.ok(answer.ok, `${name}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The first event of a name for which a condition holds, of those that came and those to come. */
  async event(name, fits = () => true) {
    const found = await this.heard.first((one) => one.name === name && fits(one.payload), `${name} at ${this.username}`);
    return found.payload;
  }

  /** A message of this text, whoever wrote it. */
  message(content) {
    return this.event("message:new", (message) => message.content === content);
  }

  /** Takes the next visitor of the queue who has written this, and joins. Gives the conversation's id. */
  async claim(fits = () => true) {
    const { conversations } = await this.call("GET", "/api/inbox?state=unassigned");
    const found = conversations.find(fits);
    assert.ok(found, `nobody waits: ${JSON.stringify(conversations)}`);
    await this.call("POST", `/api/inbox/${found.id}/claim`);
    await this.emit("conversation:join", found.id);
    return found.id;
  }

  async say(conversationId, content, more = {}) {
    const { data } = await this.call("POST", "/api/messages", { body: { conversationId, content, ...more }, status: 201 });
    return data;
  }

  async history(conversationId) {
    return (await this.call("GET", `/api/messages/${conversationId}?limit=200`)).messages;
  }

  /** Uploads bytes under a name; gives what `say` takes. */
  async upload(name, bytes, type) {
    const form = new FormData();
    form.append("file", new Blob([bytes], { type }), name);
    const headers = { authorization: `Bearer ${this.token}` };
    const answer = await fetch(`${this.#server.base}/api/upload`, { method: "POST", headers, body: form });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text).file;
  }

  /** The bytes behind a link. */
  async download(url) {
    const answer = await fetch(new URL(url, this.#server.base));
    assert.equal(answer.status, 200);
    return Buffer.from(await answer.arrayBuffer());
  }
}

/** Signs somebody up, as the role says. Development servers let anybody be an AGENT. */
export async function person(t, server, name, role) {
  const unique = `${name}-${randomBytes(4).toString("hex")}`;
  const body = { email: `${unique}@example.com`, username: unique, password: PASSWORD, role };
  const made = await rest(server, "POST", "/api/auth/register", { body, status: 201 });
  const one = new Person(server, made, PASSWORD);
  t.after(() => one.disconnect());
  return one;
}

/** An agent who is connected. */
export async function agent(t, server, name = "anna") {
  const one = await person(t, server, name, "AGENT");
  return one.connect();
}
