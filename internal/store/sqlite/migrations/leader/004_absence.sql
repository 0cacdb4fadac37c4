ALTER TABLE dap_jobs ADD COLUMN refused INTEGER NOT NULL DEFAULT 0; -- jobs with these reports that the helper has refused
ALTER TABLE dap_jobs ADD COLUMN since INTEGER NOT NULL DEFAULT 0; -- since when the helper is waited for, 0: it is not
CREATE INDEX dap_jobs_since ON dap_jobs (task) WHERE since > 0;
