-- Visitors of websites, their conversations, and who has taken those on.

CREATE TABLE visitors (
    user_id    uuid  NOT NULL PRIMARY KEY REFERENCES users (id),
    token_hash bytea UNIQUE, -- of the secret that a browser holds
    identity   text  COLLATE "C" UNIQUE, -- what the website's own server calls them
    name       text  COLLATE "C",
    email      text  COLLATE "C", -- where to write to them: never a login
    page_url   text  COLLATE "C",
    page_title text  COLLATE "C",
    CHECK ((token_hash IS NULL) <> (identity IS NULL)),
    CHECK ((page_url IS NULL) = (page_title IS NULL))
);

ALTER TABLE conversations
    DROP CONSTRAINT conversations_kind_check,
    ADD CONSTRAINT conversations_kind_check CHECK (kind IN ('DIRECT', 'GROUP', 'SUPPORT')),
    -- Of SUPPORT only, whose direct_key is the id of the visitor:
    ADD COLUMN visitor_id uuid REFERENCES users (id),
    ADD COLUMN assignee_id uuid REFERENCES users (id),
    ADD COLUMN answered_seq bigint NOT NULL DEFAULT 0, -- the newest message that is not the visitor's
    ADD CHECK ((kind = 'SUPPORT') = (visitor_id IS NOT NULL)),
    ADD CHECK (assignee_id IS NULL OR visitor_id IS NOT NULL);

CREATE INDEX conversations_of_visitor ON conversations (visitor_id, id) WHERE visitor_id IS NOT NULL;
CREATE INDEX conversations_inbox ON conversations (status, updated_at_ms, id) WHERE visitor_id IS NOT NULL;
CREATE INDEX conversations_unassigned ON conversations (updated_at_ms, id)
    WHERE visitor_id IS NOT NULL AND status = 'OPEN' AND assignee_id IS NULL;
CREATE INDEX conversations_of_assignee ON conversations (assignee_id, updated_at_ms, id)
    WHERE visitor_id IS NOT NULL AND status = 'OPEN';

-- Those who answer visitors.
CREATE INDEX users_agents ON users (lower(username), id) WHERE role <> 'CUSTOMER';
