package segment

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// workload appends, rolls over segments, reopens and seals. It returns the
// acknowledged records, whether Seal succeeded, and the error that ended it.
func workload(fsys durable.FS, from int) ([]string, bool, error) {
	ctx := context.Background()
	o := Options{FS: fsys, MaxSegment: 1500}
	var acknowledged []string
	for session := range 2 {
		l, _, err := Open(testDir, o)
		if err != nil {
			return acknowledged, false, err
		}
		start := from + 20*session
		for i := start; i < start+20; i += 5 {
			records := numbered(i, i+5)
			var group [][]byte
			for _, r := range records[1:] {
				group = append(group, []byte(r))
			}
			if err := l.Append(ctx, []byte(records[0])); err != nil {
				return acknowledged, false, errors.Join(err, l.Close())
			}
			acknowledged = append(acknowledged, records[0])
			if err := l.AppendAll(ctx, group); err != nil {
				return acknowledged, false, errors.Join(err, l.Close())
			}
			acknowledged = append(acknowledged, records[1:]...)
		}
		if session == 1 {
			if err := l.Seal(); err != nil {
				return acknowledged, false, errors.Join(err, l.Close())
			}
		}
		if err := l.Close(); err != nil {
			return acknowledged, session == 1, err
		}
	}
	return acknowledged, true, nil
}

// crashEverywhere runs the workload with a crash at each call, on the file
// system that wrap makes of the double, and returns the first broken promise.
func crashEverywhere(t *testing.T, seeds uint64, wrap func(durable.FS) durable.FS) string {
	t.Helper()
	points := 0
	for seed := range seeds {
		for n := 1; ; n++ {
			disk := crashfs.New(seed<<32 | uint64(n))
			disk.CrashAt(n)
			acknowledged, sealed, err := workload(wrap(disk), 0)
			crashed := disk.Crashed()
			if err != nil && !crashed {
				t.Fatalf("crash at %d: %v", n, err)
			}
			for range 4 {
				after := disk.Restart()
				if n%8 == 0 || !crashed { // it takes long
					if problem := crashRecovery(after, wrap, acknowledged); problem != "" {
						return problem
					}
				}
				if problem := afterCrash(after.Restart(), acknowledged, sealed); problem != "" {
					return problem
				}
			}
			if !crashed {
				break
			}
			points++
		}
	}
	t.Logf("%d crashes, 4 outcomes each", points)
	return ""
}

// afterCrash recovers, checks, goes on, crashes while going on, and checks
// again.
func afterCrash(disk *crashfs.FS, acknowledged []string, sealed bool) string {
	l, r, err := Open(testDir, Options{FS: disk})
	if err != nil {
		return "opening: " + err.Error()
	}
	got, errs := read(l)
	if len(errs) > 0 {
		return "reading: " + errors.Join(errs...).Error()
	}
	if problem := lost(got, acknowledged); problem != "" {
		return problem
	}
	if r.Records != int64(len(got)) || l.Len() != r.Records {
		return "records are miscounted"
	}
	for _, d := range r.Damaged {
		if d.Bytes == 0 && d.Records > 0 { // nothing is there, and the note records that something was
			return "a loss is reported where nothing was lost: " + d.Error()
		}
	}
	err = l.Append(context.Background(), []byte("record 9000 "))
	ended := errors.Is(err, ErrSealed)
	if sealed && !ended {
		return "a sealed log takes records"
	}
	if err != nil && !ended {
		return "appending: " + err.Error()
	}
	if err == nil {
		acknowledged = append(got, "record 9000 ")
	}
	// The second crash finds the log in use.
	after := disk.Restart()
	_ = l.Close()
	l, _, err = Open(testDir, Options{FS: after})
	if err != nil {
		return "opening again: " + err.Error()
	}
	defer l.Close()
	got, errs = read(l)
	if len(errs) > 0 {
		return "reading again: " + errors.Join(errs...).Error()
	}
	return lost(got, acknowledged)
}

// crashRecovery crashes at each call of Open and Seal on a disk after a crash.
func crashRecovery(base *crashfs.FS, wrap func(durable.FS) durable.FS, acknowledged []string) string {
	for n := 1; ; n++ {
		disk := base.Restart() // a copy: everything in it is synced
		disk.CrashAt(n)
		l, _, err := Open(testDir, Options{FS: wrap(disk)})
		if err == nil {
			err = errors.Join(l.Seal(), l.Close())
		}
		if err != nil && !errors.Is(err, crashfs.ErrCrashed) {
			return "recovering: " + err.Error()
		}
		for range 3 {
			l, _, err := Open(testDir, Options{FS: disk.Restart()})
			if err != nil {
				return "opening after a crash of the recovery: " + err.Error()
			}
			got, errs := read(l)
			_ = l.Close()
			if len(errs) > 0 {
				return "reading after a crash of the recovery: " + errors.Join(errs...).Error()
			}
			if problem := lost(got, acknowledged); problem != "" {
				return "after a crash of the recovery: " + problem
			}
		}
		if err == nil {
			return ""
		}
	}
}

// TestCrash is the proof of "acknowledged is durable" for the log: a loss of
// power at every call that changes the disk.
func TestCrash(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	if problem := crashEverywhere(t, seeds, func(f durable.FS) durable.FS { return f }); problem != "" {
		t.Fatal(problem)
	}
}

// careless is a file system that forgets to do what the log asks of it.
type careless struct {
	durable.FS
	syncFiles, syncDirs bool
}

type carelessFile struct{ durable.File }

func (carelessFile) Sync() error { return nil }

func (c careless) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil || c.syncFiles {
		return f, err
	}
	return carelessFile{f}, nil
}

func (c careless) SyncDir(name string) error {
	if c.syncDirs {
		return c.FS.SyncDir(name)
	}
	return nil
}

// TestCrashTestCatches proves that TestCrash fails for a log without its syncs.
func TestCrashTestCatches(t *testing.T) {
	for name, c := range map[string]careless{
		"no sync of files":       {syncDirs: true},
		"no sync of directories": {syncFiles: true},
	} {
		t.Run(name, func(t *testing.T) {
			problem := crashEverywhere(t, 6, func(f durable.FS) durable.FS { c.FS = f; return c })
			if problem == "" {
				t.Fatal("not caught")
			}
			t.Log(problem)
		})
	}
}

// TestCrashRemove crashes while a log is being removed: calling it again
// finishes, and then it is gone permanently.
func TestCrashRemove(t *testing.T) {
	for n := 1; ; n++ {
		disk := crashfs.New(uint64(n))
		if _, _, err := workload(disk, 0); err != nil {
			t.Fatal(err)
		}
		disk.CrashAt(n)
		err := Remove(disk, testDir)
		for range 4 {
			after := disk.Restart()
			if _, statErr := after.Stat(testDir); err == nil && statErr == nil {
				t.Fatalf("crash at %d: removed, but there", n)
			}
			l, _, openErr := Open(testDir, Options{FS: after})
			if openErr != nil {
				t.Fatalf("crash at %d: %v", n, openErr)
			}
			if closeErr := l.Close(); closeErr != nil {
				t.Fatal(closeErr)
			}
			if removeErr := Remove(after, testDir); removeErr != nil {
				t.Fatal(removeErr)
			}
			if _, statErr := after.Restart().Stat(testDir); statErr == nil {
				t.Fatalf("crash at %d: there after the second Remove", n)
			}
		}
		if err == nil {
			return
		}
	}
}
