-- Everything at once: there is no older schema.
--
-- Ids are the 16 bytes of a UUIDv7, times are milliseconds since 1970, flags are absent (NULL) or present. Tables
-- are clustered by the key they are read by (WITHOUT ROWID), so that a page of messages is a page of the file.

CREATE TABLE users (
    id            BLOB    NOT NULL PRIMARY KEY,
    external_id   TEXT,
    email         TEXT,
    username      TEXT    NOT NULL,
    avatar        TEXT,
    role          TEXT    NOT NULL CHECK (role IN ('CUSTOMER', 'AGENT', 'ADMIN')),
    password_hash TEXT,
    disabled      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER
) STRICT, WITHOUT ROWID;

-- Names are unique among those who log in here; a host program may have two users of one name.
CREATE UNIQUE INDEX users_email ON users (email COLLATE NOCASE) WHERE password_hash IS NOT NULL;
CREATE UNIQUE INDEX users_username ON users (username COLLATE NOCASE) WHERE password_hash IS NOT NULL;
CREATE UNIQUE INDEX users_external_id ON users (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE sessions (
    id            BLOB    NOT NULL PRIMARY KEY,
    user_id       BLOB    NOT NULL REFERENCES users (id),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_user ON sessions (user_id) WHERE revoked_at_ms IS NULL;

CREATE TABLE refresh_tokens (
    hash          BLOB    NOT NULL PRIMARY KEY,
    session_id    BLOB    NOT NULL REFERENCES sessions (id),
    parent        BLOB             REFERENCES refresh_tokens (hash),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    used_at_ms    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_parent ON refresh_tokens (parent) WHERE parent IS NOT NULL;

CREATE TABLE conversations (
    id            BLOB    NOT NULL PRIMARY KEY,
    kind          TEXT    NOT NULL CHECK (kind IN ('DIRECT', 'GROUP')),
    status        TEXT    NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
    name          TEXT,
    direct_key    BLOB, -- the ids of the two, the smaller first
    created_by    BLOB    NOT NULL REFERENCES users (id),
    last_seq      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX conversations_open_direct ON conversations (direct_key)
    WHERE direct_key IS NOT NULL AND status = 'OPEN';
CREATE INDEX conversations_by_activity ON conversations (updated_at_ms, id);

CREATE TABLE participants (
    conversation_id BLOB    NOT NULL REFERENCES conversations (id),
    user_id         BLOB    NOT NULL REFERENCES users (id),
    place           INTEGER NOT NULL, -- the order they came in
    delivered_seq   INTEGER NOT NULL DEFAULT 0,
    covered_len     INTEGER NOT NULL DEFAULT 0, -- the total length of the user's covered intervals
    left_at_ms      INTEGER,
    left_seq        INTEGER, -- the newest message when they left
    PRIMARY KEY (conversation_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX participants_of_user ON participants (user_id) WHERE left_at_ms IS NULL;

-- What cannot be unread for a participant: read, own, from before they came or while they were away. Disjoint, and
-- never touching: two that meet become one.
CREATE TABLE covered (
    conversation_id BLOB    NOT NULL,
    user_id         BLOB    NOT NULL,
    first_seq       INTEGER NOT NULL,
    last_seq        INTEGER NOT NULL CHECK (last_seq >= first_seq),
    PRIMARY KEY (conversation_id, user_id, first_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    id            BLOB    NOT NULL PRIMARY KEY,
    uploader_id   BLOB    NOT NULL REFERENCES users (id),
    stored_name   TEXT    NOT NULL UNIQUE,
    original_name TEXT    NOT NULL,
    content_type  TEXT    NOT NULL,
    size          INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    conversation_id   BLOB    NOT NULL REFERENCES conversations (id),
    seq               INTEGER NOT NULL,
    id                BLOB    NOT NULL UNIQUE,
    sender_id         BLOB    NOT NULL REFERENCES users (id),
    client_message_id TEXT,
    content           TEXT    NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind IN ('TEXT', 'FILE', 'IMAGE')),
    file_id           BLOB             REFERENCES files (id),
    created_at_ms     INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX messages_client_id ON messages (conversation_id, sender_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
CREATE INDEX messages_file ON messages (file_id) WHERE file_id IS NOT NULL;

CREATE TABLE message_reads (
    conversation_id BLOB    NOT NULL,
    seq             INTEGER NOT NULL,
    user_id         BLOB    NOT NULL REFERENCES users (id),
    read_at_ms      INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, seq, user_id), -- reading twice is reading once
    FOREIGN KEY (conversation_id, seq) REFERENCES messages (conversation_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_log (
    id       INTEGER NOT NULL PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    actor_id BLOB,
    action   TEXT    NOT NULL,
    subject  TEXT
) STRICT;
