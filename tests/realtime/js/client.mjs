// What the walks have in common: people who sign up, and sockets that keep what they hear.

import assert from "node:assert/strict";
import { io } from "socket.io-client";

const base = process.argv[2];
assert.ok(base, "usage: node <walk>.mjs <base-url>");

/** How long anything may take, in milliseconds. */
export const PATIENCE = 5000;
const PASSWORD = "correct horse battery";
/** No two runs use the same names. */
const RUN = `${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;

export const TRANSPORTS = [
  { title: "websocket", options: { transports: ["websocket"] }, ends: "websocket" },
  { title: "polling", options: { transports: ["polling"] }, ends: "polling" },
  { title: "default", options: {}, ends: "websocket" },
];

export const open = new Set();

export function step(text) {
  console.log(`ok  ${text}`);
}

/** Rejects when a promise takes too long. */
export function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export async function rest(method, path, { token, body, status }) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${text}`);
  return JSON.parse(text);
}

export async function signUp(name, role) {
  const email = `${name}-${RUN}@example.com`;
  const body = { email, username: `${name}-${RUN}`, password: PASSWORD, role };
  const made = await rest("POST", "/api/auth/register", { body, status: 201 });
  assert.equal(made.message, "User registered successfully");
  assert.equal(made.user.role, role);
  const known = await rest("POST", "/api/auth/login", { body: { email, password: PASSWORD }, status: 200 });
  assert.equal(known.user.id, made.user.id);
  return { ...known.user, token: known.tokens.accessToken, tokens: known.tokens };
}

/** A socket that keeps every event until somebody asks for it, so that none comes too early. */
export function socketOf(token, options) {
  return socketWith(token === undefined ? {} : { token }, options);
}

/** The same with this `auth`. */
export function socketWith(auth, options) {
  const socket = io(base, { ...options, auth, forceNew: true, reconnectionDelay: 50 });
  const kept = [];
  const waiting = [];
  socket.onAny((name, payload) => {
    const at = waiting.findIndex((one) => one.name === name && one.fits(payload));
    if (at < 0) kept.push({ name, payload });
    else waiting.splice(at, 1)[0].resolve(payload);
  });
  /** The next event of a name for which a condition holds. */
  socket.next = (name, fits = () => true) => {
    const at = kept.findIndex((one) => one.name === name && fits(one.payload));
    if (at >= 0) return Promise.resolve(kept.splice(at, 1)[0].payload);
    return inTime(new Promise((resolve) => waiting.push({ name, fits, resolve })), name);
  };
  /** Whether such an event has come by now. */
  socket.has = (name, fits = () => true) => kept.some((one) => one.name === name && fits(one.payload));
  socket.forget = () => kept.splice(0);
  socket.must = async (name, payload) => {
    const answer = await socket.timeout(PATIENCE).emitWithAck(name, payload);
    assert.equal(answer.ok, true, `${name}: ${JSON.stringify(answer)}`);
    return answer;
  };
  open.add(socket);
  return socket;
}

/** Once an event of the socket itself, such as `connect`. */
export function once(emitter, name) {
  return inTime(new Promise((resolve) => emitter.once(name, resolve)), name);
}

export async function connected(token, options) {
  const socket = socketOf(token, options);
  const refused = new Promise((_, reject) => socket.once("connect_error", reject));
  await Promise.race([once(socket, "connect"), refused]);
  return socket;
}

/** Runs a walk; the program ends with 1 at the first surprise. */
export async function run(walk) {
  try {
    await walk();
    console.log("all steps went as they must");
  } catch (error) {
    console.error(`NOT OK  ${error.stack}`);
    process.exitCode = 1;
  } finally {
    for (const socket of open) socket.disconnect();
  }
}
