-- The processes that act as nodes. A node's row is locked FOR SHARE by everything
-- that it changes, and FOR UPDATE by whoever takes its name. Rows stay when a node
-- is gone: the token only grows.
CREATE TABLE dap_nodes (
	node  text   NOT NULL PRIMARY KEY,
	disk  text   NOT NULL, -- names the folder of the logs; empty: nobody's
	token bigint NOT NULL
);
-- Their leases: rows of their own, so that renewing waits for no change.
CREATE TABLE dap_leases (
	node  text   NOT NULL PRIMARY KEY,
	token bigint NOT NULL,
	until bigint NOT NULL -- when it lapses; 0: it was given up
) WITH (fillfactor = 50);
-- What was given up with nodes that were lost.
CREATE TABLE dap_drops (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	node    text   NOT NULL,
	at      bigint NOT NULL,
	logs    bigint NOT NULL,
	open    bigint NOT NULL, -- of them, logs whose number of reports is not known
	reports bigint NOT NULL
);
