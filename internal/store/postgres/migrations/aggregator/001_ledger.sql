-- What counted in each task. The sealed columns are opaque here. The row of a
-- ledger is locked FOR SHARE by commits and FOR UPDATE by everything that must
-- see none of them half done.
CREATE TABLE dap_ledgers (
	id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	task       bytea   NOT NULL UNIQUE CHECK (length(task) = 32),
	span       bigint  NOT NULL, -- units of time that share a page
	shards     integer NOT NULL,
	generation bigint  NOT NULL,
	watermark  bigint  NOT NULL
);
-- Report IDs, 16 bytes each, in pages by time and shard. A number is taken once.
CREATE TABLE dap_blocks (
	ledger bigint   NOT NULL REFERENCES dap_ledgers (id),
	page   bigint   NOT NULL,
	shard  smallint NOT NULL,
	seq    bigint   NOT NULL,
	ids    bytea    NOT NULL CHECK (length(ids) > 0 AND length(ids) % 16 = 0),
	PRIMARY KEY (ledger, page, shard, seq)
);
ALTER TABLE dap_blocks ALTER ids SET STORAGE EXTERNAL; -- random: not to be compressed
-- The batch buckets, in parts.
CREATE TABLE dap_sums (
	ledger bigint   NOT NULL REFERENCES dap_ledgers (id),
	unit   bigint   NOT NULL,
	batch  bytea    NOT NULL, -- empty in the time-interval mode
	part   smallint NOT NULL,
	rev    bigint   NOT NULL,
	latest bigint   NOT NULL, -- time of a report in it
	sealed bytea    NOT NULL,
	PRIMARY KEY (ledger, unit, batch, part)
) WITH (fillfactor = 50); -- every commit changes a row, in place where there is room
ALTER TABLE dap_sums ALTER sealed SET STORAGE EXTERNAL;
-- Which batches were collected.
CREATE TABLE dap_marks (
	ledger     bigint   NOT NULL REFERENCES dap_ledgers (id),
	generation bigint   NOT NULL,
	mode       smallint NOT NULL,
	config     bytea    NOT NULL,
	last       bigint, -- unit of the batch, NULL in the leader-selected mode
	PRIMARY KEY (ledger, generation)
);
