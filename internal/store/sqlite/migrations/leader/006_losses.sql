-- Accepted reports that have expired before they were counted, by the unit of their
-- time.
CREATE TABLE dap_losses (
	id      INTEGER PRIMARY KEY,
	task    BLOB    NOT NULL,
	unit    INTEGER NOT NULL,
	reports INTEGER NOT NULL,
	UNIQUE (task, unit)
) STRICT;
ALTER TABLE dap_collections ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
