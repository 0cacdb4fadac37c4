-- What is read again and again is found by indexes, not by reading all manifests:
-- batches in a state, those whose tables are due to be removed (state 2, Unix
-- seconds; 0 is never), and the number of records of each. attempts counts the
-- tries of a release that did not end.
ALTER TABLE batches ADD COLUMN expires  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN records  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
UPDATE batches SET records = coalesce(json_extract(manifest, '$.analyzer.records'), 0) WHERE manifest <> '';
UPDATE batches SET expires = coalesce(unixepoch(json_extract(manifest, '$.end')) + 86400 * json_extract(manifest, '$.parameters.retention_days'), 0)
	WHERE state = 2 AND json_extract(manifest, '$.parameters.retention_days') > 0;
CREATE INDEX batches_task ON batches (task, epoch, state, records);
CREATE INDEX batches_received ON batches (task, epoch) WHERE state = 1;
CREATE INDEX batches_expired ON batches (task, epoch) WHERE state = 3;
CREATE INDEX batches_due ON batches (expires) WHERE state = 2 AND expires > 0;
