package dap_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/audit"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// The audit runs the very function that leader and helper call before they seal a
// share, on two neighbouring sums, see package audit. Seeds are fixed.
const (
	auditRuns  = 100_000
	brokenRuns = 10_000 // of what is broken, and needs no more to be found out
	auditAlpha = 0.0005 // of each of two bounds: 99.9 % together
)

// asked are questions of each kind, with what one client changes at most by sending
// another value: what it takes from each element of the sum, or adds to it.
func asked() map[string]struct {
	a       task.Aggregation
	changes []int64
} {
	labels := []string{"a", "b", "c", "d"}
	return map[string]struct {
		a       task.Aggregation
		changes []int64
	}{
		"count":     {task.Aggregation{Kind: kind.Count{Max: 1}}, []int64{1}},
		"sum":       {task.Aggregation{Kind: kind.Sum{Max: 7}}, []int64{7}},
		"mean":      {task.Aggregation{Kind: kind.Mean{Max: 5}}, []int64{5, 5}},
		"histogram": {task.Aggregation{Kind: kind.Categories{Labels: labels}, Presence: kind.Revealed}, []int64{1, -1, 0, 0}},
		"multihot":  {task.Aggregation{Kind: kind.Multihot{Labels: labels, Max: 2}}, []int64{1, 1, -1, -1}},
		"vector":    {task.Aggregation{Kind: kind.Vector{Length: 3, Max: 2}}, []int64{2, 2, 2}},
		"bounded":   {task.Aggregation{Kind: kind.Bounded{Length: 3, Max: 3}}, []int64{3, -3, 0}},
	}
}

// audited makes the task of a question with the noise that epsilon 1, or a sigma of
// twice the L2 sensitivity, asks for.
func audited(t *testing.T, a task.Aggregation, m dp.Mechanism) (_ *dap.Task, l2 float64) {
	t.Helper()
	a.Variant = "dap-18"
	a, err := task.WithChunk(a)
	if err != nil {
		t.Fatal(err)
	}
	q, err := a.Measure()
	if err != nil {
		t.Fatal(err)
	}
	l1, l2, _ := vdaf.Sensitivity(q.Instance())
	if m == dp.Laplace {
		a.Noise, err = dp.NewLaplaceNoise(1, 1, l1)
	} else {
		a.Noise, err = dp.NewGaussianNoise(uint32(math.Ceil(2*l2)), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	key := func(name byte) []byte {
		k, err := task.GenerateIdentityKey(rand.NewChaCha8([32]byte{name}))
		if err != nil {
			t.Fatal(err)
		}
		return k.Public()
	}
	shoal := &task.Task{
		Owner: key(1), OwnedBy: "Example", Metric: "audited", Question: "What?", Method: task.Aggregate, Aggregation: a,
		MinBatch: 100, EpochSeconds: 86_400, MaxDelay: 7200, ClockSkew: 300, NotBefore: 20_000 * 86_400, Expires: 20_030 * 86_400,
		Hops: []task.Party{
			{Role: task.Leader, URL: "https://leader.example", Identity: key(2)},
			{Role: task.Helper, URL: "https://helper.example", Identity: key(3)},
			{Role: task.Collector, Identity: key(4)},
		},
	}
	id, err := shoal.ID()
	if err != nil {
		t.Fatal(err)
	}
	made, err := taskconfig.New(shoal, id)
	if err != nil {
		t.Fatal(err)
	}
	return made, l2
}

// released draws so often what a sum becomes, with noise drawn so many times: it is
// opened as a collector does.
func released(t *testing.T, task *dap.Task, runs int, sum []int64, times int, random *rand.ChaCha8) [][]int64 {
	t.Helper()
	out := make([][]int64, runs)
	helper := task.Instance().NewAggregateShare().Bytes()
	for i := range out {
		share := task.Instance().NewAggregateShare()
		for j, n := range sum {
			if err := share.AddNoise(j, n); err != nil {
				t.Fatal(err)
			}
		}
		for range times {
			if err := task.AddNoise(share, random); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if out[i], err = task.Instance().UnshardSigned([][]byte{share.Bytes(), helper}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// evidence is by how much more likely each outcome is after a change than before it, in
// the steps that the mechanism has: no other statistic shows a larger epsilon.
func evidence(outcomes [][]int64, changes []int64, m dp.Mechanism) []int64 {
	abs := func(x int64) int64 { return max(x, -x) }
	out := make([]int64, len(outcomes))
	for i, x := range outcomes {
		for j, c := range changes {
			if m == dp.Laplace {
				out[i] += abs(x[j]) - abs(x[j]-c)
			} else {
				out[i] += x[j] * c
			}
		}
	}
	return out
}

// first lists the first element of each outcome.
func first(outcomes [][]int64) []int64 {
	out := make([]int64, len(outcomes))
	for i, x := range outcomes {
		out[i] = x[0]
	}
	return out
}

func times(x []int64, k int64) []int64 {
	out := make([]int64, len(x))
	for i := range x {
		out[i] = k * x[i]
	}
	return out
}

// TestNoiseAudit covers an aggregator that adds no noise, or less than is declared, or
// noise twice, for each kind of question: each is distinguished from the true one.
func TestNoiseAudit(t *testing.T) {
	for name, c := range asked() {
		for _, m := range []dp.Mechanism{dp.Laplace, dp.Gaussian} {
			if m == dp.Gaussian && name != "count" && name != "histogram" {
				continue // its noise depends on the L2 sensitivity alone
			}
			t.Run(name+" "+m.String(), func(t *testing.T) {
				t.Parallel()
				auditNoise(t, c.a, c.changes, m)
			})
		}
	}
}

func auditNoise(t *testing.T, a task.Aggregation, changes []int64, m dp.Mechanism) {
	t.Helper()
	made, l2 := audited(t, a, m)
	delta, noise := 0.0, made.Noise()
	if m == dp.Gaussian {
		delta = 1e-6
	}
	declared := noise.Guarantee(noise.Sensitivity, l2, delta).Epsilon
	random := rand.NewChaCha8([32]byte{1})
	none := make([]int64, len(changes))
	before, after := released(t, made, auditRuns, none, 1, random), released(t, made, auditRuns, changes, 1, random)
	shown := func(a, b [][]int64) float64 {
		return audit.Epsilon(evidence(a, changes, m), evidence(b, changes, m), delta, auditAlpha)
	}
	if eps := shown(before, after); eps > declared || eps < declared/4 {
		t.Errorf("the outcomes show epsilon %.3f, declared is %.3f: want at most that, and a test that has power", eps, declared)
	}
	want := noise.Variance(1)
	wide := 0.06 * want // more than 4 deviations of the variance of this many
	if v := audit.Variance(first(before)); math.Abs(v-want) > wide {
		t.Errorf("variance %g, want %g", v, want)
	}
	// The broken ones.
	if eps := shown(released(t, made, brokenRuns, none, 0, random), released(t, made, brokenRuns, changes, 0, random)); eps <= declared {
		t.Errorf("no noise at all shows epsilon %g only", eps)
	}
	if v := audit.Variance(first(released(t, made, brokenRuns, none, 2, random))); math.Abs(v-want) <= wide {
		t.Errorf("noise drawn twice has variance %g, within the test's %g of %g", v, wide, want)
	}
	if m == dp.Gaussian {
		return // its declared figure has room
	}
	double := released(t, made, brokenRuns, times(changes, 2), 1, random) // as if the sensitivity were taken for half of what it is
	if eps := audit.Epsilon(evidence(before, times(changes, 2), m), evidence(double, times(changes, 2), m), delta, auditAlpha); eps <= declared {
		t.Errorf("noise for half the sensitivity shows epsilon %g only, declared is %g", eps, declared)
	}
}
