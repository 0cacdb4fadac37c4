-- One row a batch. Times, addresses and reports have no place here.
CREATE TABLE batches (
	id          INTEGER PRIMARY KEY,
	task        BLOB    NOT NULL CHECK (length(task) = 32),
	epoch       INTEGER NOT NULL,
	state       INTEGER NOT NULL,
	into_epoch  INTEGER NOT NULL,
	batch       BLOB    NOT NULL CHECK (length(batch) = 32),
	seed        BLOB             CHECK (length(seed) = 32),
	input       BLOB    NOT NULL CHECK (length(input) = 32),
	output      BLOB    NOT NULL CHECK (length(output) = 32),
	counts      TEXT    NOT NULL,
	UNIQUE (task, epoch)
) STRICT;
