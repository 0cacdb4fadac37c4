package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

func Example() {
	dir, err := os.MkdirTemp("", "shoal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := sqlite.OpenShuffler(ctx, filepath.Join(dir, "shuffler.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	open := shuffler.Change{From: shuffler.None, To: shuffler.Batch{Task: task.ID{1}, Epoch: 20000, State: shuffler.Open}}
	fmt.Println(store.Apply(ctx, open) == nil, store.Apply(ctx, open) == nil)
	batches, err := store.Batches(ctx)
	fmt.Println(len(batches), batches[0].Epoch, batches[0].State, err)
	// Output:
	// true false
	// 1 20000 open <nil>
}
