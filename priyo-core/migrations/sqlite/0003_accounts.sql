-- Users see and end their sessions, administrators find users, what is over can be deleted in small parts, and the
-- audit log says from where.

-- `ends_at_ms` is when the session ends unless its tokens are renewed; for a revoked one, when it was.
ALTER TABLE sessions ADD COLUMN last_used_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN ends_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN user_agent TEXT;

CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at_ms);

UPDATE sessions SET
    last_used_at_ms = coalesce(
        (SELECT max(t.created_at_ms) FROM refresh_tokens t WHERE t.session_id = sessions.id), created_at_ms),
    ends_at_ms = min(
        coalesce(revoked_at_ms, expires_at_ms),
        coalesce((SELECT max(t.expires_at_ms) FROM refresh_tokens t WHERE t.session_id = sessions.id), expires_at_ms));

CREATE INDEX sessions_by_end ON sessions (ends_at_ms);

CREATE INDEX users_by_username ON users (username COLLATE NOCASE, id);
CREATE INDEX users_by_email ON users (email COLLATE NOCASE, id) WHERE email IS NOT NULL;
-- Those who may not all go.
CREATE INDEX users_administrators ON users (role, id)
    WHERE role = 'ADMIN' AND disabled = 0 AND password_hash IS NOT NULL;

ALTER TABLE audit_log ADD COLUMN detail TEXT;
ALTER TABLE audit_log ADD COLUMN address TEXT;
ALTER TABLE audit_log ADD COLUMN request_id TEXT;
