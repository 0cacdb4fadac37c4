-- What counted in each task. The sealed columns are opaque here.
CREATE TABLE dap_ledgers (
	id         INTEGER PRIMARY KEY,
	task       BLOB    NOT NULL UNIQUE CHECK (length(task) = 32),
	window     INTEGER NOT NULL, -- units of time that share a page
	shards     INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	watermark  INTEGER NOT NULL
) STRICT;
-- Report IDs, 16 bytes each, in pages by time and shard. A number is taken once.
CREATE TABLE dap_blocks (
	id     INTEGER PRIMARY KEY,
	ledger INTEGER NOT NULL REFERENCES dap_ledgers (id),
	window INTEGER NOT NULL,
	shard  INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	ids    BLOB    NOT NULL CHECK (length(ids) > 0 AND length(ids) % 16 = 0),
	UNIQUE (ledger, window, shard, seq)
) STRICT;
-- The batch buckets, in parts.
CREATE TABLE dap_sums (
	id     INTEGER PRIMARY KEY,
	ledger INTEGER NOT NULL REFERENCES dap_ledgers (id),
	unit   INTEGER NOT NULL,
	batch  BLOB    NOT NULL, -- empty in the time-interval mode
	part   INTEGER NOT NULL,
	rev    INTEGER NOT NULL,
	latest INTEGER NOT NULL, -- time of a report in it
	sealed BLOB    NOT NULL,
	UNIQUE (ledger, unit, batch, part)
) STRICT;
CREATE INDEX dap_sums_latest ON dap_sums (ledger, latest);
-- Which batches were collected.
CREATE TABLE dap_marks (
	ledger     INTEGER NOT NULL REFERENCES dap_ledgers (id),
	generation INTEGER NOT NULL,
	mode       INTEGER NOT NULL,
	config     BLOB    NOT NULL,
	last       INTEGER, -- unit of the batch, NULL in the leader-selected mode
	PRIMARY KEY (ledger, generation)
) STRICT, WITHOUT ROWID;
