package loss_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/loss"
)

var day = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *loss.List {
	t.Helper()
	b, err := loss.Open(durable.OS(), dir)
	must(t, err)
	return b
}

func counts(t *testing.T, st loss.State, err error) [2]int {
	t.Helper()
	must(t, err)
	return [2]int{len(st.Open), len(st.Acknowledged)}
}

// TestBook: a loss stays open over restarts until it is acknowledged, and more
// reports at the same place, or another place, are not acknowledged by that.
func TestBook(t *testing.T) {
	dir := t.TempDir()
	one := loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "a", Reports: 3}
	b := open(t, dir)
	for i, want := range []bool{true, false} {
		if fresh, err := b.Add(one); err != nil || fresh != want {
			t.Errorf("call %d: fresh %v, %v", i, fresh, err)
		}
	}
	b = open(t, dir)
	read, err := loss.Read(durable.OS(), dir)
	if got := counts(t, read, err); got != [2]int{1, 0} || read.Open[0] != one {
		t.Fatalf("after a restart: %+v", read)
	}
	two := loss.Loss{Role: "shuffler", Cause: loss.Missing, Place: "b"}
	_, err = b.Add(two) // while the operator reads
	must(t, err)
	must(t, loss.Acknowledge(durable.OS(), dir, read, day))
	for _, b := range []*loss.List{b, open(t, dir)} {
		st, err := b.State()
		if got := counts(t, st, err); got != [2]int{1, 1} || st.Open[0] != two {
			t.Errorf("acknowledged what was not known: %+v", st)
		}
	}
	one.Reports = 5
	if fresh, err := b.Add(one); err != nil || !fresh {
		t.Errorf("more reports: fresh %v, %v", fresh, err)
	}
	st, err := b.State()
	if got := counts(t, st, err); got != [2]int{2, 0} {
		t.Errorf("more reports than were acknowledged: %+v", st)
	}
}

// TestReplace: what has passed leaves the list, what is new is reported once, and
// other causes stay.
func TestReplace(t *testing.T) {
	b := open(t, t.TempDir())
	_, err := b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "x"})
	must(t, err)
	orphan := func(place string) loss.Loss {
		return loss.Loss{Role: "shuffler", Cause: loss.Orphaned, Place: place, Reports: 2}
	}
	for i, c := range []struct {
		all   []loss.Loss
		fresh int
		open  int
	}{{[]loss.Loss{orphan("a"), orphan("b")}, 2, 3}, {[]loss.Loss{orphan("b")}, 0, 2}, {nil, 0, 1}} {
		fresh, err := b.Replace("shuffler", loss.Orphaned, c.all)
		must(t, err)
		st, err := b.State()
		if got := counts(t, st, err); len(fresh) != c.fresh || got[0] != c.open {
			t.Errorf("step %d: fresh %v, state %+v", i, fresh, st)
		}
	}
}

// TestDamagedList: a list that cannot be read does not stop the server, and is a
// loss; acknowledgements that cannot be read acknowledge nothing.
func TestDamagedList(t *testing.T) {
	dir := t.TempDir()
	_, err := open(t, dir).Add(loss.Loss{Role: "leader", Cause: loss.Damaged, Place: "x"})
	must(t, err)
	must(t, os.Truncate(filepath.Join(dir, "losses.json"), 10))
	st, err := open(t, dir).State()
	if got := counts(t, st, err); got != [2]int{1, 0} || st.Open[0].Place != "losses.json" {
		t.Errorf("state %+v", st)
	}
	must(t, loss.Acknowledge(durable.OS(), dir, st, day))
	must(t, os.Truncate(filepath.Join(dir, "losses.acknowledged.json"), 10))
	if st, err := open(t, dir).State(); err == nil || len(st.Open) != 1 {
		t.Errorf("damaged acknowledgements: %+v, %v", st, err)
	}
}

// TestManyPlaces: the list is bounded, and what is beyond is counted.
func TestManyPlaces(t *testing.T) {
	b, err := loss.Open(durable.Mem(), ".")
	must(t, err)
	for i := range 1200 {
		fresh, err := b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: fmt.Sprint(i), Reports: 1})
		must(t, err)
		if !fresh {
			t.Fatalf("place %d is not new", i)
		}
	}
	st, err := b.State()
	must(t, err)
	sum := int64(0)
	for _, l := range st.Open {
		sum += l.Reports
	}
	if len(st.Open) != 1001 || sum != 1200 {
		t.Errorf("%d entries with %d reports", len(st.Open), sum)
	}
}

// fullDisk has no space while full is set.
type fullDisk struct {
	durable.FS
	full bool
}

func (d *fullDisk) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if d.full && flag&os.O_CREATE != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
	}
	return d.FS.OpenFile(name, flag, perm)
}

// TestFullDisk: what cannot be written is known to the process, and written later.
func TestFullDisk(t *testing.T) {
	d := &fullDisk{FS: durable.Mem(), full: true}
	b, err := loss.Open(d, ".")
	must(t, err)
	if fresh, err := b.Add(loss.Loss{Role: "leader", Cause: loss.Missing, Place: "x"}); !fresh || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: fresh %v, %v", fresh, err)
	}
	if st, err := b.State(); err == nil || len(st.Open) != 1 {
		t.Errorf("on a full disk: %+v, %v", st, err)
	}
	d.full = false
	_, err = b.State()
	must(t, err)
	st, err := loss.Read(d, ".")
	if got := counts(t, st, err); got != [2]int{1, 0} {
		t.Errorf("afterwards: %+v", st)
	}
}

// TestPrune: what was acknowledged long ago and is not found again goes, and a loss at
// the same place after that is a new one.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	reopen := func() *loss.List {
		b, err := loss.Open(durable.OS(), dir)
		must(t, err)
		return b
	}
	b := reopen()
	for _, place := range []string{"old", "again", "worse"} {
		_, err := b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: place, Reports: 5})
		must(t, err)
	}
	st, err := b.State()
	must(t, err)
	must(t, loss.Acknowledge(durable.OS(), dir, st, day))
	_, err = b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "open", Reports: 1})
	must(t, err)
	count := func(open, acknowledged int) {
		t.Helper()
		st, err := b.State()
		if err != nil || len(st.Open) != open || len(st.Acknowledged) != acknowledged {
			t.Errorf("%+v, %v; want %d open and %d acknowledged", st, err, open, acknowledged)
		}
	}
	must(t, b.Prune(day.Add(2*loss.Kept))) // this process has found all of them
	count(1, 3)
	b = reopen()
	must(t, b.Prune(day.Add(loss.Kept-24*time.Hour)))
	count(1, 3)
	_, err = b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "again", Reports: 5})
	must(t, err)
	_, err = b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "worse", Reports: 6})
	must(t, err)
	must(t, b.Prune(day.Add(loss.Kept+24*time.Hour)))
	count(2, 1)
	b = reopen()
	count(2, 1)
	fresh, err := b.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "old", Reports: 2})
	if err != nil || !fresh {
		t.Errorf("a new loss at an old place: %v, %v", fresh, err)
	}
	count(3, 1)
}
