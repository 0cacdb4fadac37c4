package ledger_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/vdaf"
)

func Example() {
	ctx := context.Background()
	count, err := vdaf.Count()
	if err != nil {
		log.Fatal(err)
	}
	config := dap.TaskConfiguration{
		TaskInfo: []byte("example"), Leader: "https://leader.example/", Helper: "https://helper.example/",
		TimePrecision: 3600, MinBatchSize: 100, BatchMode: dap.TimeIntervalMode,
	}
	if err := config.SetVDAF(count); err != nil {
		log.Fatal(err)
	}
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	if err != nil {
		log.Fatal(err)
	}
	task, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := atrest.New(atrest.Key{1})
	if err != nil {
		log.Fatal(err)
	}
	store := storetest.NewModel() // in production, sqlite.OpenHelper or postgres.OpenHelper
	ledgers, err := ledger.New(store, ledger.Config{Keys: keys, Clock: clock.System(), Rand: rand.Reader})
	if err != nil {
		log.Fatal(err)
	}
	taskLedger, err := ledgers.Open(ctx, task, 60*24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	// Jobs commit with ledger.Commit. Is there enough to collect?
	day := dap.IntervalSelector(dap.Interval{Start: 480_000, Duration: 24})
	total, collected, err := taskLedger.Batch(ctx, day)
	fmt.Println(total.Count, collected, err)
	fmt.Println(taskLedger.Collect(ctx, day, nil))
	// Output:
	// 0 false <nil>
	// invalidBatchSize: fewer reports than the task's minimum of 100
}
