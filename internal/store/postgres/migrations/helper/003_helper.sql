-- The aggregation jobs and aggregate shares that the leader asked for.
CREATE TABLE dap_jobs (
	task     bytea    NOT NULL CHECK (length(task) = 32),
	job      bytea    NOT NULL CHECK (length(job) = 16),
	state    smallint NOT NULL, -- 1 waiting, 2 done, 3 failed, 4 deleted
	digest   bytea    NOT NULL CHECK (length(digest) = 32),
	made     bigint   NOT NULL, -- Unix seconds
	request  bytea, -- while it waits
	verdicts bytea, -- once it is done
	response bytea, -- of a job that has waited, for some time
	problem  bytea, -- of one that failed
	PRIMARY KEY (task, job)
);
CREATE INDEX dap_jobs_made ON dap_jobs (made);
CREATE INDEX dap_jobs_waiting ON dap_jobs (made, job) WHERE state = 1;
CREATE INDEX dap_jobs_response ON dap_jobs (made) WHERE response IS NOT NULL;
CREATE TABLE dap_shares (
	task     bytea    NOT NULL CHECK (length(task) = 32),
	share    bytea    NOT NULL CHECK (length(share) = 16),
	state    smallint NOT NULL, -- 2 done, 4 deleted
	digest   bytea    NOT NULL CHECK (length(digest) = 32),
	made     bigint   NOT NULL, -- Unix seconds
	response bytea, -- sealed to the collector
	PRIMARY KEY (task, share)
);
CREATE INDEX dap_shares_made ON dap_shares (made);
