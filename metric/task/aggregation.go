package task

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/kind"
)

// An Aggregation is what a task of the method [Aggregate] adds up.
type Aggregation struct {
	Kind     kind.Kind // with its settings; nil in a task of another method
	Presence kind.Presence
	Noise    dp.Noise // that leader and helper each add, on their own
	Variant  string   // of DAP: dap-18, dap-19 or janus
}

// MaxLateEpochs is the longest send delay of an aggregate task in epochs, so
// that few reports of one client wait at a time.
const MaxLateEpochs = 32

// Variants returns the names of the DAP variants that a task may have.
func Variants() []string { return []string{"dap-18", "dap-19", "janus"} }

// Measure returns the kind with its VDAF, see [kind.New].
func (a *Aggregation) Measure() (*kind.Measure, error) { return kind.New(a.Kind, a.Presence, a.Noise) }

// WithChunk returns the aggregation with the chunk length that makes its reports
// shortest, see [kind.WithChunk].
func WithChunk(a Aggregation) (Aggregation, error) {
	k, err := kind.WithChunk(a.Kind, a.Presence)
	if err != nil {
		return a, err
	}
	a.Kind = k
	return a, nil
}

func (a *Aggregation) validate() error {
	if a.Presence != kind.Hidden && a.Presence != kind.Revealed {
		return fmt.Errorf("aggregation: unknown %v", a.Presence)
	}
	if !slices.Contains(Variants(), a.Variant) {
		return fmt.Errorf("aggregation: unknown variant %q of DAP", a.Variant)
	}
	if err := a.Noise.Validate(); err != nil {
		return fmt.Errorf("aggregation: %w", err)
	}
	if err := kind.Validate(a.Kind); err != nil {
		return fmt.Errorf("aggregation: %w", err)
	}
	return nil
}

// unused reports whether the task has no aggregation.
func (a *Aggregation) unused() bool {
	return a.Kind == nil && a.Presence == 0 && a.Noise == (dp.Noise{}) && a.Variant == ""
}

// Bytes of an aggregation:
//
//	struct {
//	    uint8 kind; uint8 presence;
//	    uint8 noise; uint32 noise_num; uint32 noise_den; uint64 sensitivity;
//	    opaque variant<1..2^8-1>;
//	    Settings settings;         /* see kind.Append */
//	} Aggregation;
func (a *Aggregation) marshal(b *cryptobyte.Builder) {
	b.AddUint8(kind.Number(a.Kind))
	b.AddUint8(uint8(a.Presence))
	b.AddUint8(uint8(a.Noise.Mechanism))
	addEach(b, a.Noise.Num, a.Noise.Den)
	b.AddUint64(a.Noise.Sensitivity)
	add8(b, a.Variant)
	kind.Append(b, a.Kind)
}

func (a *Aggregation) unmarshal(s *cryptobyte.String) bool {
	var number uint8
	ok := s.ReadUint8(&number) && s.ReadUint8((*uint8)(&a.Presence)) &&
		s.ReadUint8((*uint8)(&a.Noise.Mechanism)) && readEach(s, &a.Noise.Num, &a.Noise.Den) && s.ReadUint64(&a.Noise.Sensitivity) &&
		read8(s, &a.Variant)
	if !ok {
		return false
	}
	a.Kind, ok = kind.Read(s, number)
	return ok
}

// marshalAggregate writes what follows the method in an aggregate task.
func (t *Task) marshalAggregate(b *cryptobyte.Builder) {
	t.Aggregation.marshal(b)
	addEach(b, t.MinBatch, t.EpochSeconds, t.MaxDelay, t.ClockSkew)
	t.marshalEnd(b)
}

func (t *Task) unmarshalAggregate(s *cryptobyte.String) bool {
	return t.Aggregation.unmarshal(s) &&
		readEach(s, &t.MinBatch, &t.EpochSeconds, &t.MaxDelay, &t.ClockSkew) && t.unmarshalEnd(s)
}

// aggregateChecks are those of [Task.Validate] for an aggregate task.
func (t *Task) aggregateChecks() []func() error {
	return []func() error{
		t.validateWords, t.Aggregation.validate, t.validateUnused, t.validateTime, t.validateAggregateCaps, t.validateAggregators,
		t.validateProtection,
	}
}

// validateUnused checks that what only the crowd route uses is zero.
func (t *Task) validateUnused() error {
	f, c := &t.Fragment, &t.Crowd
	fragment := f.Kind != 0 || f.Field != 0 || f.M != 0 || f.Cap != 0 || len(f.Keep) != 0
	crowd := c.Kind != 0 || len(c.Fields) != 0 || c.SaltEpochs != 0
	if len(t.Schema) != 0 || fragment || crowd || t.Threshold != (Threshold{}) || t.Encoding != (Encoding{}) ||
		t.PerEpoch != 0 || t.PerCrowd != 0 || t.PayloadSize != 0 || len(t.Extensions) != 0 {
		return errors.New("a setting of the method crowd is not zero in an aggregate task")
	}
	return nil
}

func (t *Task) validateAggregateCaps() error {
	if t.MinBatch < 1 || t.MinBatch > 1<<31 {
		return fmt.Errorf("a smallest batch of %d, want 1 to %d", t.MinBatch, uint32(1)<<31)
	}
	if uint64(t.MaxDelay) > MaxLateEpochs*uint64(t.EpochSeconds) {
		return fmt.Errorf("a longest delay of %d seconds, want at most %d epochs of %d", t.MaxDelay, MaxLateEpochs, t.EpochSeconds)
	}
	return nil
}

func (t *Task) validateAggregators() error {
	want := []Role{Leader, Helper, Collector}
	if len(t.Hops) != len(want) {
		return fmt.Errorf("%d parties, want leader, helper and collector", len(t.Hops))
	}
	for i, p := range t.Hops {
		if p.Role != want[i] {
			return fmt.Errorf("party %d is a %s, want the %s", i+1, p.Role, want[i])
		}
		// A collector need not be reachable; its signed keys are then handed over.
		if p.Role == Collector && p.URL == "" && len(p.Identity) == 32 {
			continue
		}
		if err := p.validate(); err != nil {
			return fmt.Errorf("%s: %w", p.Role, err)
		}
	}
	l, h := t.Leader(), t.Helper()
	if l.URL == h.URL || l.Identity.Equal(h.Identity) {
		return errors.New("leader and helper have the same URL or identity; they are different organisations, or the one sees everything")
	}
	if c := t.Collector(); c.Identity.Equal(h.Identity) || c.Identity.Equal(l.Identity) {
		return errors.New("the collector has the identity of an aggregator; it has one of its own, also where one organisation is both")
	}
	return nil
}
