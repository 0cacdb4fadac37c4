package server

// The reasons for which /readyz answers 503, as formats. docs/guide/operator.md has a
// row for each, and a test compares them.
const (
	whyStopping    = "shutting down"
	whyDiskFull    = "less than %s free on the data volume"
	whyLosses      = "the %s has lost acknowledged reports or cannot work on them (%s, %d places, %d reports at least): see shoal doctor, then shoal doctor --acknowledge"
	whyLossList    = "the list of losses cannot be read or written"
	whyCredentials = "the keys of %d periods of credentials are lost or damaged, the first is %s: restore the folder credentials of the role; no credential of them is issued or verified"
	whyEvaluations = "the evaluation keys of %d epochs are lost or damaged, the first is %s: nothing is evaluated in them, their records move to the next epoch"
	whyOverdue     = "%d evaluation keys are still there after the end of their epochs and cannot be destroyed: the log says why; remove their folders in the folder keys of the role by hand"

	whyRandomnessTime = "the clock has jumped and is not trusted yet; nothing is evaluated, and no key is destroyed"
	whyClock          = "the clock has jumped and is not trusted yet; no batch closes"
	whySetAside       = "%d batches could not be processed and are set aside: the log says why; try them again by \"shoal serve --retry-batches\""
	whyDatabase       = "the %s's database: %s"
	whyStore          = "the %s's store fails"
	whyLeaderTime     = "the clock has jumped and is not trusted yet; no batch is collected"
	whyFenced         = "the name %q belongs to another process or was dropped; no report is taken: restart this server"
	whyNoParties      = "relay.parties is empty: nothing is forwarded"
	whyLeaseGone      = "the lease on the name %q has lapsed and cannot be renewed; no report is taken"
)
