// Storage in PostgreSQL. Statements are prepared once for each connection, and go out together where none needs the
// answer of another; a batch of sends is one transaction with two round trips.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { Refused } from '../refused.js';
import { Batches } from './batches.js';
import { newId } from './id.js';

// Counts and milliseconds are far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

const CONNECTIONS = 10;
const UNIQUE_VIOLATION = '23505';

// Every statement looks a few rows up by an index. Left to itself the planner would read the whole of a table that is
// small now, and the prepared statement would still do so when the table has grown.
const PLANNER = '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off';

const MESSAGE = `m.id, m.seq, m.conversation_id AS "conversationId", m.content, m.sender_id AS "senderId",
  m.created_at AS "createdAt", u.username FROM messages m JOIN users u ON u.id = m.sender_id`;

const SQL = {
  addUser: 'INSERT INTO users (id, email, username, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)',
  account: 'SELECT id, email, username, password_hash AS "passwordHash", created_at AS "createdAt" FROM users WHERE email = $1',
  addConversation: 'INSERT INTO conversations (id, type, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)',
  addParticipants: `INSERT INTO participants (conversation_id, user_id)
    SELECT $1, id FROM users WHERE id = ANY ($2::uuid[])`,
  isParticipant: 'SELECT FROM participants WHERE conversation_id = $1 AND user_id = $2',
  participants: 'SELECT u.id, u.username FROM participants p JOIN users u ON u.id = p.user_id WHERE p.conversation_id = $1',
  lastSeq: 'SELECT last_seq AS "lastSeq" FROM conversations WHERE id = $1',
  before: `SELECT ${MESSAGE} WHERE m.conversation_id = $1 AND m.seq < $2 ORDER BY m.seq DESC LIMIT $3`,
  unread: `SELECT c.id, c.last_seq - p.covered AS unread FROM participants p
    JOIN conversations c ON c.id = p.conversation_id WHERE p.user_id = $1 AND c.last_seq > p.covered`,
  list: `SELECT c.*, to_json(last) AS last, people.participants
    FROM (SELECT c.id, c.type, c.name, c.last_seq AS "lastSeq", c.last_seq - p.covered AS unread,
        c.created_at AS "createdAt", c.updated_at AS "updatedAt"
      FROM participants p JOIN conversations c ON c.id = p.conversation_id
      WHERE p.user_id = $1 ORDER BY c.updated_at DESC LIMIT $2) c
    LEFT JOIN LATERAL (SELECT ${MESSAGE} WHERE m.conversation_id = c.id AND m.seq = c."lastSeq") last ON true
    CROSS JOIN LATERAL (SELECT json_agg(json_build_object('id', u.id, 'username', u.username)) AS participants
      FROM participants p JOIN users u ON u.id = p.user_id WHERE p.conversation_id = c.id) people
    ORDER BY c."updatedAt" DESC`,
  // In the order of ids, so that two servers never wait for each other.
  lock: 'SELECT id, last_seq AS "lastSeq" FROM conversations WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE',
  // One row for each message of the batch: whether its sender takes part, and the message with the same client id.
  check: `SELECT p.user_id IS NOT NULL AS member, m.id, m.seq, m.content, m.created_at AS "createdAt"
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS new (conversation, sender, client_id, place)
    LEFT JOIN participants p ON p.conversation_id = new.conversation AND p.user_id = new.sender
    LEFT JOIN messages m ON m.conversation_id = new.conversation AND m.sender_id = new.sender
      AND m.client_message_id = new.client_id
    ORDER BY new.place`,
  addMessages: `INSERT INTO messages (conversation_id, seq, id, sender_id, client_message_id, content, created_at)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[])`,
  cover: `UPDATE participants p SET covered = p.covered + own.count
    FROM (SELECT conversation, sender, count(*) FROM unnest($1::uuid[], $2::uuid[]) AS new (conversation, sender)
      GROUP BY conversation, sender) own
    WHERE p.conversation_id = own.conversation AND p.user_id = own.sender`,
  advance: `UPDATE conversations c SET last_seq = new.seq, updated_at = new.at
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS new (id, seq, at) WHERE c.id = new.id`,
};

// No row has this id. What is not written as an id finds nothing, as in SQLite, instead of failing.
const NOBODY = '00000000-0000-0000-0000-000000000000';
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const known = (id) => (ID.test(id) ? id : NOBODY);

// `on` is the pool or a connection.
async function run(on, name, values) {
  return on.query({ name, text: SQL[name], values });
}

export class PostgresStorage {
  #pool;
  #batches = new Batches((messages) => this.#commit(messages));

  constructor(pool) {
    this.#pool = pool;
  }

  static async open(connectionString) {
    const pool = new pg.Pool({
      connectionString,
      max: CONNECTIONS,
      options: PLANNER,
      pipeline: true,
      connectionTimeoutMillis: 5000,
      statement_timeout: 5000,
    });
    // A connection that breaks while nobody uses it is replaced by the pool.
    pool.on('error', (error) => console.error(error));
    await pool.query(readFileSync(new URL('postgres.sql', import.meta.url), 'utf8'));
    return new PostgresStorage(pool);
  }

  async addUser({ id, email, username, passwordHash, createdAt }) {
    try {
      await run(this.#pool, 'addUser', [id, email, username, passwordHash, createdAt]);
    } catch (error) {
      if (error.code !== UNIQUE_VIOLATION) throw error;
      throw Refused.accountExists();
    }
  }

  async account(email) {
    return (await run(this.#pool, 'account', [email])).rows[0];
  }

  async createConversation({ type, name, participantIds }) {
    const id = newId();
    await this.#transaction(async (connection) => {
      const [, , added] = await Promise.all([
        connection.query('BEGIN'),
        run(connection, 'addConversation', [id, type, name, Date.now()]),
        run(connection, 'addParticipants', [id, participantIds.map(known)]),
      ]);
      if (added.rowCount !== participantIds.length) throw Refused.unknownParticipant();
      await connection.query('COMMIT');
    });
    return id;
  }

  async requireParticipant(conversation, user) {
    const { rowCount } = await run(this.#pool, 'isParticipant', [known(conversation), known(user)]);
    if (rowCount === 0) throw Refused.noConversation();
  }

  async participants(conversation) {
    return (await run(this.#pool, 'participants', [known(conversation)])).rows;
  }

  async lastSeq(conversation) {
    return (await run(this.#pool, 'lastSeq', [known(conversation)])).rows[0]?.lastSeq;
  }

  append(message) {
    return this.#batches.add(message);
  }

  async before(conversation, seq, limit) {
    return (await run(this.#pool, 'before', [known(conversation), seq, limit])).rows;
  }

  async unread(user) {
    return (await run(this.#pool, 'unread', [known(user)])).rows;
  }

  async list(user, limit) {
    return (await run(this.#pool, 'list', [known(user), limit])).rows;
  }

  close() {
    return this.#pool.end();
  }

  // `work` begins and commits, to send that together with its statements. What it throws is undone.
  async #transaction(work) {
    const connection = await this.#pool.connect();
    let broken;
    // The pool listens for errors of idle connections only. The statements on the way are rejected as well.
    const onError = (error) => { broken = error; };
    connection.on('error', onError);
    try {
      return await work(connection);
    } catch (error) {
      await connection.query('ROLLBACK').catch(onError);
      throw error;
    } finally {
      connection.off('error', onError);
      connection.release(broken);
    }
  }

  #commit(messages) {
    const conversations = messages.map((message) => known(message.conversationId));
    const senders = messages.map((message) => known(message.senderId));
    const clientIds = messages.map((message) => message.clientMessageId);
    return this.#transaction(async (connection) => {
      // The check is a statement of its own, after the lock: it sees what the lock waited for.
      const [, locked, checked] = await Promise.all([
        connection.query('BEGIN'),
        run(connection, 'lock', [[...new Set(conversations)]]),
        run(connection, 'check', [conversations, senders, clientIds]),
      ]);
      const { outcomes, added, heads } = decide(messages, locked.rows, checked.rows);
      await Promise.all([...(added.length > 0 ? write(connection, added, heads) : []), connection.query('COMMIT')]);
      return outcomes;
    });
  }
}

// Numbers the messages of a batch: what each send is answered, the messages to add, and where their conversations end.
function decide(messages, locked, checked) {
  const lastSeq = new Map(locked.map((row) => [row.id, row.lastSeq]));
  const heads = new Map();
  const added = [];
  const sameBatch = new Map();
  const outcomes = messages.map((message, index) => {
    const { conversationId, senderId, clientMessageId, content } = message;
    const { member, ...stored } = checked[index];
    if (!member) return Refused.noConversation();
    const key = clientMessageId === null ? null : JSON.stringify([conversationId, senderId, clientMessageId]);
    const first = stored.id === null ? sameBatch.get(key) : stored;
    if (first) {
      const { id, seq, createdAt } = first;
      return first.content === content ? { message: { ...message, id, seq, createdAt }, duplicate: true } : Refused.clientIdReused();
    }
    const seq = lastSeq.get(conversationId) + 1;
    const next = { ...message, id: newId(), seq };
    lastSeq.set(conversationId, seq);
    heads.set(conversationId, next);
    added.push(next);
    if (key !== null) sameBatch.set(key, next);
    return { message: next, duplicate: false };
  });
  return { outcomes, added, heads: [...heads.values()] };
}

function write(connection, added, heads) {
  const column = (rows, name) => rows.map((row) => row[name]);
  const columns = ['conversationId', 'seq', 'id', 'senderId', 'clientMessageId', 'content', 'createdAt'];
  return [
    run(connection, 'addMessages', columns.map((name) => column(added, name))),
    run(connection, 'cover', [column(added, 'conversationId'), column(added, 'senderId')]),
    run(connection, 'advance', ['conversationId', 'seq', 'createdAt'].map((name) => column(heads, name))),
  ];
}
