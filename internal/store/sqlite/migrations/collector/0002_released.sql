-- What is searched for stands beside the manifests, which only what is shown is read
-- from. A manifest that was released by an earlier version is read here once.
ALTER TABLE asks ADD COLUMN metric  TEXT    NOT NULL DEFAULT '';
ALTER TABLE asks ADD COLUMN reports INTEGER NOT NULL DEFAULT 0;
ALTER TABLE asks ADD COLUMN ended   INTEGER NOT NULL DEFAULT 0; -- of the batch, in Unix seconds
ALTER TABLE asks ADD COLUMN expires INTEGER NOT NULL DEFAULT 0; -- in Unix seconds; 0 is never
ALTER TABLE asks ADD COLUMN digest  TEXT    NOT NULL DEFAULT ''; -- of the leader's answer
UPDATE asks SET
	metric  = coalesce(json_extract(manifest, '$.metric'), ''),
	reports = coalesce(json_extract(manifest, '$.reports'), 0),
	ended   = coalesce(unixepoch(json_extract(manifest, '$.end')), 0),
	digest  = coalesce(json_extract(manifest, '$.digest'), '')
	WHERE json_valid(manifest);
UPDATE asks SET metric = coalesce((SELECT o.metric FROM asks o WHERE o.task = asks.task AND o.metric <> '' LIMIT 1), '')
	WHERE manifest <> '' AND NOT json_valid(manifest); -- it is damaged
UPDATE asks SET expires = ended + 86400 * json_extract(manifest, '$.parameters.retention_days')
	WHERE ended > 0 AND json_extract(manifest, '$.parameters.retention_days') > 0;
CREATE INDEX asks_task       ON asks (task, number, ask);
CREATE INDEX asks_open       ON asks (task, number, ask) WHERE state <= 2;
CREATE INDEX asks_unreleased ON asks (task, number, ask) WHERE state IN (1, 2, 5);
CREATE INDEX asks_released   ON asks (task, number, ask, state, reports, ended) WHERE state IN (3, 4);
CREATE INDEX asks_metric     ON asks (metric, task, number, ask, state) WHERE state IN (3, 4);
CREATE INDEX asks_digest     ON asks (task, digest, state) WHERE state IN (3, 4);
CREATE INDEX asks_due        ON asks (expires) WHERE state = 3 AND expires > 0;
CREATE INDEX asks_undated    ON asks (task, number, ask) WHERE state = 3 AND ended = 0;
CREATE INDEX asks_expired    ON asks (task, number, ask) WHERE state = 4;
