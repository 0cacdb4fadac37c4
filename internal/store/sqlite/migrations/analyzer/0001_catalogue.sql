-- One row an accepted batch. It stays when the tables have expired, so that
-- the batch cannot be accepted a second time.
CREATE TABLE batches (
	id       INTEGER PRIMARY KEY,
	batch    BLOB    NOT NULL UNIQUE CHECK (length(batch) = 32),
	task     BLOB    NOT NULL CHECK (length(task) = 32),
	epoch    INTEGER NOT NULL,
	state    INTEGER NOT NULL,
	digest   BLOB    NOT NULL CHECK (length(digest) = 32),
	manifest TEXT    NOT NULL
) STRICT;
