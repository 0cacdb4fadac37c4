-- What an issuer of credentials keeps: the key of each slot, sealed, until when, and
-- which request each client was answered.
CREATE TABLE dap_credential_keys (
	slot   text   NOT NULL PRIMARY KEY,
	until  bigint NOT NULL,
	sealed bytea  NOT NULL
);
CREATE TABLE dap_credentials (
	slot text  NOT NULL REFERENCES dap_credential_keys ON DELETE CASCADE,
	tag  bytea NOT NULL CHECK (length(tag) = 16),
	used bytea NOT NULL CHECK (length(used) = 16),
	PRIMARY KEY (slot, tag)
);
