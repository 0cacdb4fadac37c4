package encoder

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

func BenchmarkEncode(b *testing.B) {
	schema := apps()
	schema[4].Flip = 100
	for name, rule := range map[string]task.Fragment{
		"whole": {}, "fields": {Kind: task.Fields, Keep: []uint8{0}},
	} {
		b.Run(name, func(b *testing.B) {
			e, _ := newTask(b, schema, func(x *task.Task) { x.Fragment = rule })
			in := record()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Encode(in, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSeal measures one report over one shuffler, keys parsed each time.
func BenchmarkSeal(b *testing.B) {
	e, x := newTask(b, apps(), nil)
	var keys []task.Key
	for range x.Hops {
		k, err := esa.GenerateKey(esa.X25519, x.Start(testEpoch), x.Start(testEpoch).Add(time.Hour), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		keys = append(keys, k.Public())
	}
	fragments, err := e.Encode(record(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Seal(fragments[0], testEpoch, keys); err != nil {
			b.Fatal(err)
		}
	}
}
