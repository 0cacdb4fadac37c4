package helper_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
)

// A helper that serves no task yet: clients already get its HPKE keys. In place of
// the stores in memory, a program takes those of internal/store/sqlite or internal/store/postgres.
func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: 200 application/ppm-dap;message=hpke-config-list max-age=43200
}

func example(ctx context.Context) error {
	key, err := atrest.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	keys, err := atrest.New(key)
	if err != nil {
		return err
	}
	time := clock.NewVirtual(time.Unix(1_700_000_000, 0))
	registry, err := tasks.Open(ctx, taskstest.NewModel(), tasks.Config{Role: dap.Helper, Keys: keys, Clock: time, Rand: rand.Reader})
	if err != nil {
		return err
	}
	store := storetest.NewModel()
	ledgers, err := ledger.New(store, ledger.Config{Keys: keys, Clock: time, Rand: rand.Reader})
	if err != nil {
		return err
	}
	h, err := helper.New(helper.Config{Store: store, Registry: registry, Ledgers: ledgers, Clock: time})
	if err != nil {
		return err
	}
	// A program also calls h.Run(ctx), for what is handled later and forgotten.

	answer := httptest.NewRecorder()
	h.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/hpke_config", nil))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"), answer.Header().Get("Cache-Control"))
	return nil
}
