-- What a leader works on. Reports are not here: they stand in files.
CREATE TABLE dap_intakes (
	id       INTEGER PRIMARY KEY,
	task     BLOB    NOT NULL UNIQUE CHECK (length(task) = 32),
	last_log INTEGER NOT NULL -- the highest number that was given
) STRICT;
CREATE TABLE dap_logs (
	id      INTEGER PRIMARY KEY,
	task    BLOB    NOT NULL,
	number  INTEGER NOT NULL,
	node    TEXT    NOT NULL,
	state   INTEGER NOT NULL,
	records INTEGER NOT NULL,
	UNIQUE (task, number)
) STRICT;
-- A row an aggregation job that has not ended.
CREATE TABLE dap_jobs (
	id           INTEGER PRIMARY KEY AUTOINCREMENT, -- the number; never given again
	task         BLOB    NOT NULL,
	node         TEXT    NOT NULL,
	log          INTEGER NOT NULL,
	first        INTEGER NOT NULL,
	past         INTEGER NOT NULL,
	skip         BLOB    NOT NULL,
	reports      INTEGER NOT NULL,
	span_start   INTEGER NOT NULL,
	span_end     INTEGER NOT NULL, -- after the last unit
	batch        BLOB    NOT NULL, -- empty in the time-interval mode
	verify_key   INTEGER NOT NULL,
	created      INTEGER NOT NULL,
	round        INTEGER NOT NULL,
	turned       INTEGER NOT NULL,
	digest       BLOB    NOT NULL, -- empty before the request was made
	location     TEXT    NOT NULL,
	attempts     INTEGER NOT NULL,
	due          INTEGER NOT NULL,
	lease        INTEGER NOT NULL  -- 0: nobody has the job
) STRICT;
CREATE INDEX dap_jobs_due ON dap_jobs (node, due);
CREATE INDEX dap_jobs_log ON dap_jobs (task, log);
-- Batches of the leader-selected mode.
CREATE TABLE dap_batches (
	id       INTEGER PRIMARY KEY,
	task     BLOB    NOT NULL,
	batch    BLOB    NOT NULL CHECK (length(batch) = 32),
	window   INTEGER NOT NULL,
	assigned INTEGER NOT NULL,
	count    INTEGER NOT NULL,
	taken    INTEGER NOT NULL,
	UNIQUE (task, batch)
) STRICT;
CREATE TABLE dap_collections (
	id             INTEGER PRIMARY KEY,
	task           BLOB    NOT NULL,
	job            BLOB    NOT NULL CHECK (length(job) = 16),
	rev            INTEGER NOT NULL,
	state          INTEGER NOT NULL,
	created        INTEGER NOT NULL,
	request        BLOB    NOT NULL,
	interval_start INTEGER NOT NULL,
	interval_end   INTEGER NOT NULL, -- equal to the start in the leader-selected mode
	batch          BLOB    NOT NULL, -- empty before it is chosen
	upto           INTEGER NOT NULL,
	count          INTEGER NOT NULL,
	checksum       BLOB    NOT NULL,
	location       TEXT    NOT NULL,
	attempts       INTEGER NOT NULL,
	due            INTEGER NOT NULL,
	response       BLOB    NOT NULL, -- sealed to the collector
	problem        TEXT    NOT NULL,
	detail         TEXT    NOT NULL,
	UNIQUE (task, job)
) STRICT;
CREATE INDEX dap_collections_state ON dap_collections (state);
