-- What the shuffler knows of its own past: from which time on it is unbroken, until
-- which it has decided about its batches (Unix seconds), and what it has lost in between.
-- Nothing here names a batch: a loss concerns all epochs of its time.
CREATE TABLE history (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	since   INTEGER NOT NULL,
	through INTEGER NOT NULL
) STRICT;
-- Of a file that has been used before, nothing is known of the past.
INSERT INTO history SELECT 1, -1, 0 WHERE EXISTS (SELECT 1 FROM batches);
CREATE TABLE gaps (
	place TEXT    NOT NULL PRIMARY KEY,
	after INTEGER NOT NULL,
	until INTEGER NOT NULL,
	task  BLOB    NOT NULL CHECK (length(task) = 32) -- zero: all tasks
) STRICT, WITHOUT ROWID;
-- The digest of the statement that the next hop has of each task.
CREATE TABLE sent (
	task   BLOB NOT NULL PRIMARY KEY CHECK (length(task) = 32),
	digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT, WITHOUT ROWID;
-- What the hop before has stated of each task: spans of epochs, as JSON.
CREATE TABLE stated (
	task     BLOB    NOT NULL PRIMARY KEY CHECK (length(task) = 32),
	coverage TEXT    NOT NULL,
	changes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
