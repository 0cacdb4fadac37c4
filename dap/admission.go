package dap

import "fmt"

// ReportPresentation is the report extension, among the private ones of an input share,
// that holds the presentation of an anonymous credential to the share's aggregator. Its
// type is one of those from 0xFF00 on that are left for private use, so that only Shoal
// knows it.
const ReportPresentation uint16 = 0xFF43

// An Opened is an input share as its aggregator sees it: what an [Admission] decides on.
// It is secret and refers to memory that is used again.
type Opened struct {
	Metadata          *ReportMetadata
	PublicShare       []byte
	PrivateExtensions Extensions
	Payload           []byte
}

// A Tag is what a report is counted by beside its ID: hashes of what the client spends on
// it, and of that together with the report. Of reports with one Spent at most one counts.
// The zero Tag is that of reports which are counted by ID alone.
type Tag struct{ Spent, Report [16]byte }

// An Admission decides which reports of a task count by what clients show with them in the
// private extensions of their shares. It is safe for concurrent use.
type Admission interface {
	// Admit returns the tag of each share, and the error of those that are refused:
	// [InvalidMessage], or [ReportDropped] for those that can be decided on no more.
	// It fails if it cannot decide now. Whether a tag was spent is for the ledger.
	Admit(shares []Opened) ([]Tag, []ReportError, error)
	// Extensions returns the types of private extensions that it handles.
	Extensions() []uint16
}

// Admitting returns an aggregator that counts only reports which x admits.
func (a *Aggregator) Admitting(x Admission) *Aggregator {
	b := *a
	b.admission = x
	b.known = append(append([]uint16(nil), a.known...), x.Extensions()...)
	return &b
}

// admit asks the admission about the shares without an error, and returns their tags by
// place. It returns no tags if reports are counted by ID alone.
func (a *Aggregator) admit(shares []sealedShare, plaintexts []PlaintextInputShare, errs []ReportError) ([]Tag, error) {
	if a.admission == nil {
		return nil, nil
	}
	var opened []Opened
	var place []int
	for i := range shares {
		if errs[i] == 0 {
			opened = append(opened, Opened{shares[i].metadata, shares[i].public, plaintexts[i].PrivateExtensions, plaintexts[i].Payload})
			place = append(place, i)
		}
	}
	tags := make([]Tag, len(shares))
	if len(opened) == 0 {
		return tags, nil
	}
	got, refused, err := a.admission.Admit(opened)
	if err != nil {
		return nil, fmt.Errorf("admitting reports: %w", err)
	}
	if len(got) != len(opened) || len(refused) != len(opened) {
		return nil, fmt.Errorf("admitting reports: %d tags and %d errors for %d reports", len(got), len(refused), len(opened))
	}
	for k, i := range place {
		tags[i], errs[i] = got[k], refused[k]
		if errs[i] == 0 && tags[i] == (Tag{}) { // it would be counted by its ID alone
			errs[i] = InvalidMessage
		}
	}
	return tags, nil
}

// tagAt returns the tag of a report, which is zero without tags.
func tagAt(tags []Tag, i int) Tag {
	if tags == nil {
		return Tag{}
	}
	return tags[i]
}

// Candidates returns the reports that wait for the helper's answer, with their tags.
func (j *LeaderJob) Candidates() []Candidate {
	all := make([]Candidate, len(j.pending))
	for i := range j.pending {
		all[i] = j.candidate(&j.pending[i])
	}
	return all
}

func (j *LeaderJob) candidate(p *pending) Candidate {
	return Candidate{p.id, p.time, j.task.Bucket(p.time, j.batch), p.tag}
}

// Refuse rejects the reports whose verdict is not 0, by the order of
// [LeaderJob.Candidates], and takes them out of the request that came with the job. It
// must come before the request is sent.
func (j *LeaderJob) Refuse(req *AggregationJobInitReq, verdicts []ReportError) error {
	if len(verdicts) != len(j.pending) || len(req.VerifyInits) != len(j.pending) {
		return fmt.Errorf("%d verdicts and %d reports in the request for %d reports", len(verdicts), len(req.VerifyInits), len(j.pending))
	}
	pending, inits := j.pending[:0], req.VerifyInits[:0]
	for i, e := range verdicts {
		if e != 0 {
			j.reject(j.pending[i].id, e)
			continue
		}
		pending, inits = append(pending, j.pending[i]), append(inits, req.VerifyInits[i])
	}
	clear(j.pending[len(pending):])
	clear(req.VerifyInits[len(inits):])
	j.pending, req.VerifyInits = pending, inits
	return nil
}
