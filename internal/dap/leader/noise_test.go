package leader_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// The leader adds its noise to its share exactly once: what the collector opens
// differs from the truth by one drawing from the leader's randomness, and by no
// other, for the helper here adds none.
func TestNoise(t *testing.T) {
	noise, err := dap.NoiseExtension(dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 50, Sensitivity: 2})
	must(t, err)
	source := rand.NewChaCha8([32]byte{42})
	w := newWorld(t, dap.DAP18(), func(c *dap.TaskConfiguration) { c.Extensions = append(c.Extensions, noise) }, func(c *leader.Config) { c.Rand = source })
	drawn := w.task.Instance().NewAggregateShare()
	copied := *source // what the leader will read
	must(t, w.task.AddNoise(drawn, &copied))
	want, err := w.task.Instance().UnshardSigned([][]byte{drawn.Bytes(), w.task.Instance().NewAggregateShare().Bytes()})
	must(t, err)
	if !slices.ContainsFunc(want, func(n int64) bool { return n != 0 }) {
		t.Fatal("the noise of this seed is zero: the test proves nothing")
	}
	at, q := w.uploadAndCollect(t, 4)
	for i := range 4 {
		want[i]++
	}
	w.tickAlong(t, 3, time.Minute)
	rec := w.do("GET", at, "", nil, w.token)
	var resp dap.CollectionJobResp
	must(t, w.task.Codec().Decode(&resp, rec.Body.Bytes()))
	shares, err := w.task.OpenCollection(w.collector, w.collector, &dap.CollectionJobReq{Query: q}, &resp)
	must(t, err)
	got, err := w.task.Instance().UnshardSigned(shares)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("result %v, want the truth and one drawing of noise: %v", got, want)
	}
	if again := w.do("GET", at, "", nil, w.token); !slices.Equal(again.Body.Bytes(), rec.Body.Bytes()) {
		t.Error("a repeated request gets another result")
	}
}
