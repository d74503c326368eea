// Storage in SQLite, in the event loop, as the library is made for. Every commit is on the disk before it is answered.
import { readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { Refused } from '../refused.js';
import { Batches } from './batches.js';
import { newId } from './id.js';

const MESSAGE = `SELECT m.id, m.seq, m.conversation_id AS conversationId, m.content, m.sender_id AS senderId,
  m.created_at AS createdAt, u.username FROM messages m JOIN users u ON u.id = m.sender_id`;

export class SqliteStorage {
  #db;
  #sql;
  #batches;

  constructor(path) {
    const db = new Database(path);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('cache_size = -16000');
    db.exec(readFileSync(new URL('sqlite.sql', import.meta.url), 'utf8'));
    this.#db = db;
    this.#sql = {
      addUser: db.prepare('INSERT INTO users VALUES (@id, @email, @username, @passwordHash, @createdAt)'),
      account: db.prepare('SELECT id, email, username, password_hash AS passwordHash, created_at AS createdAt FROM users WHERE email = ?'),
      addConversation: db.prepare('INSERT INTO conversations (id, type, name, created_at, updated_at) VALUES (@id, @type, @name, @at, @at)'),
      addParticipant: db.prepare('INSERT INTO participants (conversation_id, user_id) SELECT ?, id FROM users WHERE id = ?'),
      isParticipant: db.prepare('SELECT 1 FROM participants WHERE conversation_id = ? AND user_id = ?').pluck(),
      lastSeq: db.prepare('SELECT last_seq FROM conversations WHERE id = ?').pluck(),
      repeat: db.prepare(`SELECT id, seq, content, created_at AS createdAt FROM messages
        WHERE conversation_id = ? AND sender_id = ? AND client_message_id = ?`),
      nextSeq: db.prepare('UPDATE conversations SET last_seq = last_seq + 1, updated_at = ? WHERE id = ? RETURNING last_seq').pluck(),
      addMessage: db.prepare('INSERT INTO messages VALUES (@conversationId, @seq, @id, @senderId, @clientMessageId, @content, @createdAt)'),
      cover: db.prepare('UPDATE participants SET covered = covered + 1 WHERE conversation_id = ? AND user_id = ?'),
      before: db.prepare(`${MESSAGE} WHERE m.conversation_id = ? AND m.seq < ? ORDER BY m.seq DESC LIMIT ?`),
      unread: db.prepare(`SELECT c.id, c.last_seq - p.covered AS unread FROM participants p
        JOIN conversations c ON c.id = p.conversation_id WHERE p.user_id = ? AND c.last_seq > p.covered`),
      list: db.prepare(`SELECT c.id, c.type, c.name, c.last_seq AS lastSeq, c.last_seq - p.covered AS unread,
          c.created_at AS createdAt, c.updated_at AS updatedAt
        FROM participants p JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = ? ORDER BY c.updated_at DESC LIMIT ?`),
      participants: db.prepare('SELECT u.id, u.username FROM participants p JOIN users u ON u.id = p.user_id WHERE conversation_id = ?'),
      message: db.prepare(`${MESSAGE} WHERE m.conversation_id = ? AND m.seq = ?`),
    };
    this.#batches = new Batches(db.transaction((messages) => messages.map((message) => this.#append(message))));
  }

  addUser(user) {
    try {
      this.#sql.addUser.run(user);
    } catch (error) {
      if (!error.code?.startsWith('SQLITE_CONSTRAINT')) throw error;
      throw Refused.accountExists();
    }
  }

  account(email) {
    return this.#sql.account.get(email);
  }

  createConversation({ type, name, participantIds }) {
    const id = newId();
    this.#db.transaction(() => {
      this.#sql.addConversation.run({ id, type, name, at: Date.now() });
      for (const user of participantIds) {
        if (this.#sql.addParticipant.run(id, user).changes !== 1) throw Refused.unknownParticipant();
      }
    })();
    return id;
  }

  requireParticipant(conversation, user) {
    if (!this.#sql.isParticipant.get(conversation, user)) throw Refused.noConversation();
  }

  participants(conversation) {
    return this.#sql.participants.all(conversation);
  }

  lastSeq(conversation) {
    return this.#sql.lastSeq.get(conversation);
  }

  append(message) {
    return this.#batches.add(message);
  }

  before(conversation, seq, limit) {
    return this.#sql.before.all(conversation, seq, limit);
  }

  unread(user) {
    return this.#sql.unread.all(user);
  }

  // Asking once for each conversation is how SQLite is used well: a statement is a call of a function.
  list(user, limit) {
    const conversations = this.#sql.list.all(user, limit);
    for (const conversation of conversations) {
      const { id, lastSeq } = conversation;
      conversation.participants = this.#sql.participants.all(id);
      conversation.last = lastSeq > 0 ? this.#sql.message.get(id, lastSeq) : null;
    }
    return conversations;
  }

  close() {
    this.#db.close();
  }

  #append(message) {
    const { conversationId, senderId, clientMessageId, content } = message;
    if (!this.#sql.isParticipant.get(conversationId, senderId)) return Refused.noConversation();
    if (clientMessageId !== null) {
      const first = this.#sql.repeat.get(conversationId, senderId, clientMessageId);
      if (first) return first.content === content ? { message: { ...message, ...first }, duplicate: true } : Refused.clientIdReused();
    }
    const seq = this.#sql.nextSeq.get(message.createdAt, conversationId);
    const stored = { ...message, id: newId(), seq };
    this.#sql.addMessage.run(stored);
    this.#sql.cover.run(conversationId, senderId);
    return { message: stored, duplicate: false };
  }
}
