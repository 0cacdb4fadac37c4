package metric_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

const examples = "../docs/examples/metrics.yaml"

func day(s string) time.Time {
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return at
}

func now() time.Time { return day("2026-12-01") }

func identity(name string) task.IdentityKey {
	seed := sha256.Sum256([]byte(name))
	key, err := task.GenerateIdentityKey(bytes.NewReader(seed[:]))
	if err != nil {
		panic(err)
	}
	return key
}

// reportSize is the documented size of a report sealed with X25519: 101 bytes a
// layer and the crowd's tag.
func reportSize(t *task.Task) int { return int(t.PayloadSize) + 101*len(t.Hops) + 16 }

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
