-- The tasks that are served, and the aggregator's own keys, all sealed.
CREATE TABLE dap_tasks (
	id       INTEGER PRIMARY KEY,
	task     BLOB    NOT NULL UNIQUE CHECK (length(task) = 32),
	revision INTEGER NOT NULL UNIQUE,
	sealed   BLOB    NOT NULL
) STRICT;
CREATE TABLE dap_secrets (
	id       INTEGER PRIMARY KEY,
	name     TEXT    NOT NULL UNIQUE,
	revision INTEGER NOT NULL,
	sealed   BLOB    NOT NULL
) STRICT;
