// Package sdktest is for tests of the SDK: the moment in which they record, clients
// that end with the test, and a task of the method crowd. Its own tests let clients
// send to a whole deployment.
package sdktest

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric/task"
)

// Day is the length of an epoch.
const Day = 24 * time.Hour

// Midnight begins the epoch in which the tests record.
func Midnight() time.Time { return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC) }

// Open opens a client and closes it when the test ends.
func Open(t testing.TB, o shoal.Options) *shoal.Client {
	t.Helper()
	c, err := shoal.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the client: %v", err)
		}
	})
	return c
}

// Drain lets the clock run to each time at which something is due, until
// nothing is before end. It returns what the passes add up to.
func Drain(t testing.TB, c *shoal.Client, v *clock.Virtual, end time.Time) (sent, refused int) {
	t.Helper()
	for range 10_000 {
		pass, err := c.SendDue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent += pass.Sent
		refused += pass.Refused
		if pass.Next.IsZero() || pass.Next.After(end) {
			return sent, refused
		}
		v.Forward(pass.Next)
	}
	t.Fatal("sending does not come to an end")
	return 0, 0
}

// Use is a record of the metric of [CrowdTask], with fields that its schema lacks.
func Use(program string, apis ...string) map[string]any {
	return map[string]any{"program": program, "apis": apis, "user": "alice", "host": "192.0.2.1"}
}

// CrowdTask returns a sound task of the method crowd for two hops.
func CrowdTask(metric string, owner ed25519.PublicKey, shuffler, analyzer task.Party) *task.Task {
	return &task.Task{
		Owner: owner, OwnedBy: "Example", Metric: metric,
		Question: "Which programs use which APIs?", Consent: "Your programs.", Method: task.Crowd,
		Schema: task.Schema{
			{Name: "program", Kind: task.String, Max: 32},
			{Name: "apis", Kind: task.Set, Values: []string{"files", "network", "time"}},
		},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.Naive, T: 10}, MinBatch: 100,
		EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, PerEpoch: 100, PerCrowd: 1,
		PayloadSize: 64,
		Hops:        []task.Party{shuffler, analyzer},
		NotBefore:   Midnight().Add(-Day).Unix(), Expires: Midnight().Add(10 * Day).Unix(),
	}
}

// Bundle returns tasks as an app embeds them, signed by their owner.
func Bundle(t testing.TB, owner task.IdentityKey, tasks ...*task.Task) []byte {
	t.Helper()
	var b task.Bundle
	for _, tk := range tasks {
		s, err := task.Sign(tk, owner)
		if err != nil {
			t.Fatal(err)
		}
		b.Tasks = append(b.Tasks, s)
	}
	file, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}
