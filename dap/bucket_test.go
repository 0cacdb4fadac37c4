package dap_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/vdaf"
)

// The checksum is the XOR of the digests of the report IDs («Batch Buckets»),
// whether the reports come in one job, in two, or from two shards.
func TestTotals(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	reports := []dap.Report{w.report(t, 1), w.report(t, 2), w.report(t, 3)}
	w.aggregate(t, dap.BatchID{}, reports[:2]...)
	w.aggregate(t, dap.BatchID{}, reports[2])
	var want dap.Checksum
	for _, r := range reports {
		for i, b := range sha256.Sum256(r.Metadata.ID[:]) {
			want[i] ^= b
		}
	}
	for _, b := range []*ledger{w.leaderLedger, w.helperLedger} {
		total := b.totals[dap.Bucket{Unit: unit}]
		if total.Count != 3 || total.Checksum != want || total.Interval != unit.Bucket() {
			t.Errorf("count %d, checksum %x, interval %v", total.Count, total.Checksum, total.Interval)
		}
		before := *total
		if err := total.Merge(w.task.NewTotal()); err != nil || total.Count != 3 || total.Interval != before.Interval {
			t.Errorf("with an empty total: %v", err)
		}
		hist, err := vdaf.Histogram(11, 3)
		if err != nil {
			t.Fatal(err)
		}
		other := &dap.Total{Count: 1, Interval: unit.Bucket(), Share: hist.NewAggregateShare()}
		if err := total.Merge(other); !errors.Is(err, vdaf.ErrEncoding) || total.Count != 3 || total.Checksum != want {
			t.Errorf("with another VDAF's total: %v", err)
		}
		if err := total.Merge(&dap.Total{Count: 1, Interval: dap.Interval{Start: 1, Duration: 1<<64 - 1}}); !errors.Is(err, dap.ErrTime) {
			t.Errorf("with an endless total: %v", err)
		}
	}
}

func TestStoredJobs(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	job, _, err := w.leader.LeaderInit(4, batchID(1), []dap.Report{w.report(t, 1), w.report(t, 2)}, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := job.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	size := (len(stored) - 34) / 2 // of a report
	for n := range stored {
		_, err := w.leader.ParseLeaderJob(stored[:n])
		if whole := n >= 34 && (n-34)%size == 0; (err == nil) != whole {
			t.Errorf("the first %d of %d bytes: %v", n, len(stored), err)
		}
	}
	for name, at := range map[string]int{"version": 0, "verification key": 1, "length of a state": 34 + 16 + 8 + 3} {
		if _, err := w.leader.ParseLeaderJob(flipAt(stored, at)); err == nil {
			t.Errorf("with another %s the job is accepted", name)
		}
	}
	if _, err := w.leader.ParseLeaderJob(stored); err != nil {
		t.Error(err)
	}
}

func flipAt(b []byte, at int) []byte {
	out := append([]byte(nil), b...)
	out[at] ^= 1
	return out
}

func TestAggregatorsThatAreRefused(t *testing.T) {
	tsk := newTask(t, dap.DAP18(), configuration())
	keys := map[dap.VerificationKeyID]*vdaf.VerifyKey{0: {}}
	for _, role := range []dap.Role{dap.Collector, dap.Client, 4} {
		if _, err := dap.NewAggregator(tsk, role, keys, 0); err == nil {
			t.Errorf("the %v aggregates", role)
		}
	}
	if _, err := dap.NewAggregator(tsk, dap.Leader, nil, 0); err == nil {
		t.Error("an aggregator without keys")
	}
	if _, err := dap.NewAggregator(tsk, dap.Leader, keys, -1); err == nil {
		t.Error("an aggregator with a negative leeway")
	}
}
