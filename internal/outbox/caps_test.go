package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
)

// Threat: a client is made to contribute more than the caps allow, by restarts,
// by a task signed again with other epochs, or by setting its clock. Whatever
// happens, among the contributions accepted to epochs that overlap a given one
// there are no more than the cap of that one allowed when it was accepted.
func TestCapsHoldWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fsys := durable.Mem()
		o := outbox.Options{FS: fsys}
		b, _, err := outbox.Open("box", o)
		if err != nil {
			t.Fatal(err)
		}
		type accepted struct {
			start, end time.Time
			crowd      string
		}
		var all []accepted
		now := epoch0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0: // another process
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				if b, _, err = outbox.Open("box", o); err != nil {
					t.Fatal(err)
				}
			case 1: // the clock moves, back too
				now = now.Add(time.Duration(rapid.IntRange(-30, 60).Draw(t, "hours")) * time.Hour)
			default:
				length := time.Duration(rapid.SampledFrom([]int{1, 6, 24}).Draw(t, "epoch")) * time.Hour
				crowd := fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "crowd"))
				c := contribution(now, "m", crowd)
				c.Start = now.Truncate(length)
				c.End = c.Start.Add(length)
				c.SendBy, c.NotAfter = c.End, c.End.Add(time.Hour)
				c.PerEpoch = rapid.IntRange(1, 3).Draw(t, "cap")
				vs, err := b.Add(c)
				if err != nil {
					t.Fatal(err)
				}
				if vs[0] != outbox.Accepted {
					continue
				}
				before, same := 0, 0
				for _, a := range all {
					if a.start.Before(c.End) && c.Start.Before(a.end) {
						before++
						if a.crowd == crowd {
							same++
						}
					}
				}
				if before >= c.PerEpoch || same >= c.PerCrowd {
					t.Fatalf("accepted a contribution to %v-%v after %d (%d to its crowd), caps %d and %d", c.Start, c.End, before, same, c.PerEpoch, c.PerCrowd)
				}
				all = append(all, accepted{c.Start, c.End, crowd})
			}
		}
	})
}

// A cap that is not used up refuses no contribution.
func TestCapsAreNotTooStrict(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem()})
	for i := range 100 {
		c := contribution(epoch0.Add(time.Duration(i)*day), "m", "a", "b")
		c.PerEpoch = 2
		addAll(t, b, c)
	}
}
