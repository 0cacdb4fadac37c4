package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// A Setting is what one run is made of. [Plan] draws it from a seed.
type Setting struct {
	Seed     uint64
	Variant  *dap.Variant
	Mode     dap.BatchMode
	Async    bool // the helper answers later
	Interval bool // the task has an interval
	Steps    int  // things that happen before the end

	MinBatch   uint64
	JobReports int
	LogReports int
	// Abandon lets the leader give jobs up after a few attempts. Then the two
	// aggregators may disagree on a batch, which must then fail.
	Abandon bool
	// Expiry is how long report IDs are kept; 0: always. With it, a report may be
	// dropped by one aggregator and not by the other, when it expires while it is
	// in a job. Then the two disagree on a batch, which must fail.
	Expiry time.Duration

	// Faults are in thousandths of all requests, or of all steps.
	LoseRequest, LoseAnswer, Double, Delay, Slow, Crash int
	// StoreError and StoreSlow are in thousandths of all calls of a store.
	StoreError, StoreSlow int
	// Absence lets the helper be away for days, by every answer that a proxy or a
	// helper that was restored from an old state gives; and tokens are renewed at
	// the leader before the helper knows them.
	Absence bool

	// Claims lets second processes start under the names of nodes.
	Claims bool
	// LoseDisk destroys the disk of a node; it is dropped then. What only it had is
	// lost, and the two aggregators may disagree on a batch, which must fail.
	LoseDisk bool

	Nodes int // of each role; 0: one

	// Stores makes the stores; nil for models in memory.
	Stores Stores
}

// String describes the setting in a line.
func (s Setting) String() string {
	return fmt.Sprintf("seed %d: %v, %v, async %v, interval %v, abandon %v, expiry %v, batches of %d, jobs of %d, logs of %d, nodes %d, absence %v, claims %v, lost disk %v, faults %d %d %d %d %d %d, of stores %d %d",
		s.Seed, s.Variant, s.Mode, s.Async, s.Interval, s.Abandon, s.Expiry, s.MinBatch, s.JobReports, s.LogReports,
		s.Nodes, s.Absence, s.Claims, s.LoseDisk, s.LoseRequest, s.LoseAnswer, s.Double, s.Delay, s.Slow, s.Crash, s.StoreError, s.StoreSlow)
}

// Plan returns the setting of a seed.
func Plan(seed uint64) Setting {
	r := rand.New(rand.NewPCG(seed, 0x5e771))
	s := Setting{
		Seed:       seed,
		Variant:    []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()}[r.IntN(3)],
		Mode:       []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode}[r.IntN(2)],
		Async:      r.IntN(3) == 0,
		Interval:   r.IntN(2) == 0,
		Steps:      50 + r.IntN(100),
		MinBatch:   uint64(1 + r.IntN(5)),
		JobReports: 1 + r.IntN(6),
		LogReports: 1 + r.IntN(12),
		Abandon:    r.IntN(8) == 0,
	}
	if r.IntN(6) == 0 {
		s.Expiry = time.Duration(3+r.IntN(12)) * time.Hour
	}
	if r.IntN(5) > 0 { // one run in five has a perfect network
		s.LoseRequest, s.LoseAnswer, s.Double, s.Delay = r.IntN(200), r.IntN(200), r.IntN(100), r.IntN(100)
	}
	if r.IntN(4) > 0 {
		s.Crash = r.IntN(120)
	}
	s.Nodes = 1 + min(1, r.IntN(4))
	if r.IntN(3) > 0 {
		s.StoreError = r.IntN(60)
	}
	if r.IntN(3) == 0 {
		s.StoreSlow, s.Slow = r.IntN(20), r.IntN(60)
	}
	s.Absence = r.IntN(3) == 0
	s.Claims = r.IntN(3) == 0
	s.LoseDisk = s.Nodes > 1 && r.IntN(10) == 0
	return s
}
