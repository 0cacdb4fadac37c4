-- What a leader works on. Reports are not here: they stand in files. The row of a
-- task here is locked by changes that must come one after another.
CREATE TABLE dap_intakes (
	task     bytea  NOT NULL PRIMARY KEY CHECK (length(task) = 32),
	last_log bigint NOT NULL -- the highest number that was given
);
CREATE TABLE dap_logs (
	task    bytea    NOT NULL,
	number  bigint   NOT NULL,
	node    text     NOT NULL,
	state   smallint NOT NULL,
	records bigint   NOT NULL,
	PRIMARY KEY (task, number)
);
CREATE INDEX dap_logs_node ON dap_logs (node);
-- A row an aggregation job that has not ended.
CREATE TABLE dap_jobs (
	id         bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the number
	task       bytea    NOT NULL,
	node       text     NOT NULL,
	log        bigint   NOT NULL,
	first      bigint   NOT NULL,
	past       bigint   NOT NULL,
	skip       bytea    NOT NULL,
	reports    bigint   NOT NULL,
	span_start bigint   NOT NULL,
	span_end   bigint   NOT NULL, -- after the last unit
	batch      bytea    NOT NULL, -- empty in the time-interval mode
	verify_key smallint NOT NULL,
	created    bigint   NOT NULL,
	round      bigint   NOT NULL,
	turned     boolean  NOT NULL,
	digest     bytea    NOT NULL, -- empty before the request was made
	location   bytea    NOT NULL,
	attempts   bigint   NOT NULL,
	due        bigint   NOT NULL,
	lease      bigint   NOT NULL -- 0: nobody has the job
) WITH (fillfactor = 70);
CREATE INDEX dap_jobs_due ON dap_jobs (node, due);
CREATE INDEX dap_jobs_log ON dap_jobs (task, log);
-- Batches of the leader-selected mode.
CREATE TABLE dap_batches (
	id       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	task     bytea   NOT NULL,
	batch    bytea   NOT NULL CHECK (length(batch) = 32),
	unit     bigint  NOT NULL, -- the first of its time window
	assigned bigint  NOT NULL,
	count    bigint  NOT NULL,
	taken    boolean NOT NULL,
	UNIQUE (task, batch)
) WITH (fillfactor = 70);
CREATE TABLE dap_collections (
	id             bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	task           bytea    NOT NULL,
	job            bytea    NOT NULL CHECK (length(job) = 16),
	rev            bigint   NOT NULL,
	state          smallint NOT NULL,
	created        bigint   NOT NULL,
	request        bytea    NOT NULL,
	interval_start bigint   NOT NULL,
	interval_end   bigint   NOT NULL, -- equal to the start in the leader-selected mode
	batch          bytea    NOT NULL, -- empty before it is chosen
	upto           bigint   NOT NULL,
	count          bigint   NOT NULL,
	checksum       bytea    NOT NULL,
	location       bytea    NOT NULL,
	attempts       bigint   NOT NULL,
	due            bigint   NOT NULL,
	response       bytea    NOT NULL, -- sealed to the collector
	problem        bytea    NOT NULL,
	detail         bytea    NOT NULL,
	UNIQUE (task, job)
);
CREATE INDEX dap_collections_state ON dap_collections (state);
