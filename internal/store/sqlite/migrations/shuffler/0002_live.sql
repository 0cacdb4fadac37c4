-- What is read again and again is the batches that are not destroyed (state 7),
-- however many have been.
CREATE INDEX batches_live ON batches (task, epoch) WHERE state <> 7;
