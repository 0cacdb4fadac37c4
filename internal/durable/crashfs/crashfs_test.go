package crashfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

const (
	dir   = "d"
	name  = "d/f"
	older = "the older content of the file"
	newer = "the newer content, which is longer than one sector: "
)

func content() string { return newer + fmt.Sprintf("%0600d", 7) }

// writer makes name hold content() and returns nil when it believes that to be
// durable.
type writer func(fsys durable.FS) error

func put(fsys durable.FS, file string, sync bool) error {
	f, err := fsys.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(content())); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

func replace(syncFile, syncDir bool) writer {
	return func(fsys durable.FS) error {
		if err := put(fsys, name+".new", syncFile); err != nil {
			return err
		}
		if err := fsys.Rename(name+".new", name); err != nil {
			return err
		}
		if !syncDir {
			return nil
		}
		return fsys.SyncDir(dir)
	}
}

// broken runs w with a crash at each of its calls and in several outcomes, and
// describes the first one in which a promise is broken.
func broken(t *testing.T, w writer, existing bool) string {
	t.Helper()
	for seed := range uint64(8) {
		for n := 1; ; n++ {
			disk := crashfs.New(seed)
			if err := disk.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if existing {
				if err := durable.WriteFile(disk, name, []byte(older), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			disk.CrashAt(n)
			err := w(disk)
			acknowledged := err == nil
			if !acknowledged && !errors.Is(err, crashfs.ErrCrashed) {
				t.Fatal(err)
			}
			for range 6 {
				after := disk.Restart()
				got, err := durable.ReadFile(after, name)
				if acknowledged && string(got) != content() {
					return fmt.Sprintf("crash at %d: acknowledged, but found %.30q, %v", n, got, err)
				}
				if existing && string(got) != older && string(got) != content() {
					return fmt.Sprintf("crash at %d: neither old nor new: %.30q, %v", n, got, err)
				}
			}
			if acknowledged {
				break // the crash came after the end, too
			}
		}
	}
	return ""
}

// TestDouble proves that the double finds the mistakes it exists for: a writer
// that does all is clean, and one that forgets any step is caught.
func TestDouble(t *testing.T) {
	tests := []struct {
		name     string
		writer   writer
		existing bool
		correct  bool
	}{
		{"write, sync, rename, sync directory", replace(true, true), true, true},
		{"durable.WriteFile", func(f durable.FS) error { return durable.WriteFile(f, name, []byte(content()), 0o600) }, true, true},
		{"create, sync, sync directory", func(f durable.FS) error {
			if err := put(f, name, true); err != nil {
				return err
			}
			return f.SyncDir(dir)
		}, false, true},
		{"no sync before the rename", replace(false, true), true, false},
		{"no sync of the directory", replace(true, false), true, false},
		{"no sync at all", replace(false, false), true, false},
		{"new file without sync of the directory", func(f durable.FS) error { return put(f, name, true) }, false, false},
		{"new file without sync", func(f durable.FS) error {
			if err := put(f, name, false); err != nil {
				return err
			}
			return f.SyncDir(dir)
		}, false, false},
		{"overwritten in place", func(f durable.FS) error { return put(f, name, true) }, true, false},
		{"directory synced before the rename", func(f durable.FS) error {
			if err := put(f, name+".new", true); err != nil {
				return err
			}
			if err := f.SyncDir(dir); err != nil {
				return err
			}
			return f.Rename(name+".new", name)
		}, true, false},
		{"removed first", func(f durable.FS) error {
			if err := put(f, name+".new", true); err != nil {
				return err
			}
			if err := f.Remove(name); err != nil {
				return err
			}
			if err := f.Rename(name+".new", name); err != nil {
				return err
			}
			return f.SyncDir(dir)
		}, true, false},
		{"success reported in spite of a failed sync", func(f durable.FS) error {
			f.(*crashfs.FS).FailWith(func(op, _ string) error {
				if op == "sync" {
					return syscall.EIO
				}
				return nil
			})
			if err := replace(true, true)(f); !errors.Is(err, syscall.EIO) {
				return err
			}
			f.(*crashfs.FS).FailWith(nil)
			h, err := f.OpenFile(name+".new", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			// What was to be written then is lost although this succeeds.
			if err := h.Sync(); err != nil {
				return err
			}
			if err := f.Rename(name+".new", name); err != nil {
				return err
			}
			return f.SyncDir(dir)
		}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := broken(t, tt.writer, tt.existing)
			if tt.correct && found != "" {
				t.Error(found)
			}
			if !tt.correct && found == "" {
				t.Error("the mistake was not found")
			}
		})
	}
}

// TestMove checks that a file moved between directories is never lost, and is
// at its new place once both have been synced.
func TestMove(t *testing.T) {
	for seed := range uint64(50) {
		for n := 1; n <= 4; n++ {
			disk := crashfs.New(seed)
			for _, d := range []string{"a", "b"} {
				if err := disk.MkdirAll(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := durable.WriteFile(disk, "a/f", []byte(older), 0o600); err != nil {
				t.Fatal(err)
			}
			disk.CrashAt(n)
			err := disk.Rename("a/f", "b/f")
			if err == nil {
				err = disk.SyncDir("b")
			}
			if err == nil {
				err = disk.SyncDir("a")
			}
			after := disk.Restart()
			_, oldErr := after.Stat("a/f")
			_, newErr := after.Stat("b/f")
			if oldErr != nil && newErr != nil {
				t.Fatalf("seed %d, crash at %d: the file is lost", seed, n)
			}
			if err == nil && (oldErr == nil || newErr != nil) {
				t.Fatalf("seed %d: moved and synced, but: old %v, new %v", seed, oldErr, newErr)
			}
		}
	}
}

// TestDirectories checks that MkdirAll is durable when it returns and that a
// file in a directory that is not is lost.
func TestDirectories(t *testing.T) {
	disk := crashfs.New(1)
	if err := disk.MkdirAll(filepath.Join("a", "b", "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if disk.Calls() != 6 {
		t.Errorf("%d calls, want 6: two for each directory", disk.Calls())
	}
	for range 20 {
		if _, err := disk.Restart().Stat("a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutcomes checks that the outcomes are different and repeatable.
func TestOutcomes(t *testing.T) {
	outcomes := func(seed uint64) []string {
		disk := crashfs.New(seed)
		f, err := disk.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := disk.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := f.Write([]byte(content())); err != nil {
				t.Fatal(err)
			}
		}
		var found []string
		for range 30 {
			b, err := durable.ReadFile(disk.Restart(), "f")
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, string(b))
		}
		return found
	}
	first, second := outcomes(3), outcomes(3)
	distinct := map[string]bool{}
	for i := range first {
		if first[i] != second[i] {
			t.Fatal("equal seeds gave different outcomes")
		}
		distinct[first[i]] = true
	}
	if len(distinct) < 8 {
		t.Errorf("only %d distinct outcomes of 30", len(distinct))
	}
}

// TestFull checks an injected full disk: a part is written, the rest can follow.
func TestFull(t *testing.T) {
	disk := crashfs.New(1)
	f, err := disk.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	disk.FailWith(func(op, _ string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	n, err := f.Write([]byte(content()))
	if !durable.IsFull(err) || n >= len(content()) {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	disk.FailWith(nil)
	if _, err := f.Write([]byte(content())[n:]); err != nil {
		t.Fatal(err)
	}
	got, err := durable.ReadFile(disk, "f")
	if err != nil || string(got) != content() {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}
