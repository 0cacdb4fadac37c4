package client_test

import (
	"crypto/rand"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// BenchmarkMake is what a device computes for one report, by type of question:
// two seals and the shares. The names are those of docs/evidence/performance.md.
func BenchmarkMake(b *testing.B) {
	for name, a := range map[string]task.Aggregation{
		"count":            {Kind: kind.Count{Max: 1}},
		"sum_1000":         {Kind: kind.Sum{Max: 1000}},
		"mean_1000":        {Kind: kind.Mean{Max: 1000}},
		"histogram_100":    {Kind: kind.Histogram{Bounds: bounds(99)}},
		"multihot_100":     {Kind: kind.Multihot{Labels: labels(100), Max: 5}},
		"vector_1000x8":    {Kind: kind.Vector{Length: 1000, Max: 255}},
		"gradient_1000x12": {Kind: kind.LInfGradient{Length: 1000, Bound: 1, Bits: 12}},
	} {
		b.Run(name, func(b *testing.B) {
			a, err := task.WithChunk(a)
			if err != nil {
				b.Fatal(err)
			}
			q, err := a.Measure()
			if err != nil {
				b.Fatal(err)
			}
			c := dap.TaskConfiguration{TaskInfo: []byte("bench"), Leader: "https://a.example", Helper: "https://b.example", TimePrecision: 86400, MinBatchSize: 100, BatchMode: dap.TimeIntervalMode}
			if err := c.SetVDAF(q.Instance()); err != nil {
				b.Fatal(err)
			}
			encoded, err := dap.NewCodec(dap.DAP18()).Encode(&c)
			if err != nil {
				b.Fatal(err)
			}
			t, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded)
			if err != nil {
				b.Fatal(err)
			}
			var keys client.Keys
			for i, k := range []*dap.HpkeConfig{&keys.Leader, &keys.Helper} {
				key, err := dapkey.Generate(dap.HpkeConfigID(i), hpke.X25519, rand.Reader)
				if err != nil {
					b.Fatal(err)
				}
				*k = key.Config()
			}
			tally := q.Empty()
			size := 0
			for i := 0; b.Loop(); i++ {
				r, err := client.Make(t, tally, keys, dap.ReportID{byte(i), byte(i >> 8)}, 1, rand.Reader)
				if err != nil {
					b.Fatal(err)
				}
				body, err := client.Encode(t, r)
				if err != nil {
					b.Fatal(err)
				}
				size = len(body)
			}
			b.ReportMetric(float64(size), "bytes/report")
		})
	}
}

func bounds(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}

func labels(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	return out
}
