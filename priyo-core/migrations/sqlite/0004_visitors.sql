-- Visitors of websites, their conversations, and who has taken those on.

CREATE TABLE visitors (
    user_id    BLOB NOT NULL PRIMARY KEY REFERENCES users (id),
    token_hash BLOB UNIQUE, -- of the secret that a browser holds
    identity   TEXT UNIQUE, -- what the website's own server calls them
    name       TEXT,
    email      TEXT, -- where to write to them: never a login
    page_url   TEXT,
    page_title TEXT,
    CHECK ((token_hash IS NULL) <> (identity IS NULL)),
    CHECK ((page_url IS NULL) = (page_title IS NULL))
) STRICT, WITHOUT ROWID;

-- SQLite cannot widen a CHECK, so the table is made anew. What refers to its rows is looked at when all is done.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE conversations_before AS SELECT * FROM conversations;
DROP TABLE conversations;
CREATE TABLE conversations (
    id            BLOB    NOT NULL PRIMARY KEY,
    kind          TEXT    NOT NULL CHECK (kind IN ('DIRECT', 'GROUP', 'SUPPORT')),
    status        TEXT    NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
    name          TEXT,
    direct_key    BLOB, -- of DIRECT the ids of the two, the smaller first; of SUPPORT the visitor's
    created_by    BLOB    NOT NULL REFERENCES users (id),
    last_seq      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    -- Of SUPPORT only:
    visitor_id    BLOB REFERENCES users (id),
    assignee_id   BLOB REFERENCES users (id),
    answered_seq  INTEGER NOT NULL DEFAULT 0, -- the newest message that is not the visitor's
    CHECK ((kind = 'SUPPORT') = (visitor_id IS NOT NULL)),
    CHECK (assignee_id IS NULL OR visitor_id IS NOT NULL)
) STRICT, WITHOUT ROWID;
INSERT INTO conversations
    (id, kind, status, name, direct_key, created_by, last_seq, created_at_ms, updated_at_ms)
SELECT id, kind, status, name, direct_key, created_by, last_seq, created_at_ms, updated_at_ms
FROM conversations_before;
DROP TABLE conversations_before;

CREATE UNIQUE INDEX conversations_open_direct ON conversations (direct_key)
    WHERE direct_key IS NOT NULL AND status = 'OPEN';
CREATE INDEX conversations_by_activity ON conversations (updated_at_ms, id);
CREATE INDEX conversations_of_visitor ON conversations (visitor_id, id) WHERE visitor_id IS NOT NULL;
CREATE INDEX conversations_inbox ON conversations (status, updated_at_ms, id) WHERE visitor_id IS NOT NULL;
CREATE INDEX conversations_unassigned ON conversations (updated_at_ms, id)
    WHERE visitor_id IS NOT NULL AND status = 'OPEN' AND assignee_id IS NULL;
CREATE INDEX conversations_of_assignee ON conversations (assignee_id, updated_at_ms, id)
    WHERE visitor_id IS NOT NULL AND status = 'OPEN';

-- Those who answer visitors.
CREATE INDEX users_agents ON users (username COLLATE NOCASE, id) WHERE role <> 'CUSTOMER';
