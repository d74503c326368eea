-- Files count for a quota, know how large a picture they are, and are removed when no message carries them.

ALTER TABLE files ADD COLUMN width bigint;
ALTER TABLE files ADD COLUMN height bigint;

-- A flag of those that no message has carried yet, to find the old ones without looking at all the others.
ALTER TABLE files ADD COLUMN unsent boolean;
UPDATE files SET unsent = true WHERE NOT EXISTS (SELECT 1 FROM messages WHERE file_id = files.id);
CREATE INDEX files_unsent ON files (created_at_ms, id) WHERE unsent IS NOT NULL;

-- How many bytes the files of a user have together: asking for it costs the same however many they are.
CREATE TABLE file_usage (
    user_id uuid   NOT NULL PRIMARY KEY REFERENCES users (id),
    bytes   bigint NOT NULL
);

INSERT INTO file_usage (user_id, bytes) SELECT uploader_id, sum(size) FROM files GROUP BY uploader_id;

-- Names under which there may be bytes that no file stands for: of uploads that are not done, and of files that are no
-- more. They are noted before the bytes are there, so that a server that is killed leaves nothing that nobody knows of.
CREATE TABLE loose_files (
    stored_name text   COLLATE "C" NOT NULL PRIMARY KEY,
    upload_id   text   COLLATE "C", -- what the store calls an upload in parts, whose parts it keeps until it is told not to
    since_ms    bigint NOT NULL
);

CREATE INDEX loose_files_by_age ON loose_files (since_ms);
