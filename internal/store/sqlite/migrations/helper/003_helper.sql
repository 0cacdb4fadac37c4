-- The aggregation jobs and aggregate shares that the leader asked for.
CREATE TABLE dap_jobs (
	id       INTEGER PRIMARY KEY,
	task     BLOB    NOT NULL CHECK (length(task) = 32),
	job      BLOB    NOT NULL CHECK (length(job) = 16),
	state    INTEGER NOT NULL, -- 1 waiting, 2 done, 3 failed, 4 deleted
	digest   BLOB    NOT NULL CHECK (length(digest) = 32),
	made     INTEGER NOT NULL, -- Unix seconds
	request  BLOB, -- while it waits
	verdicts BLOB, -- once it is done
	response BLOB, -- of a job that has waited, for some time
	problem  BLOB, -- of one that failed
	UNIQUE (task, job)
) STRICT;
CREATE INDEX dap_jobs_made ON dap_jobs (made);
CREATE INDEX dap_jobs_waiting ON dap_jobs (made, job) WHERE state = 1;
CREATE INDEX dap_jobs_response ON dap_jobs (made) WHERE response IS NOT NULL;
CREATE TABLE dap_shares (
	id       INTEGER PRIMARY KEY,
	task     BLOB    NOT NULL CHECK (length(task) = 32),
	share    BLOB    NOT NULL CHECK (length(share) = 16),
	state    INTEGER NOT NULL, -- 2 done, 4 deleted
	digest   BLOB    NOT NULL CHECK (length(digest) = 32),
	made     INTEGER NOT NULL, -- Unix seconds
	response BLOB, -- sealed to the collector
	UNIQUE (task, share)
) STRICT;
CREATE INDEX dap_shares_made ON dap_shares (made);
