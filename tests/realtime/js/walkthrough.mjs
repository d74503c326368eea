// The walk of an existing front end: two people, a conversation, everything live, over each transport.
//
//     node walkthrough.mjs http://127.0.0.1:3000
//
// Prints a line for each step and ends with 1 at the first surprise.

import assert from "node:assert/strict";
import { PATIENCE, TRANSPORTS, connected, once, open, rest, run, signUp, socketOf, step } from "./client.mjs";

async function refusal(token, options) {
  const socket = socketOf(token, options);
  const error = await once(socket, "connect_error");
  socket.disconnect();
  return error.message;
}

async function walk({ title, options, ends }, customer, agent) {
  const say = (text) => step(`${title}: ${text}`);
  const body = { participantIds: [agent.id], type: "GROUP", name: title };
  const made = await rest("POST", "/api/conversations", { token: customer.token, body, status: 201 });
  const id = made.conversation.id;

  const atCustomer = await connected(customer.token, options);
  say("the customer connects");
  const atAgent = await connected(agent.token, options);
  const online = await atCustomer.next("user:status", (status) => status.userId === agent.id && status.isOnline);
  assert.deepEqual(Object.keys(online).sort(), ["isOnline", "lastSeen", "userId"]);
  say("the agent connects and is online");
  await onTransport(atCustomer, ends);
  say(`it goes over ${ends}`);

  atCustomer.emit("conversation:join", id);
  const joined = await atAgent.must("conversation:join", id);
  assert.deepEqual([joined.conversationId, joined.messages, joined.hasMore], [id, [], false]);
  // Answered in order, so the customer's join before it is done too.
  await atCustomer.must("typing:stop", { conversationId: id });
  say("both join, without and with an acknowledgement");

  await talk(say, id, { atCustomer, atAgent, customer, agent });
  await refusals(say, id, atCustomer);
  await comeBack(say, id, { atCustomer, atAgent, customer, agent });
  // Who comes back at once was never away: the next walk must not begin before this one is seen to end.
  const offline = atCustomer.next("user:status", (status) => status.userId === agent.id && !status.isOnline);
  atAgent.disconnect();
  await offline;
  atCustomer.disconnect();
  for (const socket of [atCustomer, atAgent]) open.delete(socket);
}

/** Waits until the connection goes over a transport; an upgrade takes its time. */
async function onTransport(socket, name) {
  const { engine } = socket.io;
  if (engine.transport.name !== name) await once(engine, "upgrade");
  assert.equal(engine.transport.name, name);
}

async function talk(say, id, { atCustomer, atAgent, customer, agent }) {
  atCustomer.emit("message:send", { conversationId: id, content: "Hello <b>there</b>" });
  const first = await atAgent.next("message:new");
  assert.deepEqual([first.seq, first.conversationId, first.content, first.type], [1, id, "Hello <b>there</b>", "TEXT"]);
  assert.deepEqual([first.senderId, first.senderUsername], [customer.id, customer.username]);
  assert.match(first.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal((await atCustomer.next("message:new")).id, first.id);
  const delivered = await atCustomer.next("message:delivered");
  assert.deepEqual([delivered.messageId, delivered.deliveredTo], [first.id, [agent.id]]);
  say("a message without an acknowledgement is heard by both and reported as delivered");

  const message = { conversationId: id, content: "How can I help?", type: "TEXT", clientMessageId: `c-${id}` };
  const sent = await atAgent.must("message:send", message);
  assert.deepEqual([sent.message.seq, sent.message.content, sent.duplicate], [2, message.content, undefined]);
  assert.equal((await atCustomer.next("message:new")).id, sent.message.id);
  assert.equal((await atAgent.next("message:new")).clientMessageId, message.clientMessageId);
  const again = await atAgent.must("message:send", message);
  assert.deepEqual([again.message.id, again.duplicate], [sent.message.id, true]);
  say("a message with an acknowledgement, and the same once more");

  const post = { conversationId: id, content: "over REST" };
  const posted = await rest("POST", "/api/messages", { token: customer.token, body: post, status: 201 });
  const heard = await atAgent.next("message:new");
  assert.deepEqual([heard.id, heard.seq], [posted.data.id, 3], "the repeated one was announced too");
  assert.equal((await atCustomer.next("message:new")).id, posted.data.id);
  say("a message over REST is heard too");

  for (const name of ["typing:start", "typing:stop"]) {
    atCustomer.emit(name, { conversationId: id });
    const typing = await atAgent.next(name);
    assert.deepEqual(typing, { conversationId: id, userId: customer.id, username: customer.username });
    assert.equal(atCustomer.has(name), false, "nobody is told of their own typing");
  }
  say("typing starts and stops");

  atAgent.emit("message:read", { messageId: first.id, conversationId: id });
  const read = await atCustomer.next("message:read");
  assert.deepEqual([read.messageId, read.conversationId, read.readBy], [first.id, id, agent.id]);
  assert.match(read.readAt, /Z$/);
  const history = await rest("GET", `/api/messages/${id}`, { token: customer.token, status: 200 });
  assert.deepEqual(history.messages.map((one) => one.seq), [1, 2, 3]);
  assert.deepEqual(history.messages[0].reads.map((one) => one.user.id), [agent.id]);
  say("a read receipt, and history agrees");
}

async function refusals(say, id, socket) {
  const nowhere = { conversationId: "00000000-0000-7000-8000-000000000000", content: "?" };
  const answer = await socket.timeout(PATIENCE).emitWithAck("message:send", nowhere);
  assert.deepEqual([answer.ok, answer.error.code], [false, "not_found"]);
  assert.equal(socket.has("error"), false, "it was acknowledged, so there is no error event");
  socket.emit("message:send", nowhere);
  assert.equal((await socket.next("error")).code, "not_found");
  for (const payload of [null, 7, [], "x", { conversationId: id }, { conversationId: id, content: "  " }]) {
    const refused = await socket.timeout(PATIENCE).emitWithAck("message:send", payload);
    assert.equal(refused.error?.code, "validation_failed", JSON.stringify([payload, refused]));
  }
  const unknown = await socket.timeout(PATIENCE).emitWithAck("no:such", {});
  assert.equal(unknown.error?.code, "unknown_event");
  say("what is wrong is answered, by the acknowledgement or else by an error event");
}

async function comeBack(say, id, { atCustomer, atAgent, customer, agent }) {
  atCustomer.forget();
  atAgent.disconnect();
  const offline = await atCustomer.next("user:status", (status) => status.userId === agent.id);
  assert.equal(offline.isOnline, false);
  assert.match(offline.lastSeen, /Z$/);
  await atCustomer.must("message:send", { conversationId: id, content: "are you there?" });
  atAgent.connect();
  await once(atAgent, "connect");
  // Who is there for a moment only is not announced, neither coming nor going: the walk's end must not come too soon.
  await atCustomer.next("user:status", (status) => status.userId === agent.id && status.isOnline);
  atAgent.forget();
  const missed = await atAgent.must("conversation:join", { conversationId: id, after: 3 });
  assert.deepEqual(missed.messages.map((one) => [one.seq, one.content]), [[4, "are you there?"]]);
  assert.deepEqual([missed.lastSeq, missed.hasMore], [4, false]);
  await atCustomer.must("message:send", { conversationId: id, content: "good" });
  assert.equal((await atAgent.next("message:new")).seq, 5);
  say("the agent goes, comes back, and gets what was missed");

  // As when the network breaks: the library comes back by itself.
  const back = once(atCustomer, "connect");
  atCustomer.io.engine.close();
  await back;
  atCustomer.forget();
  const resumed = await atCustomer.must("conversation:join", { conversationId: id, after: 4 });
  assert.deepEqual(resumed.messages.map((one) => one.seq), [5]);
  await atAgent.must("message:send", { conversationId: id, content: "welcome back" });
  const next = await atCustomer.next("message:new");
  assert.deepEqual([next.seq, next.senderId], [6, agent.id]);
  const me = await rest("GET", "/api/auth/me", { token: customer.token, status: 200 });
  assert.equal(me.user.isOnline, true);
  say("a broken connection comes back by itself");
}

async function main() {
  const customer = await signUp("customer", "CUSTOMER");
  const agent = await signUp("agent", "AGENT");
  step("a customer and an agent register and log in");
  for (const transport of TRANSPORTS) {
    const { title, options } = transport;
    assert.equal(await refusal(undefined, options), "Authentication token required");
    assert.equal(await refusal("", options), "Authentication token required");
    assert.equal(await refusal("not.a.token", options), "Invalid authentication token");
    step(`${title}: connect_error says why`);
    await walk(transport, customer, agent);
  }
  const leaving = await connected(agent.token, {});
  const gone = once(leaving, "disconnect");
  await rest("POST", "/api/auth/logout", { token: agent.token, status: 200 });
  await gone;
  assert.equal(await refusal(agent.token, {}), "Invalid authentication token");
  step("logging out ends the sockets, and the token is refused from then on");
}

await run(main);
