package tasks_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/dap/tasks/storetest"
)

func Example() {
	ctx := context.Background()
	key, err := atrest.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := atrest.New(key)
	if err != nil {
		log.Fatal(err)
	}
	store := storetest.NewModel() // in production, sqlite.OpenHelper or postgres.OpenHelper
	c := tasks.Config{Role: dap.Helper, Keys: keys, Clock: clock.System(), Rand: rand.Reader}
	r, err := tasks.Open(ctx, store, c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("HPKE keys to offer:", len(r.Keyring().Configs(c.Clock.Now())))
	_, err = r.Lookup(ctx, dap.TaskID{})
	fmt.Println(err)
	// Output:
	// HPKE keys to offer: 1
	// unknown task AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
}
