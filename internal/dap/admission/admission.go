// Package admission makes each client of a task count once at both aggregators: what
// clients show with an input share, and how the aggregator judges it.
//
//	x, err := admission.New(issuer, t, task.Leader) // aggregator; nil without credentials
//	a = a.Admitting(x)                              // [dap.Aggregator]
//	name := admission.List(t, task.Leader)          // of the list of spent tags
//
//	extensions, err := admission.Show(shown, t, party, id, share) // client
//
// # What is shown
//
// The private extensions of each input share hold one presentation of the client's
// credential of that aggregator, of type [dap.ReportPresentation] and 260 bytes, with a limit
// of one an epoch ([credential.ContextsOf]). It is bound to the DAP task ID and to
//
//	SHA-256("shoal upload digest v1" || report ID[16] || time u64 ||
//	        len(public extensions) u16 || public extensions ||
//	        len(other private extensions) u16 || other private extensions ||
//	        len(public share) u32 || public share || payload)
//
// of the share in which it is. The list of spent tags has a name for each role, owner and
// metric, so that all signed versions of a metric share it.
//
// # Security
//
// Leader and helper each have an issuer of their own: neither can make a client count
// twice at the other. A leader that wants to add reports of its own around one victim has to
// get credentials of the helper, whose gate bounds them. The leader sees the helper's
// presentation sealed only; the two tags of a report are not related to each other, nor to
// those of other epochs.
//
// A presentation is verified once for each attempt at a job. That costs about 0.3 ms of a
// processor a report; the reports of a job are verified on all processors.
package admission

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	digestDomain = "shoal upload digest v1"
	listDomain   = "shoal spent tags v1"
	tagDomain    = "shoal upload tag v1"
)

// Digest returns what a presentation in the private extensions of a share is bound to.
func Digest(s *dap.Opened, others dap.Extensions) [sha256.Size]byte {
	h := sha256.New()
	b := append(make([]byte, 0, 128), digestDomain...)
	b = append(b, s.Metadata.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Metadata.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Metadata.PublicExtensions)))
	b = append(b, s.Metadata.PublicExtensions...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(others)))
	b = append(b, others...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.PublicShare)))
	h.Write(b)
	h.Write(s.PublicShare)
	h.Write(s.Payload)
	return [sha256.Size]byte(h.Sum(nil))
}

// List returns the name of the list of the tags that are spent at the aggregator of a role
// with reports of t and of all other versions of its metric.
func List(t *task.Task, role task.Role) [sha256.Size]byte {
	b := append(make([]byte, 0, 128), listDomain...)
	b = append(append(b, uint8(role)), t.Owner...)
	b = append(append(b, uint8(len(t.Metric))), t.Metric...)
	return sha256.Sum256(b)
}

// split separates the presentation from the other private extensions of a share.
func split(private dap.Extensions) (presentation []byte, others dap.Extensions, err error) {
	all, err := private.List()
	if err != nil {
		return nil, nil, err
	}
	rest := all[:0]
	for _, e := range all {
		if e.Type != dap.ReportPresentation {
			rest = append(rest, e)
			continue
		}
		presentation = e.Data
	}
	if len(presentation) != arc.PresentationSize(1) {
		return nil, nil, fmt.Errorf("a presentation of %d bytes, want %d", len(presentation), arc.PresentationSize(1))
	}
	others, err = dap.NewExtensions(rest...)
	return presentation, others, err
}

// An Admission judges the presentations in the shares of one aggregator of a task. It
// implements [dap.Admission].
type Admission struct {
	issuer *credential.Issuer
	task   *task.Task
	id     task.ID
	dap    dap.TaskID
	party  task.Party
}

// New returns the admission of the aggregator that has a role in t, which has the DAP task
// ID made; nil if the task requires no credentials. The issuer serves t from now on.
func New(issuer *credential.Issuer, t *task.Task, made dap.TaskID, role task.Role) (*Admission, error) {
	party := t.Leader()
	if role == task.Helper {
		party = t.Helper()
	}
	if len(t.Presentations(party)) == 0 {
		return nil, nil
	}
	if issuer == nil {
		return nil, errors.New("the task requires credentials, and there is no issuer that knows them")
	}
	id, err := t.ID()
	if err != nil {
		return nil, err
	}
	if err := issuer.Serve(t); err != nil {
		return nil, err
	}
	return &Admission{issuer, t, id, made, party}, nil
}

// Extensions implements [dap.Admission].
func (*Admission) Extensions() []uint16 { return []uint16{dap.ReportPresentation} }

// Admit implements [dap.Admission].
func (a *Admission) Admit(shares []dap.Opened) ([]dap.Tag, []dap.ReportError, error) {
	tags, errs := make([]dap.Tag, len(shares)), make([]dap.ReportError, len(shares))
	verifiers := make(map[dap.Time]*epoch)
	for i := range shares {
		t := shares[i].Metadata.Time
		if verifiers[t] != nil {
			continue
		}
		e, err := a.epoch(t)
		if err != nil {
			return nil, nil, err
		}
		verifiers[t] = e
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(shares)) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(shares) {
					return
				}
				tags[i], errs[i] = verifiers[shares[i].Metadata.Time].verify(&shares[i], a.dap)
			}
		})
	}
	group.Wait()
	return tags, errs, nil
}

// An epoch is what presentations of one epoch are verified with.
type epoch struct {
	verifier *credential.Verifier
	context  credential.Context
	refused  dap.ReportError // of all reports; 0: each is judged
}

// epoch returns what presentations of an epoch are verified with. It fails if the key
// cannot be read now.
func (a *Admission) epoch(t dap.Time) (*epoch, error) {
	e := task.Epoch(t)
	if !a.task.Covers(e) {
		return &epoch{refused: dap.InvalidMessage}, nil
	}
	v, err := a.issuer.Verifier(a.id, e)
	switch {
	case errors.Is(err, credential.ErrNoKey): // no credential was issued
		return &epoch{refused: dap.InvalidMessage}, nil
	case errors.Is(err, credential.ErrLost): // what it issued cannot be verified any more
		return &epoch{refused: dap.ReportDropped}, nil
	case err != nil:
		return nil, err
	}
	return &epoch{verifier: v, context: credential.ContextsOf(a.task, a.party, e, nil)[0]}, nil
}

func (e *epoch) verify(s *dap.Opened, id dap.TaskID) (dap.Tag, dap.ReportError) {
	if e.refused != 0 {
		return dap.Tag{}, e.refused
	}
	presentation, others, err := split(s.PrivateExtensions)
	if err != nil {
		return dap.Tag{}, dap.InvalidMessage
	}
	digest := Digest(s, others)
	tag, err := e.verifier.Verify(e.context, presentation, credential.Binding(task.ID(id), digest))
	if err != nil {
		return dap.Tag{}, dap.InvalidMessage
	}
	return tagOf(tag[:], digest), 0
}

// tagOf returns what a report is counted by. The digest names the report, so that its
// repetition differs from another report of the same client.
func tagOf(tag []byte, digest [sha256.Size]byte) dap.Tag {
	b := append([]byte(tagDomain), tag...)
	spent := sha256.Sum256(b)
	report := sha256.Sum256(append(b, digest[:]...))
	return dap.Tag{Spent: [16]byte(spent[:]), Report: [16]byte(report[:])}
}

// Show returns the private extensions of the share of a report for a party of t: the
// presentation of what a wallet has allocated, nothing if the party asks for none. made is
// the DAP task ID, share is the share without them.
func Show(shown *credential.Shown, p task.Party, made dap.TaskID, share *dap.Opened) (dap.Extensions, error) {
	all, err := shown.Present(p, credential.Binding(task.ID(made), Digest(share, nil)))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return dap.NewExtensions(dap.Extension{Type: dap.ReportPresentation, Data: all[0]})
}
