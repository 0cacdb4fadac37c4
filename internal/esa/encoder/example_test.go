package encoder_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/metric/task"
)

// exampleTask asks which kinds of API a program uses: a bitmap in two chunks,
// each with the program's name, which makes the crowd.
func exampleTask() *task.Task {
	t := &task.Task{
		OwnedBy: "Example", Metric: "api.use", Question: "Which kinds of API does a program use?", Method: task.Crowd,
		Schema: task.Schema{
			{Name: "program", Kind: task.String, Max: 32},
			{Name: "apis", Kind: task.Set, Values: []string{"network", "threads", "files", "time"}},
		},
		Fragment: task.Fragment{Kind: task.Bits, Field: 1, M: 2, Keep: []uint8{0}},
		Crowd:    task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		MinBatch: 100, EpochSeconds: 86400, PerEpoch: 10, PerCrowd: 2, PayloadSize: 64,
		Threshold: task.Threshold{Kind: task.Naive, T: 20}, Expires: 4102444800,
	}
	for i, role := range []task.Role{task.Shuffler, task.Analyzer} {
		identity, err := task.GenerateIdentityKey(rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		t.Owner = identity.Public()
		t.Hops = append(t.Hops, task.Party{Role: role, URL: fmt.Sprintf("https://hop%d.example", i), Identity: identity.Public()})
	}
	return t
}

func Example() {
	t := exampleTask()
	id, err := t.ID()
	if err != nil {
		log.Fatal(err)
	}
	e, err := encoder.New(t, id)
	if err != nil {
		log.Fatal(err)
	}
	fragments, err := e.Encode(map[string]any{
		"program": "curl",
		"apis":    []string{"network", "time"},
		"user":    "alice", // not in the schema: stays behind
	}, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range fragments {
		text, err := e.Describe(f.Payload)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(text)
		// An outbox keeps f.Payload, and at a random time sends
		// e.Seal(f, epoch, keys).
	}
	// Unordered output:
	// program="curl", apis={"network"} of {"network", "threads"}
	// program="curl", apis={"time"} of {"files", "time"}
}

func ExampleEncoder_LocalEpsilon() {
	t := exampleTask()
	t.Schema = t.Schema[1:]
	t.Schema[0].Flip = 100 // of a million
	t.Fragment = task.Fragment{Kind: task.Bits, M: 2}
	t.Crowd = task.CrowdRule{Kind: task.Constant, SaltEpochs: 1}
	id, err := t.ID()
	if err != nil {
		log.Fatal(err)
	}
	e, err := encoder.New(t, id)
	if err != nil {
		log.Fatal(err)
	}
	epsilon := e.LocalEpsilon()
	fmt.Printf("a record %.1f, a fragment %.1f, a bit %.1f\n", epsilon.Record, epsilon.Fragment, epsilon.Fields[0].Unit)
	// Output: a record 36.8, a fragment 18.4, a bit 9.2
}
