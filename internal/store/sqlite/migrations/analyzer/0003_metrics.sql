-- The batches of a metric are found without reading the manifests of others.
ALTER TABLE batches ADD COLUMN metric TEXT NOT NULL DEFAULT '';
UPDATE batches SET metric = coalesce(json_extract(manifest, '$.metric'), '') WHERE json_valid(manifest);
UPDATE batches SET metric = coalesce((SELECT o.metric FROM batches o WHERE o.task = batches.task AND o.metric <> '' LIMIT 1), '')
	WHERE manifest <> '' AND NOT json_valid(manifest); -- it is damaged
CREATE INDEX batches_metric ON batches (metric, task, epoch, batch, state) WHERE state IN (2, 3);
