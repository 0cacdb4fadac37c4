package cost

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// A thousand tasks of two kinds cost as much as two, and get what each would have
// got alone.
func TestCacheComputesOnce(t *testing.T) {
	var c Cache
	for n := range 1000 {
		k := &task.Task{
			Metric: string(rune('a' + n%26)), Method: task.Crowd, EpochSeconds: uint32(3600 * (1 + n%3)), MinBatch: 100, PerEpoch: 2, PerCrowd: 1,
			Crowd:     task.CrowdRule{SaltEpochs: 1},
			Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 10, SigmaMilli: uint32(2000 - 1000*(n%2))},
		}
		cost, err := c.Cost(k, PerCrowd, 1e-5)
		if err != nil {
			t.Fatal(err)
		}
		spend, err := c.SpendOf(k, 1e-5)
		if err != nil {
			t.Fatal(err)
		}
		rule, err := c.Threshold(k.Threshold)
		if err != nil {
			t.Fatal(err)
		}
		total, err := c.Total(k)
		if err != nil {
			t.Fatal(err)
		}
		if n >= 6 {
			continue
		}
		alone, err := SpendOf(k, 1e-5)
		if err != nil || spend != alone {
			t.Errorf("spend %+v, alone %+v, %v", spend, alone, err)
		}
		curve, err := CurveOf(k, PerCrowd)
		if err != nil {
			t.Fatal(err)
		}
		epsilon, err := curve.Epsilon(1e-5)
		if epsilon != cost.Epsilon || fmt.Sprint(cost.Err) != fmt.Sprint(err) {
			t.Errorf("epsilon %g, %v, alone %g, %v", cost.Epsilon, cost.Err, epsilon, err)
		}
		wantRule, _ := k.Threshold.Rule()
		wantTotal, _ := Total(k)
		if rule.String() != wantRule.String() || total.String() != wantTotal.String() {
			t.Errorf("rules %s, %s, alone %s, %s", rule, total, wantRule, wantTotal)
		}
	}
	if made := []int{c.thresholds.made, c.totals.made, c.epsilons.made, c.spends.made}; made[0] != 2 || made[1] != 2 || made[2] != 2 || made[3] != 2 {
		t.Errorf("computed %v times, want twice each", made)
	}
	_, err := c.Threshold(task.Threshold{Kind: 99})
	if _, again := c.Threshold(task.Threshold{Kind: 99}); err == nil || again == nil {
		t.Error("an unknown rule was remembered as good")
	}
	unattainable := &task.Task{Method: task.Crowd, PerEpoch: 1, PerCrowd: 1, Crowd: task.CrowdRule{SaltEpochs: 1}, Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 1, SigmaMilli: 2000}}
	if cost, err := c.Cost(unattainable, PerCrowd, math.SmallestNonzeroFloat64); err != nil || !errors.Is(cost.Err, dp.ErrUnattainable) {
		t.Errorf("cost %+v, %v", cost, err)
	}
}
