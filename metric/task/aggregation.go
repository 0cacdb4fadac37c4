package task

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/dp"
)

// An Aggregation is what a task of the method [Aggregate] adds up. Which of the
// fields have a meaning depends on the kind; the others are zero.
type Aggregation struct {
	Kind     AggregateKind
	Presence Presence
	Noise    dp.Noise // that leader and helper each add, on their own
	Variant  string   // of DAP: dap-18, dap-19 or janus

	Max    uint64   // Count, Sum, Mean: of one client and epoch. Vector: of an element. Bounded: of the sum of all elements. Multihot: of labels.
	Length uint32   // Vector, Bounded, LInfGradient, L1Gradient: number of elements
	Labels []string // Categories, Multihot: the possible values, 1 to 128 bytes each
	Bounds []int64  // Histogram: the inner bounds, strictly increasing; a value on a bound is above it
	Bound  float64  // LInfGradient: of each absolute value. L1Gradient: of their sum.
	Bits   uint8    // LInfGradient, L1Gradient: of the quantisation
	Chunk  uint32   // chunk length of the proof, where the VDAF has one: all parties must have the same
}

// An AggregateKind is a type of aggregate question.
type AggregateKind uint8

// The kinds. What a client measures, and what is added up over all clients:
const (
	Count        AggregateKind = 1 // whether something happened, or how often, up to Max
	Sum          AggregateKind = 2 // a sum of integers, from 0 to Max
	Mean         AggregateKind = 3 // the mean of integers from 0 to Max, of the clients that have one
	Histogram    AggregateKind = 4 // one number, by Bounds
	Categories   AggregateKind = 5 // one of Labels
	Multihot     AggregateKind = 6 // a subset of Labels with at most Max members
	Vector       AggregateKind = 7 // integers from 0 to Max
	Bounded      AggregateKind = 8 // integers from 0 that add up to at most Max
	LInfGradient AggregateKind = 9 // real numbers from -Bound to Bound
	L1Gradient   AggregateKind = 10
)

// A Presence is whether the existence of a report reveals something.
type Presence uint8

// The presences.
const (
	Hidden   Presence = 0 // every client sends one report an epoch, also without a value
	Revealed Presence = 1 // only clients with a value send one
)

// Limits of an aggregation.
const (
	maxLabels    = 1 << 15
	maxInner     = 4096
	maxDimension = 1 << 20
	maxBits      = 32
	// MaxLateEpochs is the longest send delay of an aggregate task in epochs, so
	// that few reports of one client wait at a time.
	MaxLateEpochs = 32
)

// Variants returns the names of the DAP variants that a task may have.
func Variants() []string { return []string{"dap-18", "dap-19", "janus"} }

// Kinds returns all kinds of aggregate questions.
func Kinds() []AggregateKind {
	return []AggregateKind{Count, Sum, Mean, Histogram, Categories, Multihot, Vector, Bounded, LInfGradient, L1Gradient}
}

// String returns the kind in words.
func (k AggregateKind) String() string {
	names := [...]string{
		Count: "count", Sum: "sum", Mean: "mean", Histogram: "histogram", Categories: "histogram of categories",
		Multihot: "multihot", Vector: "vector", Bounded: "bounded vector", LInfGradient: "gradient", L1Gradient: "gradient of bounded L1 norm",
	}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// String returns the presence's word.
func (p Presence) String() string {
	switch p {
	case Hidden:
		return "hidden"
	case Revealed:
		return "revealed"
	}
	return fmt.Sprintf("presence %d", uint8(p))
}

// validate checks that what the kind needs is there and the rest is zero.
func (a *Aggregation) validate() error {
	if a.Presence != Hidden && a.Presence != Revealed {
		return fmt.Errorf("aggregation: unknown %v", a.Presence)
	}
	if !slices.Contains(Variants(), a.Variant) {
		return fmt.Errorf("aggregation: unknown variant %q of DAP", a.Variant)
	}
	if err := a.Noise.Validate(); err != nil {
		return fmt.Errorf("aggregation: %w", err)
	}
	rest := *a
	rest.Kind, rest.Presence, rest.Noise, rest.Variant = 0, 0, dp.Noise{}, ""
	err := a.validateKind(&rest)
	if err != nil {
		return fmt.Errorf("aggregation: %w", err)
	}
	if rest.Max != 0 || rest.Length != 0 || len(rest.Labels) != 0 || len(rest.Bounds) != 0 || math.Float64bits(rest.Bound) != 0 || rest.Bits != 0 || rest.Chunk != 0 {
		return errors.New("aggregation: a setting that its kind does not use is not zero")
	}
	return nil
}

// validateKind checks the settings of a kind and clears in rest what it uses.
func (a *Aggregation) validateKind(rest *Aggregation) error {
	needMax := func() error {
		rest.Max = 0
		if a.Max < 1 {
			return errors.New("maximum 0 leaves nothing to measure")
		}
		return nil
	}
	needLength := func() error {
		rest.Length = 0
		if a.Length < 1 || a.Length > maxDimension {
			return fmt.Errorf("length %d, want 1 to %d", a.Length, maxDimension)
		}
		return nil
	}
	needChunk := func() error {
		rest.Chunk = 0
		if a.Chunk < 1 || a.Chunk > maxDimension {
			return fmt.Errorf("chunk length %d, want 1 to %d", a.Chunk, maxDimension)
		}
		return nil
	}
	switch a.Kind {
	case Count, Sum:
		return needMax()
	case Mean:
		return errors.Join(needMax(), needChunk())
	case Histogram:
		return errors.Join(a.validateBounds(rest), needChunk())
	case Categories:
		return errors.Join(a.validateLabels(rest, 2), needChunk())
	case Multihot:
		if a.Max > uint64(len(a.Labels)) {
			return fmt.Errorf("at most %d labels of %d", a.Max, len(a.Labels))
		}
		return errors.Join(a.validateLabels(rest, 1), needMax(), needChunk())
	case Vector, Bounded:
		return errors.Join(needLength(), needMax(), needChunk())
	case LInfGradient, L1Gradient:
		return errors.Join(a.validateGradient(rest), needLength(), needChunk())
	}
	return fmt.Errorf("unknown kind %d", a.Kind)
}

func (a *Aggregation) validateLabels(rest *Aggregation, least int) error {
	rest.Labels = nil
	if len(a.Labels) < least || len(a.Labels) > maxLabels {
		return fmt.Errorf("%d labels, want %d to %d", len(a.Labels), least, maxLabels)
	}
	seen := make(map[string]bool, len(a.Labels))
	for _, l := range a.Labels {
		if err := validText("a label", l, 1, maxValue); err != nil {
			return err
		}
		if seen[l] {
			return fmt.Errorf("label %q stands twice", l)
		}
		seen[l] = true
	}
	return nil
}

func (a *Aggregation) validateBounds(rest *Aggregation) error {
	rest.Bounds = nil
	if len(a.Bounds) < 1 || len(a.Bounds) > maxInner {
		return fmt.Errorf("%d bounds, want 1 to %d", len(a.Bounds), maxInner)
	}
	for i, b := range a.Bounds {
		if i > 0 && a.Bounds[i-1] >= b {
			return fmt.Errorf("bound %d does not come after %d", b, a.Bounds[i-1])
		}
	}
	return nil
}

func (a *Aggregation) validateGradient(rest *Aggregation) error {
	rest.Bound, rest.Bits = 0, 0
	if !(a.Bound > 0) || math.IsInf(a.Bound, 1) {
		return errors.New("the bound of a gradient is not a positive number")
	}
	if a.Bits < 1 || a.Bits > maxBits {
		return fmt.Errorf("%d bits, want 1 to %d", a.Bits, maxBits)
	}
	return nil
}

// Bytes of an aggregation:
//
//	struct {
//	    uint8 kind; uint8 presence;
//	    uint8 noise; uint32 noise_num; uint32 noise_den; uint64 sensitivity;
//	    opaque variant<1..2^8-1>;
//	    uint64 max; uint32 length;
//	    opaque labels<0..2^24-1>;  /* each opaque label<1..2^8-1> */
//	    int64 bounds<0..2^16-1>;
//	    uint64 bound;              /* IEEE 754 binary64 */
//	    uint8 bits; uint32 chunk;
//	} Aggregation;
func (a *Aggregation) marshal(b *cryptobyte.Builder) {
	b.AddUint8(uint8(a.Kind))
	b.AddUint8(uint8(a.Presence))
	b.AddUint8(uint8(a.Noise.Mechanism))
	addEach(b, a.Noise.Num, a.Noise.Den)
	b.AddUint64(a.Noise.Sensitivity)
	add8(b, a.Variant)
	b.AddUint64(a.Max)
	b.AddUint32(a.Length)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, l := range a.Labels {
			add8(b, l)
		}
	})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range a.Bounds {
			b.AddUint64(uint64(v))
		}
	})
	b.AddUint64(math.Float64bits(a.Bound))
	b.AddUint8(a.Bits)
	b.AddUint32(a.Chunk)
}

func (a *Aggregation) unmarshal(s *cryptobyte.String) bool {
	var labels, bounds cryptobyte.String
	var bound uint64
	ok := s.ReadUint8((*uint8)(&a.Kind)) && s.ReadUint8((*uint8)(&a.Presence)) &&
		s.ReadUint8((*uint8)(&a.Noise.Mechanism)) && readEach(s, &a.Noise.Num, &a.Noise.Den) && s.ReadUint64(&a.Noise.Sensitivity) &&
		read8(s, &a.Variant) && s.ReadUint64(&a.Max) && s.ReadUint32(&a.Length) &&
		s.ReadUint24LengthPrefixed(&labels) && s.ReadUint16LengthPrefixed(&bounds) &&
		s.ReadUint64(&bound) && s.ReadUint8(&a.Bits) && s.ReadUint32(&a.Chunk)
	if !ok {
		return false
	}
	a.Bound = math.Float64frombits(bound)
	for !labels.Empty() && len(a.Labels) <= maxLabels {
		var l string
		if !read8(&labels, &l) {
			return false
		}
		a.Labels = append(a.Labels, l)
	}
	for !bounds.Empty() && len(a.Bounds) <= maxInner {
		var v int64
		if !readInt64(&bounds, &v) {
			return false
		}
		a.Bounds = append(a.Bounds, v)
	}
	return labels.Empty() && bounds.Empty()
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
	l, h := t.Hops[0], t.Hops[1]
	if l.URL == h.URL || l.Identity.Equal(h.Identity) {
		return errors.New("leader and helper have the same URL or identity; they are different organisations, or the one sees everything")
	}
	if c := t.Hops[2]; c.Identity.Equal(h.Identity) || c.Identity.Equal(l.Identity) {
		return errors.New("the collector has the identity of an aggregator; it has one of its own, also where one organisation is both")
	}
	return nil
}
