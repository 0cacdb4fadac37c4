package taskconfig_test

import (
	"fmt"
	"log"

	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// What leader, helper, collector and clients each do with a signed task.
func Example() {
	t := &task.Task{
		Owner: identity("owner").Public(), OwnedBy: "Example", Metric: "feature.used", Question: "Is it used?",
		Method: task.Aggregate, Aggregation: task.Aggregation{Kind: kind.Count{Max: 1}, Variant: "dap-18"},
		MinBatch: 1000, EpochSeconds: 86_400, MaxDelay: 7200, Expires: 30_000 * 86_400,
		Hops: []task.Party{
			{Role: task.Leader, URL: "https://leader.example", Identity: identity("leader").Public()},
			{Role: task.Helper, URL: "https://helper.example", Identity: identity("helper").Public()},
			{Role: task.Collector, Identity: identity("collector").Public()},
		},
	}
	id, err := t.ID()
	if err != nil {
		log.Fatal(err)
	}
	d, err := taskconfig.New(t, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Instance().Name(), "in", d.Variant(), "with batches of", d.Config().MinBatchSize)
	// Output: Prio3Count in dap-18 with batches of 1000
}
