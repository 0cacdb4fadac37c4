-- The logs of a node in their order, those that are not cut, and when a job is due.
DROP INDEX dap_logs_node;
CREATE INDEX dap_logs_node ON dap_logs (node, task, number);
CREATE INDEX dap_logs_uncut ON dap_logs (task, number) WHERE state <> 3;
CREATE INDEX dap_jobs_next ON dap_jobs (node, greatest(due, lease));
