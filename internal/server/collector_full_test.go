package server

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
)

// TestCollectorDiskFull: a collector without space for results says so, releases
// nothing by halves, starts, and releases each batch once when there is space.
func TestCollectorDiskFull(t *testing.T) {
	w := newAggregateWorld(t)
	full := new(atomic.Bool)
	w.a.fs = fullDisk{FS: durable.OS(), full: full, below: w.a.config().collectorDir()}
	w.pair()
	w.b.start()
	w.a.start()
	w.answer(repeat("red", 30)...)
	full.Store(true)
	said := false
	for range 100 {
		err := w.settle(time.Minute)
		said = said || err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error())
	}
	if !said {
		t.Error("no error says that there is no space")
	}
	views, err := w.a.server.Pending(t.Context(), Task{Task: w.task, ID: w.id})
	must(t, err)
	if len(views) == 0 || !strings.Contains(views[0].Failed, syscall.ENOSPC.Error()) {
		t.Errorf("pending: %+v", views)
	}
	if got := w.results(); strings.Contains(got, "red") {
		t.Errorf("released without space:\n%s", got)
	}
	w.a.halt() // the answer of the leader outlives a restart
	w.a.start()
	_ = w.settle(30 * time.Minute)
	if got := w.results(); strings.Contains(got, "red") {
		t.Errorf("released without space after a restart:\n%s", got)
	}
	full.Store(false)
	must(t, w.settle(100*time.Minute))
	if got := w.results(); strings.Count(got, "Z,red,30,30,0,30,30\n") != 1 {
		t.Errorf("released\n%s", got)
	}
}

// fillingDisk has space for so many more writes below a folder.
type fillingDisk struct {
	durable.FS
	left  *atomic.Int64
	below string
}

func (d fillingDisk) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil || flag&(os.O_WRONLY|os.O_RDWR) == 0 || !strings.HasPrefix(name, d.below) {
		return f, err
	}
	return fillingFile{f, d.left}, nil
}

type fillingFile struct {
	durable.File
	left *atomic.Int64
}

func (f fillingFile) Write(b []byte) (int, error) {
	if f.left.Add(-1) < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.File.Write(b)
}

func (f fillingFile) WriteAt(b []byte, at int64) (int, error) {
	if f.left.Add(-1) < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.File.WriteAt(b, at)
}

// TestCollectorDiskFills: wherever in the writing of a result the space ends, the
// result is released once and whole when there is some.
func TestCollectorDiskFills(t *testing.T) {
	w := newAggregateWorld(t)
	left := new(atomic.Int64)
	const plenty = 1 << 40
	left.Store(plenty)
	w.a.fs = fillingDisk{FS: durable.OS(), left: left, below: w.a.config().collectorDir()}
	w.pair()
	w.b.start()
	w.a.start()
	enough := false
	for n := 0; !enough; n++ {
		if n > 12 {
			t.Fatal("a result takes more than 12 writes")
		}
		left.Store(plenty)
		w.answer(repeat("green", 25+n)...)
		left.Store(int64(n))
		row := fmt.Sprintf("green,%d,%d,0,%d,%d\n", 25+n, 25+n, 25+n, 25+n)
		_ = w.settle(90 * time.Minute)
		enough = left.Load() >= 0
		if got := strings.Count(w.results(), row); got > 1 || enough != (got == 1) {
			t.Errorf("with space for %d writes: released %d times:\n%s", n, got, w.results())
		}
		left.Store(plenty)
		must(t, w.settle(60*time.Minute))
		if got := strings.Count(w.results(), row); got != 1 {
			t.Errorf("after the disk had space for %d writes: released %d times:\n%s", n, got, w.results())
		}
	}
}
