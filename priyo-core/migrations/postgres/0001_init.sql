-- Everything at once: there is no older schema.
--
-- The same tables as in SQLite: times are milliseconds since 1970, flags are absent (NULL) or present. Texts are
-- compared byte by byte (COLLATE "C"), whatever the locale of the database, so that both give the same answers.

CREATE TABLE users (
    id            uuid    NOT NULL PRIMARY KEY,
    external_id   text    COLLATE "C",
    email         text    COLLATE "C",
    username      text    COLLATE "C" NOT NULL,
    avatar        text    COLLATE "C",
    role          text    COLLATE "C" NOT NULL CHECK (role IN ('CUSTOMER', 'AGENT', 'ADMIN')),
    password_hash text    COLLATE "C",
    disabled      boolean NOT NULL DEFAULT false,
    created_at_ms bigint  NOT NULL,
    last_seen_ms  bigint
);

-- Names are unique among those who log in here; a host program may have two users of one name. In this collation
-- lower() changes ASCII letters only.
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE password_hash IS NOT NULL;
CREATE UNIQUE INDEX users_username ON users (lower(username)) WHERE password_hash IS NOT NULL;
CREATE UNIQUE INDEX users_external_id ON users (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE sessions (
    id            uuid   NOT NULL PRIMARY KEY,
    user_id       uuid   NOT NULL REFERENCES users (id),
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    revoked_at_ms bigint
);

CREATE INDEX sessions_of_user ON sessions (user_id) WHERE revoked_at_ms IS NULL;

CREATE TABLE refresh_tokens (
    hash          bytea  NOT NULL PRIMARY KEY,
    session_id    uuid   NOT NULL REFERENCES sessions (id),
    parent        bytea           REFERENCES refresh_tokens (hash),
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    used_at_ms    bigint
);

CREATE INDEX refresh_tokens_parent ON refresh_tokens (parent) WHERE parent IS NOT NULL;

CREATE TABLE conversations (
    id            uuid   NOT NULL PRIMARY KEY,
    kind          text   COLLATE "C" NOT NULL CHECK (kind IN ('DIRECT', 'GROUP')),
    status        text   COLLATE "C" NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
    name          text   COLLATE "C",
    direct_key    bytea, -- the ids of the two, the smaller first
    created_by    uuid   NOT NULL REFERENCES users (id),
    last_seq      bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL
);

CREATE UNIQUE INDEX conversations_open_direct ON conversations (direct_key)
    WHERE direct_key IS NOT NULL AND status = 'OPEN';
CREATE INDEX conversations_by_activity ON conversations (updated_at_ms, id);

CREATE TABLE participants (
    conversation_id uuid   NOT NULL REFERENCES conversations (id),
    user_id         uuid   NOT NULL REFERENCES users (id),
    place           bigint NOT NULL, -- the order they came in
    delivered_seq   bigint NOT NULL DEFAULT 0,
    covered_len     bigint NOT NULL DEFAULT 0, -- the total length of the user's covered intervals
    left_at_ms      bigint, -- this and the next are NULL for one who is in
    left_seq        bigint, -- the newest message when they left
    CHECK ((left_at_ms IS NULL) = (left_seq IS NULL)),
    PRIMARY KEY (conversation_id, user_id)
);

-- For those who ask by user, with left_at_ms IS NULL. Those who ask by conversation say left_seq IS NULL, for which
-- this index is of no use: else the planner, which knows only averages, would at times go over all conversations of
-- one who is in thousands.
CREATE INDEX participants_of_user ON participants (user_id) WHERE left_at_ms IS NULL;

-- What cannot be unread for a participant: read, own, from before they came or while they were away. Disjoint, and
-- never touching: two that meet become one.
CREATE TABLE covered (
    conversation_id uuid   NOT NULL,
    user_id         uuid   NOT NULL,
    first_seq       bigint NOT NULL,
    last_seq        bigint NOT NULL CHECK (last_seq >= first_seq),
    PRIMARY KEY (conversation_id, user_id, first_seq)
);

CREATE TABLE files (
    id            uuid   NOT NULL PRIMARY KEY,
    uploader_id   uuid   NOT NULL REFERENCES users (id),
    stored_name   text   COLLATE "C" NOT NULL UNIQUE,
    original_name text   COLLATE "C" NOT NULL,
    content_type  text   COLLATE "C" NOT NULL,
    size          bigint NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE messages (
    conversation_id   uuid   NOT NULL,
    seq               bigint NOT NULL,
    id                uuid   NOT NULL UNIQUE,
    sender_id         uuid   NOT NULL,
    client_message_id text   COLLATE "C",
    content           text   COLLATE "C" NOT NULL,
    kind              text   COLLATE "C" NOT NULL CHECK (kind IN ('TEXT', 'FILE', 'IMAGE')),
    file_id           uuid   REFERENCES files (id),
    created_at_ms     bigint NOT NULL,
    PRIMARY KEY (conversation_id, seq),
    -- Whoever leaves stays in the table, so this holds for ever. It costs one look-up a message instead of two.
    FOREIGN KEY (conversation_id, sender_id) REFERENCES participants (conversation_id, user_id)
);

CREATE UNIQUE INDEX messages_client_id ON messages (conversation_id, sender_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
CREATE INDEX messages_file ON messages (file_id) WHERE file_id IS NOT NULL;

CREATE TABLE message_reads (
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    user_id         uuid   NOT NULL REFERENCES users (id),
    read_at_ms      bigint NOT NULL,
    PRIMARY KEY (conversation_id, seq, user_id), -- reading twice is reading once
    FOREIGN KEY (conversation_id, seq) REFERENCES messages (conversation_id, seq)
);

CREATE TABLE audit_log (
    id       bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms    bigint NOT NULL,
    actor_id uuid,
    action   text   COLLATE "C" NOT NULL,
    subject  text   COLLATE "C"
);
