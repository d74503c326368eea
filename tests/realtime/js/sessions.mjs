// What a front end sees of the end of its access token, over each transport: with `auth` as a function, with
// `auth:refresh`, and with a token that stays as it was.
//
//     node sessions.mjs http://127.0.0.1:3000
//
// The server must give tokens that are good for a few seconds. Prints a line for each step and ends with 1 at the
// first surprise.

import assert from "node:assert/strict";
import { PATIENCE, TRANSPORTS, connected, inTime, once, open, rest, run, signUp, socketWith, step } from "./client.mjs";

/** The tokens of a session: what a front end keeps, and how it gets new ones. */
class Session {
  #tokens;
  #since = Date.now();

  constructor(tokens) {
    this.#tokens = tokens;
  }

  /** A good access token: the one there is, or a fresh one. */
  async token() {
    const left = this.#tokens.expiresIn * 1000 - (Date.now() - this.#since);
    if (left < 500) await this.renew();
    return this.#tokens.accessToken;
  }

  async renew() {
    const body = { refreshToken: this.#tokens.refreshToken };
    this.#tokens = (await rest("POST", "/api/auth/refresh", { body, status: 200 })).tokens;
    this.#since = Date.now();
    return this.#tokens.accessToken;
  }
}

/** Two people and their conversation: the session of one, who has just got a token, and what the other says. */
async function scene(name) {
  const watched = await signUp(`${name}-w`, "CUSTOMER");
  const session = new Session(watched.tokens);
  const other = new Session((await signUp(`${name}-o`, "CUSTOMER")).tokens);
  const body = { participantIds: [watched.id], type: "DIRECT" };
  const made = await rest("POST", "/api/conversations", { token: await other.token(), body, status: 201 });
  const id = made.conversation.id;
  const says = async (content) => {
    const said = { conversationId: id, content };
    return rest("POST", "/api/messages", { token: await other.token(), body: said, status: 201 });
  };
  await session.renew();
  return { id, session, says };
}

/** Over polling the request that waits is released, and the next one finds no session. */
function assertEnded(reason, ends) {
  const reasons = ends === "polling" ? ["transport close", "transport error"] : ["transport close"];
  assert.ok(reasons.includes(reason), reason);
}

async function comesBack({ title, options, ends }) {
  const { id, session, says } = await scene(`${title}-f`);
  const socket = socketWith((give) => session.token().then((token) => give({ token })), options);
  await once(socket, "connect");
  await socket.must("conversation:join", id);
  await says("hello");
  assert.equal((await socket.next("message:new")).seq, 1);
  const warning = await socket.next("auth:expiring");
  assert.ok(warning.expiresIn >= 0 && warning.expiresIn <= 3, JSON.stringify(warning));

  const back = new Promise((resolve) => socket.once("disconnect", () => socket.once("connect", resolve)));
  assertEnded(await once(socket, "disconnect"), ends);
  assert.equal(socket.active, true, "it will come back by itself");
  await says("while you were away");
  await inTime(back, "the way back");

  const missed = await socket.must("sync", { conversations: { [id]: 1 } });
  const { messages, lastSeq, hasMore } = missed.conversations[id];
  assert.deepEqual([messages.map((one) => one.seq), lastSeq, hasMore], [[2], 2, false]);
  assert.deepEqual([missed.new, missed.gone, missed.hasMoreNew], [[], [], false]);
  const joined = await socket.must("conversation:join", { conversationId: id, after: 2 });
  assert.deepEqual([joined.messages, joined.hasMore], [[], false]);
  await says("welcome back");
  assert.equal((await socket.next("message:new", (message) => message.seq > 2)).seq, 3);
  leave(socket);
  step(`${title}: with \`auth\` as a function it comes back by itself and has missed nothing`);
}

async function goesOn({ title, options }) {
  const { id, session, says } = await scene(`${title}-r`);
  const socket = await connected(await session.token(), options);
  await socket.must("conversation:join", id);
  const disconnected = [];
  socket.on("disconnect", (reason) => disconnected.push(reason));
  // Longer than any of the tokens is good.
  for (let round = 0; round < 3; round += 1) {
    await socket.next("auth:expiring");
    const answer = await socket.must("auth:refresh", { token: await session.renew() });
    assert.ok(answer.expiresIn >= 1, JSON.stringify(answer));
  }
  await says("still there?");
  assert.equal((await socket.next("message:new")).seq, 1);
  assert.deepEqual(disconnected, []);
  leave(socket);
  step(`${title}: with \`auth:refresh\` it is never disconnected`);
}

async function staysAway({ title, options, ends }) {
  const { session } = await scene(`${title}-s`);
  const socket = await connected(await session.token(), options);
  assertEnded(await once(socket, "disconnect"), ends);
  const error = await once(socket, "connect_error");
  assert.equal(error.message, "Invalid authentication token");
  assert.deepEqual([socket.connected, socket.active], [false, false], "it does not try again");
  // Only the page can help it now.
  socket.auth = { token: await session.renew() };
  const back = once(socket, "connect");
  socket.connect();
  await back;
  leave(socket);
  step(`${title}: with a token that stays as it was it is refused when it comes back, and stays away`);
}

function leave(socket) {
  socket.disconnect();
  open.delete(socket);
}

await run(async () => {
  assert.ok(PATIENCE >= 4000, "a token and its grace must be over by then");
  for (const transport of TRANSPORTS) {
    await Promise.all([comesBack(transport), goesOn(transport), staysAway(transport)]);
  }
});
