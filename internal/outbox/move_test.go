package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/outbox"
)

// TestMove: an entry that was not sealed gets to the next epoch with its record, under its ID,
// at a time of that epoch's window, and counts against its caps; one that has no room there
// is dropped by its cause; all of it survives a restart.
func TestMove(t *testing.T) {
	fsys := crashfs.New(1)
	o := outbox.Options{FS: fsys}
	b := open(t, "box", o)
	if _, err := b.Add(contribution(epoch0.Add(time.Hour), "m", "a", "b")); err != nil {
		t.Fatal(err)
	}
	next := epoch0.Add(day)
	to := contribution(next.Add(time.Minute), "m", "a")
	to.From = to.End.Add(10 * time.Minute)
	to.SendBy, to.NotAfter = to.From.Add(to.MaxDelay), to.From.Add(to.MaxDelay+time.Hour)
	list, err := b.List()
	if err != nil || len(list) != 2 {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	a := list[0]
	if string(a.Record) != "a" {
		a = list[1]
	}
	v, found, err := b.Move(a.ID, to)
	if err != nil || !found || v != outbox.Accepted {
		t.Fatalf("moved: %v, %v, %v", v, found, err)
	}
	if v, _, err := b.Move(a.ID, to); err != nil || v != outbox.CapReached {
		t.Errorf("moved against a cap of one a second time: %v, %v", v, err)
	}
	if v, _, err := b.Move(99, to); err != nil || v != outbox.Failed {
		t.Errorf("an entry that is gone: %v, %v", v, err)
	}
	for _, bad := range []func(*outbox.Contribution){
		func(c *outbox.Contribution) { c.Reports = nil },
		func(c *outbox.Contribution) { c.Metric = "" },
	} {
		c := to
		bad(&c)
		if _, _, err := b.Move(a.ID, c); err == nil {
			t.Error("a malformed contribution is taken")
		}
	}
	if st, err := b.Stats(); err != nil || st.Dropped[outbox.Unmoved] != 1 || st.Waiting != 1 {
		t.Errorf("stats %+v, %v", st, err)
	}

	// Again, with a crash at each call: the entry is in one epoch or in the other.
	for crash := 1; ; crash++ {
		fsys := crashfs.New(uint64(crash))
		b := open(t, "box", outbox.Options{FS: fsys})
		if _, err := b.Add(contribution(epoch0.Add(time.Hour), "m", "a")); err != nil {
			t.Fatal(err)
		}
		list, err := b.List()
		if err != nil {
			t.Fatal(err)
		}
		fsys.CrashAt(crash)
		_, _, err = b.Move(list[0].ID, to)
		_ = b.Close()
		crashed := fsys.Crashed()
		b, _, openErr := outbox.Open("box", outbox.Options{FS: fsys.Restart()})
		if openErr != nil {
			t.Fatal(openErr)
		}
		after, listErr := b.List()
		if listErr != nil || len(after) != 1 || string(after[0].Record) != "a" {
			t.Fatalf("crash %d: %+v, %v", crash, after, listErr)
		}
		e := after[0]
		switch {
		case e.Epoch == to.Epoch && !e.NotBefore.Before(to.From) && !e.NotBefore.After(to.SendBy) && e.NotAfter.Equal(to.NotAfter):
		case e.Epoch == list[0].Epoch && err != nil:
		default:
			t.Fatalf("crash %d (%v): entry of epoch %d at %v", crash, err, e.Epoch, e.NotBefore)
		}
		if fmt.Sprint(e.ID) != fmt.Sprint(list[0].ID) {
			t.Errorf("crash %d: another ID", crash)
		}
		_ = b.Close()
		if !crashed {
			return
		}
	}
}
