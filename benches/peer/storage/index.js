// Opens the storage that the environment names; only its driver is loaded. Every storage has these methods, which
// return a value or a promise of it, and throw `Refused` for what the caller did wrong:
//
//   addUser({ id, email, username, passwordHash, createdAt })
//   account(email)                          the user with its passwordHash, or undefined
//   createConversation({ type, name, participantIds })    its id
//   requireParticipant(conversationId, userId)
//   participants(conversationId)            [{ id, username }]
//   lastSeq(conversationId)
//   append({ conversationId, senderId, clientMessageId, content, createdAt })
//                                           { message, duplicate }, after the commit
//   before(conversationId, seq, limit)      messages before that number, newest first
//   unread(userId)                          [{ id, unread }], only where there is something unread
//   list(userId, limit)                     conversations with `participants`, `last` message and `unread`, newest first
//   close()
//
// Messages are { id, seq, conversationId, content, senderId, username, createdAt }. Times are milliseconds.
export async function openStorage({ DATABASE_URL = '', DATABASE = 'peer.db' }) {
  if (/^postgres(ql)?:/.test(DATABASE_URL)) {
    const { PostgresStorage } = await import('./postgres.js');
    return PostgresStorage.open(DATABASE_URL);
  }
  const { SqliteStorage } = await import('./sqlite.js');
  return new SqliteStorage(DATABASE);
}
