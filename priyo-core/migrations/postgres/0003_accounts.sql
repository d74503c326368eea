-- Users see and end their sessions, administrators find users, what is over can be deleted in small parts, and the
-- audit log says from where.

-- `ends_at_ms` is when the session ends unless its tokens are renewed; for a revoked one, when it was.
ALTER TABLE sessions
    ADD COLUMN last_used_at_ms bigint,
    ADD COLUMN ends_at_ms bigint,
    ADD COLUMN user_agent text COLLATE "C";

CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at_ms);

UPDATE sessions SET
    last_used_at_ms = coalesce(
        (SELECT max(t.created_at_ms) FROM refresh_tokens t WHERE t.session_id = sessions.id), created_at_ms),
    ends_at_ms = least(
        coalesce(revoked_at_ms, expires_at_ms),
        (SELECT max(t.expires_at_ms) FROM refresh_tokens t WHERE t.session_id = sessions.id));
ALTER TABLE sessions ALTER COLUMN last_used_at_ms SET NOT NULL, ALTER COLUMN ends_at_ms SET NOT NULL;

CREATE INDEX sessions_by_end ON sessions (ends_at_ms);

CREATE INDEX users_by_username ON users (lower(username), id);
CREATE INDEX users_by_email ON users (lower(email), id) WHERE email IS NOT NULL;
-- Those who may not all go.
CREATE INDEX users_administrators ON users (id)
    WHERE role = 'ADMIN' AND NOT disabled AND password_hash IS NOT NULL;

ALTER TABLE audit_log
    ADD COLUMN detail text COLLATE "C",
    ADD COLUMN address text COLLATE "C",
    ADD COLUMN request_id text COLLATE "C";
