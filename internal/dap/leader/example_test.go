package leader_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http/httptest"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
)

// A leader without tasks yet: it offers its HPKE configurations, and takes
// reports as soon as the registry has a task. Real ones keep their state in
// internal/store/sqlite or internal/store/postgres and their reports on durable.OS.
func Example() {
	ctx := context.Background()
	key, err := atrest.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	keys, err := atrest.New(key)
	if err != nil {
		panic(err)
	}
	store := leadertest.NewModel()
	ledgers, err := ledger.New(store, ledger.Config{Keys: keys, Clock: clock.System(), Rand: rand.Reader})
	if err != nil {
		panic(err)
	}
	registry, err := tasks.Open(ctx, taskstest.NewModel(), tasks.Config{Role: dap.Leader, Keys: keys, Clock: clock.System(), Rand: rand.Reader})
	if err != nil {
		panic(err)
	}
	l, err := leader.New(ctx, leader.Config{Store: store, Ledgers: ledgers, Registry: registry, FS: durable.Mem(), Dir: "reports"})
	if err != nil {
		panic(err)
	}
	defer l.Close()

	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, func(err error) { fmt.Println(err) }) }()

	answer := httptest.NewRecorder()
	l.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/hpke_config", nil))
	fmt.Println(answer.Code, answer.Header().Get("Cache-Control"))

	stop()
	fmt.Println(<-ended)
	// Output:
	// 200 max-age=43200
	// context canceled
}
