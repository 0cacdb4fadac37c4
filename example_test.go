package shoal_test

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

//go:embed testdata/tasks.bundle
var bundle []byte // of "shoal metrics build"

//go:embed testdata/aggregate.bundle
var sums []byte // the same, of docs/examples/aggregate.yaml

const owner = "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w" // whose questions the app answers

func Example() {
	dir, err := os.MkdirTemp("", "app") // an app uses os.UserConfigDir
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	client, err := shoal.Open(context.Background(), shoal.Options{
		Bundle: bundle, Owner: owner, Metrics: []string{"api_use"},
		Dir:  filepath.Join(dir, "telemetry"),
		Mode: shoal.On, // what the person has decided
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.Record("api_use", map[string]any{"program": "cat", "apis": []string{"files"}}))
	// Output: queued
}

// An app that counts: docs/examples/aggregate.yaml has the questions. What it
// records is accumulated, and leaves as one report an epoch.
func ExampleClient_Count() {
	client, err := shoal.Open(context.Background(), shoal.Options{
		Bundle: sums, Owner: owner, Metrics: []string{"feature.export", "pages.printed", "start.milliseconds"}, Mode: shoal.On, NoSender: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.Count("feature.export")
	client.Add("pages.printed", 3)
	client.Add("pages.printed", 4)
	client.Observe("start.milliseconds", 230)
	entries, err := client.Pending()
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Metric, "=", e.Recorded)
	}
	// Unordered output:
	// feature.export = 1
	// pages.printed = 7
	// start.milliseconds = 200 to 399
}

// What a person sees before it leaves.
func ExampleClient_Pending() {
	client, err := shoal.Open(context.Background(), shoal.Options{
		Bundle: bundle, Owner: owner, Metrics: []string{"api_use"}, Mode: shoal.Local,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.Record("api_use", map[string]any{"program": "cat", "apis": []string{"files"}, "user": "alice"})
	entries, err := client.Pending()
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Stage, e.Metric, e.Recorded, "to", e.Destination)
	}
	// Output: held api_use program="cat", apis={"files"} to https://shuffler.example
}

// The bundle of the examples is made by keys that everybody knows.
func TestExampleBundle(t *testing.T) {
	var keys []task.IdentityKey
	for i := range 3 {
		key, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	tk := &task.Task{
		Owner: keys[0].Public(), OwnedBy: "Example", Metric: "api_use",
		Question: "Which programs use which system APIs?", Consent: "Names of programs, and which kinds of API each uses.",
		Method: task.Crowd,
		Schema: task.Schema{
			{Name: "program", Kind: task.String, Max: 32},
			{Name: "apis", Kind: task.Set, Values: []string{"files", "network", "time"}},
		},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}, MinBatch: 100,
		EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, PerEpoch: 10, PerCrowd: 1, PayloadSize: 64,
		Hops: []task.Party{
			{Role: task.Shuffler, URL: "https://shuffler.example", Identity: keys[1].Public()},
			{Role: task.Analyzer, URL: "https://analyzer.example", Identity: keys[2].Public()},
		},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix(),
	}
	want := sdktest.Bundle(t, keys[0], tk)
	golden.Equal(t, "testdata/tasks.bundle", want)
	if got := task.FormatPublic(keys[0].Public()); got != owner {
		t.Errorf("owner %s, want %s", got, owner)
	}
}

// The bundle of the sums is that of the example file, for longer.
func TestExampleSums(t *testing.T) {
	key, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("docs/examples/aggregate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := metric.Read("aggregate.yaml", bytes.ReplaceAll(src, []byte("2028-01-01"), []byte("2100-01-01")), midnight)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Build(nil, key, midnight)
	if err != nil {
		t.Fatal(err)
	}
	want, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/aggregate.bundle", want)
}
