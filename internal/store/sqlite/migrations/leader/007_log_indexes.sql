-- The logs of a node in their order, those that are not cut, and when a job is due.
CREATE INDEX dap_logs_node ON dap_logs (node, task, number, state, records);
CREATE INDEX dap_logs_uncut ON dap_logs (task, number) WHERE state <> 3;
CREATE INDEX dap_jobs_next ON dap_jobs (node, max(due, lease));
