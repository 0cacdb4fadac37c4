package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// splitDir is where the records of a target go.
func splitDir(to int) string { return fmt.Sprintf("batches/%d/log", to) }

// targetOf sends the first 40 records to target 0, those of every number ending in
// 9 nowhere, and the others to three targets.
func targetOf(record []byte) (int, bool) {
	var n int
	if _, err := fmt.Sscanf(string(record), "record %d", &n); err != nil {
		return 0, false
	}
	if n < 40 {
		return 0, true
	}
	return n % 3, n%10 != 9
}

func splitOf(serial uint64) Split { return Split{Serial: serial, To: targetOf, Dir: splitDir} }

// splitAll does all of a split: a process that finds the log does the same.
func splitAll(fsys durable.FS, dir string, serial uint64) error {
	if _, err := fsys.Stat(dir); err != nil {
		return nil
	}
	l, _, err := Open(dir, Options{FS: fsys, MaxSegment: 900})
	if err != nil {
		return err
	}
	err = l.End()
	if err == nil {
		err = l.Split(splitOf(serial))
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	return Remove(fsys, dir)
}

// splitProblem returns what is wrong with the targets of numbered(0, n), sent to
// each of the logs that were split.
func splitProblem(fsys durable.FS, n, logs int) string {
	for to := range 3 {
		var want []string
		for _, r := range numbered(0, n) {
			if at, ok := targetOf([]byte(r)); ok && at == to {
				for range logs {
					want = append(want, r)
				}
			}
		}
		l, r, err := Open(splitDir(to), Options{FS: fsys})
		if err != nil {
			return err.Error()
		}
		have, errs := read(l)
		if err := l.Close(); err != nil || len(errs) > 0 || len(r.Damaged) > 0 {
			return fmt.Sprint(err, errs, r.Damaged)
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			return fmt.Sprintf("target %d holds %d records, want %d", to, len(have), len(want))
		}
	}
	return ""
}

func filled(t testing.TB, fsys durable.FS, dir string, n int) {
	t.Helper()
	l, _, err := Open(dir, Options{FS: fsys, MaxSegment: 900})
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, numbered(0, n)...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Segments of one target are moved, the others copied, and two logs can be split
// into the same targets.
func TestSplit(t *testing.T) {
	fsys := durable.Mem()
	for serial := range uint64(2) {
		dir := fmt.Sprintf("shared/%d", serial)
		filled(t, fsys, dir, 60)
		if err := splitAll(fsys, dir, serial+1); err != nil {
			t.Fatal(err)
		}
	}
	if problem := splitProblem(fsys, 60, 2); problem != "" {
		t.Fatal(problem)
	}
	entries, err := fsys.ReadDir(splitDir(0))
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == noteName })
	for _, e := range entries {
		serial := SerialOf(e.Name())
		if serial != 1 && serial != 2 {
			t.Errorf("%s has the serial %d", e.Name(), serial)
		}
		if !strings.HasPrefix(e.Name(), fmt.Sprint(serial*splitSpan)) { // the copy has the number 0 of its serial
			moved++
		}
	}
	if moved != 2 || len(entries) != 4 {
		t.Errorf("%d segments were moved, of %d", moved, len(entries))
	}
	// A target goes on like any log.
	l, _, err := Open(splitDir(1), Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, "more")
	if err := errors.Join(l.Seal(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if MovedName(2, "00000003.seg") != fmt.Sprint(2*splitSpan+3)+".seg" || MovedName(2, "sealed") != "sealed" {
		t.Error("the name of a moved segment is wrong")
	}
	if SerialOf("sealed") != 0 || SerialOf("00000001.seg") != 0 {
		t.Error("segments that no split wrote have a serial")
	}
}

// Open segments, serials out of range.
func TestSplitRefuses(t *testing.T) {
	l, _ := open(t, durable.Mem(), Options{})
	add(t, l, "record 1 ")
	if err := l.Split(splitOf(1)); err == nil {
		t.Error("split a log that grows")
	}
	for _, serial := range []uint64{0, 1 << 38} {
		if err := l.Split(splitOf(serial)); err == nil {
			t.Errorf("split under the serial %d", serial)
		}
	}
	if err := l.End(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), nil); !errors.Is(err, ErrSealed) {
		t.Errorf("append after End: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.End(); !errors.Is(err, ErrClosed) {
		t.Errorf("End after Close: %v", err)
	}
}

// A loss of power at each call of a split, and of the split that follows it, loses
// no record and doubles none.
func TestSplitCrash(t *testing.T) {
	points := 0
	for seed := range uint64(2) {
		for n := 1; ; n++ {
			disk := crashfs.New(seed<<32 | uint64(n))
			filled(t, disk, testDir, 60)
			disk.CrashAt(n)
			err := splitAll(disk, testDir, 1)
			if err != nil && !disk.Crashed() {
				t.Fatal(err)
			}
			for range 4 {
				again := disk.Restart()
				again.CrashAt(1 + n%7) // a second crash, while it goes on
				_ = splitAll(again, testDir, 1)
				for _, fsys := range []durable.FS{disk.Restart(), again.Restart()} {
					if err := splitAll(fsys, testDir, 1); err != nil {
						t.Fatalf("crash at %d: %v", n, err)
					}
					if problem := splitProblem(fsys, 60, 1); problem != "" {
						t.Fatalf("crash at %d: %s", n, problem)
					}
				}
			}
			if err == nil {
				break
			}
			points++
		}
	}
	if points < 40 {
		t.Errorf("%d crashes only", points)
	}
}

// A split that fails on a full disk is repeated by the same process.
func TestSplitFull(t *testing.T) {
	for n := range 60 {
		disk := crashfs.New(uint64(n))
		filled(t, disk, testDir, 60)
		l, _, err := Open(testDir, Options{FS: disk, MaxSegment: 900})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		disk.FailWith(func(_, name string) error {
			if filepath.Base(name) == noteName { // TestNoteFull
				return nil
			}
			if calls++; calls == n+1 {
				return syscall.ENOSPC
			}
			return nil
		})
		err = l.End()
		if err == nil {
			err = l.Split(splitOf(1))
		}
		if failed := calls > n; failed && !errors.Is(err, ErrFull) {
			t.Fatalf("call %d: %v", n, err)
		}
		disk.FailWith(nil)
		if err := errors.Join(l.End(), l.Split(splitOf(1)), l.Close(), Remove(disk, testDir)); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if problem := splitProblem(disk.Restart(), 60, 1); problem != "" {
			t.Fatalf("call %d: %s", n, problem)
		}
	}
}

// Damage costs the records it hits, and is reported.
func TestSplitDamage(t *testing.T) {
	fsys := durable.Mem()
	filled(t, fsys, testDir, 60)
	l, _, err := Open(testDir, Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	last := l.segments[len(l.segments)-1]
	b, err := durable.ReadFile(fsys, l.path(last.number, segSuffix))
	if err != nil {
		t.Fatal(err)
	}
	b[headerSize+frameSize] ^= 1 // after Open
	if err := durable.WriteFile(fsys, l.path(last.number, segSuffix), b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := splitOf(1)
	var lost int64
	s.Lost = func(d Damage) { lost = max(lost, d.Records) }
	if err := errors.Join(l.End(), l.Split(s)); err != nil {
		t.Fatal(err)
	}
	have := 0
	for to := range 3 {
		l, _, err := Open(splitDir(to), Options{FS: fsys})
		if err != nil {
			t.Fatal(err)
		}
		have += int(l.Len())
		l.Close()
	}
	want := 0
	for _, r := range numbered(0, 60) {
		if _, ok := targetOf([]byte(r)); ok {
			want++
		}
	}
	if lost != 1 || have != want-1 {
		t.Errorf("%d records are in the targets, want %d less %d", have, want, lost)
	}
	if _, err := fsys.Stat(filepath.Join(testDir, sealName)); err == nil {
		t.Error("End has left a list")
	}
}
