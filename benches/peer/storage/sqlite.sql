CREATE TABLE IF NOT EXISTS users (
    id            TEXT    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL UNIQUE,
    username      TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS conversations (
    id         TEXT    NOT NULL PRIMARY KEY,
    type       TEXT    NOT NULL,
    name       TEXT,
    last_seq   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

-- covered: how many messages of the conversation cannot be unread for the user (own, or read).
CREATE TABLE IF NOT EXISTS participants (
    conversation_id TEXT    NOT NULL,
    user_id         TEXT    NOT NULL,
    covered         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, user_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS participants_of_user ON participants (user_id);

CREATE TABLE IF NOT EXISTS messages (
    conversation_id   TEXT    NOT NULL,
    seq               INTEGER NOT NULL,
    id                TEXT    NOT NULL UNIQUE,
    sender_id         TEXT    NOT NULL,
    client_message_id TEXT,
    content           TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS messages_client_id
    ON messages (conversation_id, sender_id, client_message_id) WHERE client_message_id IS NOT NULL;
