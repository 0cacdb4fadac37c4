package esa_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A report goes from a client through one shuffler to the analyzer, which reads
// the payload; the shuffler hands over in a signed batch.
func Example() {
	random := rand.Reader
	var hops []task.Party
	var identities []task.IdentityKey
	for i, role := range []task.Role{task.Shuffler, task.Analyzer} {
		identity, err := task.GenerateIdentityKey(random)
		if err != nil {
			log.Fatal(err)
		}
		identities = append(identities, identity)
		hops = append(hops, task.Party{Role: role, URL: fmt.Sprintf("https://hop%d.example", i), Identity: identity.Public()})
	}
	t := &task.Task{
		Owner: identities[1].Public(), OwnedBy: "Example", Metric: "words", Question: "Which words?", Method: task.Crowd,
		Schema:   task.Schema{{Name: "word", Kind: task.String, Max: 40}},
		Crowd:    task.CrowdRule{Kind: task.Payload, SaltEpochs: 1},
		MinBatch: 1, EpochSeconds: 3600, PerEpoch: 1, PerCrowd: 1, PayloadSize: 64,
		Threshold: task.Threshold{Kind: task.Naive, T: 1},
		Hops:      hops, Expires: 4102444800,
	}
	id, err := t.ID()
	if err != nil {
		log.Fatal(err)
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	epoch := t.EpochAt(now)

	// Each party makes its own keys and announces the public halves.
	var private []*esa.PrivateKey
	var keys []task.Key
	for range t.Hops {
		k, err := esa.GenerateKey(esa.X25519, now, now.Add(24*time.Hour), random)
		if err != nil {
			log.Fatal(err)
		}
		private, keys = append(private, k), append(keys, k.Public())
	}

	// The client seals.
	sealer, err := esa.NewSealer(t, id, keys)
	if err != nil {
		log.Fatal(err)
	}
	payload, err := t.Encode(task.Record{"shoal"})
	if err != nil {
		log.Fatal(err)
	}
	report, err := sealer.Seal(epoch, esa.SaltedTag(id, t.SaltWindow(epoch), payload), payload)
	if err != nil {
		log.Fatal(err)
	}

	// The shuffler opens its layer and hands over.
	shuffler, err := esa.NewOpener(t, id, 0, private[0])
	if err != nil {
		log.Fatal(err)
	}
	layer, err := shuffler.Open(report, epoch)
	if err != nil {
		log.Fatal(err) // in earnest: count esa.CauseOf(err) and go on
	}
	header, err := esa.NewBatchHeader(t, id, 0, epoch, 0, 1)
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	w, err := esa.NewBatchWriter(&file, header, identities[0])
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Write(append(layer.Crowd[:], layer.Next...)); err != nil {
		log.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		log.Fatal(err)
	}

	// The analyzer verifies the batch, then opens its rows.
	batch, err := esa.OpenBatch(bytes.NewReader(file.Bytes()), int64(file.Len()), t, id, 0)
	if err != nil {
		log.Fatal(err)
	}
	analyzer, err := esa.NewOpener(t, id, 1, private[1])
	if err != nil {
		log.Fatal(err)
	}
	for opened, err := range analyzer.OpenAll(batch.Layers(), epoch, 2) {
		if err != nil {
			log.Fatal(err)
		}
		record, err := t.Decode(opened.Next)
		fmt.Println(len(report), opened.Cause, record, err)
	}
	// Output: 284 none [shoal] <nil>
}
