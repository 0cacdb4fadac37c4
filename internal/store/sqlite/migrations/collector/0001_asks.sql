-- One row a request for an aggregate. It stays when the table has expired, so
-- that the batch is not asked for a second time.
CREATE TABLE asks (
	id       INTEGER PRIMARY KEY,
	ask      BLOB    NOT NULL UNIQUE CHECK (length(ask) = 16),
	task     BLOB    NOT NULL CHECK (length(task) = 32),
	number   INTEGER NOT NULL,
	request  BLOB    NOT NULL,
	created  INTEGER NOT NULL,
	state    INTEGER NOT NULL,
	location TEXT    NOT NULL DEFAULT '',
	missing  TEXT    NOT NULL DEFAULT '',
	reason   TEXT    NOT NULL DEFAULT '',
	response BLOB    NOT NULL DEFAULT x'',
	manifest TEXT    NOT NULL DEFAULT ''
) STRICT;

-- When the collector was first told of a task, in Unix seconds: its schedule
-- begins there.
CREATE TABLE begun (
	task BLOB    PRIMARY KEY CHECK (length(task) = 32),
	at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
