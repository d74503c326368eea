// Every storage must answer alike: npm test, with DATABASE_URL=postgresql://… for PostgreSQL as well.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { newId } from './id.js';
import { openStorage } from './index.js';

const directory = mkdtempSync(join(tmpdir(), 'peer-'));
after(() => rmSync(directory, { recursive: true }));

const environments = { SQLite: { DATABASE: join(directory, 'test.db') } };
const { DATABASE_URL = '' } = process.env;
if (DATABASE_URL.startsWith('postgres')) environments.PostgreSQL = { DATABASE_URL };

for (const [name, environment] of Object.entries(environments)) describe(name, () => storageTests(environment));

async function storageTests(environment) {
  const store = await openStorage(environment);
  after(() => store.close());

  async function account() {
    const id = newId();
    const user = { id, email: `${id}@example.org`, username: id.slice(-30), passwordHash: 'none', createdAt: 1_700_000_000_000 };
    await store.addUser(user);
    return user;
  }
  async function pair() {
    const [ada, bob, eve] = [await account(), await account(), await account()];
    const id = await store.createConversation({ type: 'PRIVATE', name: null, participantIds: [ada.id, bob.id] });
    const by = (user, content, clientMessageId = null, conversationId = id) =>
      store.append({ conversationId, senderId: user.id, clientMessageId, content, createdAt: 1_700_000_000_001 });
    return { id, ada, bob, eve, by };
  }
  const code = (expected) => (error) => error.code === expected;

  test('an account is found by its address, which nobody else can take', async () => {
    const user = await account();
    assert.deepEqual({ ...(await store.account(user.email)) }, user);
    assert.equal(await store.account('nobody@example.org'), undefined);
    await assert.rejects(async () => store.addUser({ ...user, id: newId(), username: 'other' }), code('conflict'));
  });

  test('a conversation with somebody unknown is not made', async () => {
    const { id: ada } = await account();
    for (const unknown of [newId(), 'not an id']) {
      const made = async () => store.createConversation({ type: 'PRIVATE', name: null, participantIds: [ada, unknown] });
      await assert.rejects(made, code('validation_failed'));
    }
    assert.deepEqual(await store.list(ada, 10), []);
  });

  test('sends of one batch get numbers without gaps, in their order, and a refusal takes none', async () => {
    const { id, ada, bob, eve, by } = await pair();
    const texts = Array.from({ length: 600 }, (_, index) => `{"${index}"} \\ , NULL ü 🎈`);
    const sends = texts.map((text, index) => by(index % 3 ? ada : bob, text));
    const refused = [by(eve, 'not mine'), by(ada, 'nowhere', null, newId()), by(ada, 'nothing', null, 'not an id')];
    const last = by(ada, 'last');
    for (const send of refused) await assert.rejects(send, code('not_found'));
    const outcomes = await Promise.all([...sends, last]);
    assert.deepEqual(outcomes.map(({ message }) => message.seq), outcomes.map((_, index) => index + 1));
    assert.equal(await store.lastSeq(id), 601);
    const rows = await store.before(id, Number.MAX_SAFE_INTEGER, 601);
    assert.deepEqual(rows.map((row) => row.content).reverse(), [...texts, 'last']);
    assert.deepEqual({ ...(await store.before(id, 601, 1))[0] }, {
      id: outcomes[599].message.id, seq: 600, conversationId: id, content: texts[599],
      senderId: ada.id, username: ada.username, createdAt: 1_700_000_000_001,
    });
  });

  test('a repeat answers with the first message, in the same batch and later', async () => {
    const { id, ada, bob, by } = await pair();
    const other = await store.createConversation({ type: 'PRIVATE', name: null, participantIds: [ada.id, bob.id] });
    const send = () => Promise.allSettled([
      by(ada, 'one', 'a'), by(ada, 'one', 'a'), by(ada, 'two', 'a'), by(bob, 'three', 'a'), by(ada, 'four', 'a', other),
    ]);
    const [together, later] = [await send(), await send()];
    const short = ({ value, reason }) => (value ? [value.message.seq, value.duplicate] : reason.code);
    assert.deepEqual(together.map(short), [[1, false], [1, true], 'client_id_reused', [2, false], [1, false]]);
    assert.deepEqual(later.map(short), [[1, true], [1, true], 'client_id_reused', [2, true], [1, true]]);
    for (const { value } of [together[1], later[0]]) assert.equal(value.message.id, together[0].value.message.id);
    assert.equal(await store.lastSeq(id), 2);
  });

  test('what others sent is unread, and the list shows it with the last message', async () => {
    const { id, ada, bob, eve, by } = await pair();
    await Promise.all([by(ada, 'one'), by(ada, 'two'), by(bob, 'three')]);
    const plain = (rows) => rows.map((row) => ({ ...row }));
    assert.deepEqual(plain(await store.unread(ada.id)), [{ id, unread: 1 }]);
    assert.deepEqual(plain(await store.unread(bob.id)), [{ id, unread: 2 }]);
    assert.deepEqual(await store.unread(eve.id), []);
    const [{ last, participants, createdAt, ...listed }] = await store.list(bob.id, 10);
    assert.deepEqual(listed, { id, type: 'PRIVATE', name: null, lastSeq: 3, unread: 2, updatedAt: 1_700_000_000_001 });
    assert.ok(createdAt > 1_700_000_000_001);
    assert.deepEqual({ ...last }, { ...(await store.before(id, 4, 1))[0] });
    assert.deepEqual(participants.map((user) => user.username).sort(), [ada.username, bob.username].sort());
    await assert.rejects(async () => store.requireParticipant(id, eve.id), code('not_found'));
    await store.requireParticipant(id, bob.id);
  });

  test('a conversation without messages is listed without a last one', async () => {
    const { ada } = await pair();
    const [{ last, lastSeq, unread }] = await store.list(ada.id, 10);
    assert.deepEqual({ last, lastSeq, unread }, { last: null, lastSeq: 0, unread: 0 });
  });
}
