-- The tasks that are served, and the aggregator's own keys, all sealed.
CREATE TABLE dap_tasks (
	task     bytea  NOT NULL PRIMARY KEY CHECK (length(task) = 32),
	revision bigint NOT NULL UNIQUE,
	sealed   bytea  NOT NULL
);
CREATE TABLE dap_secrets (
	name     text   NOT NULL PRIMARY KEY,
	revision bigint NOT NULL,
	sealed   bytea  NOT NULL
);
