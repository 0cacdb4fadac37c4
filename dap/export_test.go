package dap

// OpenShares opens many shares together, for the tests of what [Task.OpenInputShare]
// does alone.
func (t *Task) OpenShares(shares []ReportShare, role Role, find func(HpkeConfigID) Opener) ([]PlaintextInputShare, []ReportError) {
	sealed, errs := make([]sealedShare, len(shares)), make([]ReportError, len(shares))
	for i := range shares {
		s := &shares[i]
		sealed[i] = sealedShare{&s.Metadata, s.PublicShare, &s.InputShare}
	}
	return t.openShares(sealed, errs, role, find), errs
}
