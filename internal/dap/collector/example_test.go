package collector_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/collector/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
)

// What a collector has released is a catalogue like that of any other route.
func ExampleTables() {
	tables := collector.NewTables(storetest.NewModel(), durable.Mem(), "collector")
	err := release.Export(context.Background(), tables, os.Stdout, release.CSV, release.Query{Metric: "colour"})
	fmt.Println(err)
	// Output: exporting "colour": nothing has been released
}

// An interval is asked for by hand. Run, or the next Tick, carries it out.
// (The example is compiled, not run.)
func Example() {
	collect := func(ctx context.Context, c *collector.Collector, q collector.Question) error {
		if err := c.Serve(ctx, q); err != nil {
			return err
		}
		end := time.Now().Truncate(24 * time.Hour)
		ask, err := c.Collect(ctx, q.Task.ID(), end.AddDate(0, 0, -7), end)
		if err != nil {
			return err
		}
		fmt.Println("asked for", ask.ID)
		return c.Run(ctx, nil)
	}
	_ = collect
}
