-- The processes that act as nodes: a lease on the node's name, and a token that
-- only grows. Rows stay when a node is gone.
CREATE TABLE dap_nodes (
	id    INTEGER PRIMARY KEY,
	node  TEXT    NOT NULL UNIQUE,
	disk  TEXT    NOT NULL, -- names the folder of the logs; empty: nobody's
	token INTEGER NOT NULL,
	until INTEGER NOT NULL  -- when the lease lapses; 0: it was given up
) STRICT;
-- What was given up with nodes that were lost.
CREATE TABLE dap_drops (
	id      INTEGER PRIMARY KEY,
	node    TEXT    NOT NULL,
	at      INTEGER NOT NULL,
	logs    INTEGER NOT NULL,
	open    INTEGER NOT NULL, -- of them, logs whose number of reports is not known
	reports INTEGER NOT NULL
) STRICT;
