package shuffler_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// A server mounts the handler and lets Run do the rest. (The example is
// compiled, not run: it would wait for a day to pass.)
func Example() {
	run := func(ctx context.Context, store shuffler.Store, batches engine.Engine, id task.IdentityKey, keys shuffler.Keys, t *task.Task) error {
		s, err := shuffler.New(ctx, shuffler.Config{
			Store: store, FS: durable.OS(), Dir: "/var/lib/shoal/shuffler", Engine: batches,
			Identity: id, Keys: keys, Tasks: []*task.Task{t}, Client: http.DefaultClient,
		})
		if err != nil {
			return err
		}
		defer s.Close()
		go http.ListenAndServe("127.0.0.1:8080", s.Handler())
		return s.Run(ctx, func(err error) { log.Print(err) })
	}
	_ = run
}

// Outcomes and states are the labels of counters.
func ExampleOutcome() {
	fmt.Println(shuffler.Accepted, shuffler.WrongEpoch, shuffler.DiskFull)
	fmt.Println(shuffler.Open, shuffler.Closed, shuffler.Processed, shuffler.Delivered, shuffler.Destroyed)
	// Output:
	// accepted wrong_epoch disk_full
	// open closed processed delivered destroyed
}
