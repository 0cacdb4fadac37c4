package aggregate_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/metric/aggregate"
	"github.com/shoal-project/shoal/metric/task"
)

// A device gathers how long the program took to start.
func Example() {
	a, err := aggregate.WithChunk(task.Aggregation{Kind: task.Histogram, Bounds: []int64{100, 1000}, Variant: "dap-18"})
	if err != nil {
		log.Fatal(err)
	}
	q, err := aggregate.New(&a)
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
