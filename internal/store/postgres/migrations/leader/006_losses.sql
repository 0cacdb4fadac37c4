-- Accepted reports that have expired before they were counted, by the unit of their
-- time.
CREATE TABLE dap_losses (
	task    bytea  NOT NULL,
	unit    bigint NOT NULL,
	reports bigint NOT NULL,
	PRIMARY KEY (task, unit)
);
ALTER TABLE dap_collections ADD COLUMN lost bigint NOT NULL DEFAULT 0;
