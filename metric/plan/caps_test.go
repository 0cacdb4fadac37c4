package plan

import (
	"math"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

// TestCaps covers a plan that says that caps are enforced where devices alone keep them,
// and figures that are not those of the measured table.
func TestCaps(t *testing.T) {
	one := &task.Task{
		EpochSeconds: 86400, PerEpoch: 16, PerCrowd: 1, Crowd: task.CrowdRule{SaltEpochs: 1},
		Hops: []task.Party{{Role: task.Shuffler, Identity: make([]byte, 32)}, {Role: task.Analyzer, Identity: []byte("a")}},
	}
	if c := capsOf(one); c.Enforced || c.Bytes != 0 || !strings.HasPrefix(c.String(), "assumed") {
		t.Errorf("without credentials: %+v", c)
	}
	one.Protection.CredentialEpochs = 28
	c := capsOf(one)
	if !c.Enforced || c.Bytes != 873+260 || c.Period != "28d" || !strings.HasPrefix(c.String(), "enforced") {
		t.Errorf("with credentials: %+v", c)
	}
	for limit, want := range map[uint32]float64{1: 0.36, 2: 0.48, 16: 0.78, 64: 0.98} {
		if got := verifyMillis(limit); math.Abs(got-want) > 0.01 {
			t.Errorf("limit %d: %g ms, want %g", limit, got, want)
		}
	}
}

// TestCapsOfSums covers a plan that says less of a sum than what credentials cost and
// bound: how many a leader needs around one client.
func TestCapsOfSums(t *testing.T) {
	one := &task.Task{
		Method: task.Aggregate, EpochSeconds: 86400, MinBatch: 100,
		Hops: []task.Party{{Role: task.Leader, Identity: []byte("l")}, {Role: task.Helper, Identity: []byte("h")}, {Role: task.Collector, Identity: []byte("c")}},
	}
	if c := capsOf(one); c.Enforced || !strings.HasPrefix(c.String(), "assumed") {
		t.Errorf("without credentials: %+v", c)
	}
	one.Protection.CredentialEpochs = 28
	if c := capsOf(one); c.Bytes != 2*(260+4) || math.Abs(c.VerifyMillis-0.36) > 0.01 || !strings.HasPrefix(c.String(), "enforced by leader and helper") {
		t.Errorf("with credentials: %+v", c)
	}
	if got := surrounds(one); got[0] != (Surround{1, 99}) || got[1] != (Surround{7, 14}) || got[2] != (Surround{30, 3}) {
		t.Errorf("around one client: %v", got)
	}
	if text := surroundText(surrounds(one), true); !strings.Contains(text, "99 in a batch of 1 epoch") || !strings.Contains(text, "gate") {
		t.Error(text)
	}
}

// TestCapsOfAWindow covers a plan that takes the bound of a salt window for enforced, while
// credentials are counted by epoch: it says what a changed client can add.
func TestCapsOfAWindow(t *testing.T) {
	for salt, want := range map[uint32]bool{1: false, 3: true} {
		c := capsOf(&task.Task{
			Method: task.Crowd, EpochSeconds: 86400, PerEpoch: 2, PerCrowd: 1, Crowd: task.CrowdRule{SaltEpochs: salt},
			Protection: task.Protection{CredentialEpochs: 6}, Hops: []task.Party{{Role: task.Shuffler}, {Role: task.Analyzer}},
		})
		if got := strings.Contains(c.String(), "each of the 3 epochs"); got != want || !c.Enforced {
			t.Errorf("salt window of %d epochs: %s", salt, c)
		}
	}
}
