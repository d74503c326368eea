-- Several servers may start at once. This text is sent as one query, which is one transaction.
SELECT pg_advisory_xact_lock(7165017001);

CREATE TABLE IF NOT EXISTS users (
    id            uuid   NOT NULL PRIMARY KEY,
    email         text   NOT NULL UNIQUE,
    username      text   NOT NULL UNIQUE,
    password_hash text   NOT NULL,
    created_at    bigint NOT NULL
);

-- Room in the pages of the two tables that every send updates, so that a new version of a row stays in its page.
CREATE TABLE IF NOT EXISTS conversations (
    id         uuid   NOT NULL PRIMARY KEY,
    type       text   NOT NULL,
    name       text,
    last_seq   bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
) WITH (fillfactor = 70);

-- covered: how many messages of the conversation cannot be unread for the user (own, or read).
CREATE TABLE IF NOT EXISTS participants (
    conversation_id uuid   NOT NULL,
    user_id         uuid   NOT NULL,
    covered         bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS participants_of_user ON participants (user_id);

CREATE TABLE IF NOT EXISTS messages (
    conversation_id   uuid   NOT NULL,
    seq               bigint NOT NULL,
    id                uuid   NOT NULL UNIQUE,
    sender_id         uuid   NOT NULL,
    client_message_id text,
    content           text   NOT NULL,
    created_at        bigint NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);
CREATE UNIQUE INDEX IF NOT EXISTS messages_client_id
    ON messages (conversation_id, sender_id, client_message_id) WHERE client_message_id IS NOT NULL;
