package vdaf

import (
	"fmt"
	"io"
)

// An Instance is a Prio3 instance with its parameters, whatever its measurements
// are: what an aggregator needs. The package's constructors and [ParseConfig]
// are the only makers. It is read-only and safe for concurrent use.
type Instance interface {
	// ID is the algorithm identifier of the VDAF registry.
	ID() uint32
	// Name is that of the draft, with the parameters.
	Name() string
	// Config is the VDAF configuration of a DAP task (DAP draft, section "VDAF
	// Configuration Encodings"). It does not hold the number of shares.
	Config() []byte
	// Shares is the number of aggregators.
	Shares() int
	// Sizes returns the lengths of all messages.
	Sizes() Sizes
	// NewVerifier returns the part of aggregator id, 0 for the leader, in a task
	// with this verification key and application context.
	NewVerifier(key *VerifyKey, ctx []byte, id int) (*Verifier, error)
	// NewAggregateShare returns an empty aggregate share.
	NewAggregateShare() *AggregateShare
	// ParseAggregateShare reads what [AggregateShare.Bytes] returns. It fails
	// with [ErrEncoding].
	ParseAggregateShare(b []byte) (*AggregateShare, error)
	// UnshardSigned adds up the aggregate shares of all aggregators and returns
	// each element as the integer of least absolute value. Aggregates with noise
	// need it: they can be negative. It fails with [ErrEncoding], and with
	// [ErrOverflow] if an element has no int64.
	UnshardSigned(shares [][]byte) ([]int64, error)

	engine() core // closes the interface
}

// Prio3 is an instance with measurements of type M and aggregate results of
// type R.
type Prio3[M, R any] struct {
	Instance
	encode func(dst []uint8, m M) error
	result func(sums []sum, count uint64) (R, error)
}

// Sizes are the lengths in bytes of the messages of an instance. They do not
// depend on the measurement.
type Sizes struct {
	Rand            int // randomness that [Prio3.Shard] reads
	PublicShare     int
	LeaderShare     int // input share of aggregator 0
	HelperShare     int // input share of every other aggregator
	VerifierShare   int
	VerifierMessage int
	AggregateShare  int // also of an output share
}

// A Report is what one aggregator holds of a client's measurement.
type Report struct {
	Nonce       Nonce
	PublicShare []byte
	InputShare  []byte
}

// A Sharded is a measurement split in shares.
type Sharded struct {
	PublicShare []byte
	InputShares [][]byte // of aggregator 0, 1, ...
}

// Shard splits a measurement. The nonce is random and new for every report, and
// rand is crypto/rand.Reader outside of tests. Only a measurement out of range
// and a failing rand are errors. Its time does not depend on the measurement.
func (p *Prio3[M, R]) Shard(rand io.Reader, ctx []byte, nonce Nonce, m M) (*Sharded, error) {
	s, err := p.engine().sharder(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release()
	if err := p.encode(s.encoded(), m); err != nil {
		return nil, fmt.Errorf("vdaf: %s: %w", p.Name(), err)
	}
	return s.shard(rand, nonce)
}

// Unshard adds up the aggregate shares of all aggregators; count is the number
// of measurements in the aggregate. It fails with [ErrEncoding], and with
// [ErrOverflow] if a sum does not fit in the result.
func (p *Prio3[M, R]) Unshard(shares [][]byte, count uint64) (R, error) {
	sums, err := p.engine().unshard(shares)
	if err != nil {
		var zero R
		return zero, err
	}
	return p.result(sums, count)
}

// An Option changes what a constructor makes.
type Option func(*options) error

type options struct{ shares int }

// Shares sets the number of aggregators, 2 to 255; 2 is the default, and DAP and
// the ping-pong messages know no other.
func Shares(n int) Option {
	return func(o *options) error {
		if n < 2 || n > 255 {
			return fmt.Errorf("%d shares, want 2 to 255", n)
		}
		o.shares = n
		return nil
	}
}

// instance implements Instance.
type instance struct {
	e      core
	id     uint32
	name   string
	config []byte
	shares int
}

func (in *instance) ID() uint32     { return in.id }
func (in *instance) Name() string   { return in.name }
func (in *instance) Config() []byte { return append([]byte(nil), in.config...) }
func (in *instance) Shares() int    { return in.shares }
func (in *instance) Sizes() Sizes   { return in.e.sizes() }
func (in *instance) engine() core   { return in.e }

func (in *instance) NewAggregateShare() *AggregateShare {
	return &AggregateShare{sum: in.e.newAggregate()}
}

func (in *instance) ParseAggregateShare(b []byte) (*AggregateShare, error) {
	a := in.NewAggregateShare()
	if err := a.Add(b); err != nil {
		return nil, err
	}
	return a, nil
}

func (in *instance) UnshardSigned(shares [][]byte) ([]int64, error) {
	sums, err := in.e.unshard(shares)
	if err != nil {
		return nil, err
	}
	return signed(sums)
}

// core is an engine without its element type.
type core interface {
	sizes() Sizes
	sharder(ctx []byte) (sharder, error)
	newParty(key *VerifyKey, ctx []byte, id int) (partyCore, error)
	newAggregate() aggregate
	unshard(shares [][]byte) ([]sum, error)
}
