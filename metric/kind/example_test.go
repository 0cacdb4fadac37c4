package kind_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/kind"
)

// A device accumulates how long the program took to start.
func Example() {
	k, err := kind.WithChunk(kind.Histogram{Bounds: []int64{100, 1000}}, kind.Hidden)
	if err != nil {
		log.Fatal(err)
	}
	q, err := kind.New(k, kind.Hidden, dp.Noise{})
	if err != nil {
		log.Fatal(err)
	}
	tally := q.Empty()
	fmt.Println(tally)
	if err := tally.Observe(230, rand.Reader); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tally)
	fmt.Println(q.Instance().Name())
	// Output:
	// nothing so far: counts as "no value"
	// 100 to 999
	// Prio3Histogram(4, chunk 4)
}
