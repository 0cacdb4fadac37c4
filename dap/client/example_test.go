package client_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// A report made by hand; [client.Client] does the same with keys that it fetches,
// and uploads it.
func ExampleMake() {
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
	b, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	if err != nil {
		log.Fatal(err)
	}
	t, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(b), b)
	if err != nil {
		log.Fatal(err)
	}
	leader, err := dapkey.Generate(1, hpke.X25519, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	helper, err := dapkey.Generate(2, hpke.X25519, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	id, err := client.NewReportID(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys := client.Keys{Leader: leader.Config(), Helper: helper.Config()}
	r, err := client.Make(t, client.Of(count, true), keys, id, 480000, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	body, err := client.Encode(t, r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(body), "bytes")
	// Output: 232 bytes
}
