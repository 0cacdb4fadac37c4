-- What the shuffler has stated of each task: spans of epochs, as JSON, and how often
-- that has changed.
CREATE TABLE stated (
	task     BLOB    NOT NULL PRIMARY KEY CHECK (length(task) = 32),
	coverage TEXT    NOT NULL,
	changes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
