package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// each runs a test on every file system, with a directory to use.
func each(t *testing.T, test func(t *testing.T, fsys durable.FS, dir string)) {
	t.Run("OS", func(t *testing.T) { test(t, durable.OS(), t.TempDir()) })
	for name, fsys := range map[string]durable.FS{"Mem": durable.Mem(), "crashfs": crashfs.New(1)} {
		t.Run(name, func(t *testing.T) {
			if err := fsys.MkdirAll("/tmp/x", 0o700); err != nil {
				t.Fatal(err)
			}
			test(t, fsys, "/tmp/x")
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS, dir string) {
		name := filepath.Join(dir, "f")
		f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		must(t, err)
		if f.Name() != name {
			t.Errorf("name %q", f.Name())
		}
		_, err = f.Write([]byte("hello"))
		must(t, err)
		_, err = f.WriteAt([]byte("J"), 0)
		must(t, err)
		_, err = f.WriteAt([]byte("!"), 7) // leaves a hole
		must(t, err)
		_, err = f.Seek(1, io.SeekStart)
		must(t, err)
		b := make([]byte, 4)
		_, err = io.ReadFull(f, b)
		must(t, err)
		if string(b) != "ello" {
			t.Errorf("read %q", b)
		}
		if n, err := f.ReadAt(b, 6); n != 2 || err != io.EOF || string(b[:2]) != "\x00!" {
			t.Errorf("ReadAt: %q, %v", b[:n], err)
		}
		must(t, f.Truncate(3))
		must(t, f.Truncate(4))
		must(t, f.Sync())
		info, err := f.Stat()
		must(t, err)
		if info.Size() != 4 || info.IsDir() {
			t.Errorf("size %d", info.Size())
		}
		must(t, f.Close())
		if f.Close() == nil || f.Sync() == nil {
			t.Error("a closed file works")
		}
		got, err := durable.ReadFile(fsys, name)
		if err != nil || string(got) != "Jel\x00" {
			t.Errorf("content %q, %v", got, err)
		}

		if _, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("exclusive creation: %v", err)
		}
		f, err = fsys.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		for range 2 {
			_, err = f.Write([]byte("+"))
			must(t, err)
		}
		if _, err := f.Read(b); err == nil {
			t.Error("read a file open for writing")
		}
		must(t, f.Close())
		f, err = fsys.OpenFile(name, os.O_RDONLY, 0)
		must(t, err)
		if _, err := f.Write(b); err == nil {
			t.Error("wrote to a file open for reading")
		}
		must(t, f.Close())
		got, err = durable.ReadFile(fsys, name)
		if err != nil || string(got) != "Jel\x00++" {
			t.Errorf("content %q, %v", got, err)
		}
		f, err = fsys.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		must(t, f.Close())
		if info, err := fsys.Stat(name); err != nil || info.Size() != 0 || info.Name() != "f" {
			t.Errorf("after truncation: %v, %v", info, err)
		}
	})
}

func TestTree(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS, dir string) {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		deep := filepath.Join(a, "b", "c")
		for range 2 {
			must(t, fsys.MkdirAll(deep, 0o700))
		}
		must(t, durable.WriteFile(fsys, filepath.Join(deep, "f"), []byte("1"), 0o600))
		must(t, durable.WriteFile(fsys, b, []byte("2"), 0o600))
		if fsys.MkdirAll(filepath.Join(b, "c"), 0o700) == nil || fsys.MkdirAll(b, 0o700) == nil {
			t.Error("made a directory where a file is")
		}
		if _, err := fsys.Stat(filepath.Join(dir, "none", "f")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat: %v", err)
		}
		if err := fsys.Rename(filepath.Join(dir, "none"), b); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Rename: %v", err)
		}
		if err := fsys.SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("SyncDir: %v", err)
		}
		if fsys.Remove(a) == nil {
			t.Error("removed a full directory")
		}
		must(t, fsys.Rename(b, filepath.Join(deep, "f")))
		if got, err := durable.ReadFile(fsys, filepath.Join(deep, "f")); err != nil || string(got) != "2" {
			t.Errorf("after Rename: %q, %v", got, err)
		}
		must(t, durable.WriteFile(fsys, filepath.Join(a, "z"), nil, 0o600))
		entries, err := fsys.ReadDir(a)
		must(t, err)
		if len(entries) != 2 || entries[0].Name() != "b" || !entries[0].IsDir() || entries[1].Name() != "z" || entries[1].IsDir() {
			t.Errorf("entries %v", entries)
		}
		must(t, fsys.SyncDir(a))
		for range 2 {
			must(t, durable.RemoveAll(fsys, a))
		}
		must(t, durable.RemoveAll(fsys, filepath.Join(dir, "no", "such")))
		if entries, err := fsys.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("left: %v, %v", entries, err)
		}
	})
}

func TestWriteFile(t *testing.T) {
	disk := crashfs.New(1)
	must(t, durable.WriteFile(disk, "f", []byte("old"), 0o600))
	for _, op := range []string{"create", "write", "sync", "rename"} {
		disk.FailWith(func(o, _ string) error {
			if o == op {
				return syscall.ENOSPC
			}
			return nil
		})
		if err := durable.WriteFile(disk, "f", []byte("new"), 0o600); !durable.IsFull(err) {
			t.Errorf("%s: %v", op, err)
		}
		disk.FailWith(nil)
		entries, err := disk.ReadDir(".")
		must(t, err)
		if got, err := durable.ReadFile(disk, "f"); err != nil || string(got) != "old" || len(entries) != 1 {
			t.Errorf("%s failed: content %q, %v, %d files", op, got, err, len(entries))
		}
	}
}

func TestIsFull(t *testing.T) {
	if !durable.IsFull(fmt.Errorf("x: %w", &fs.PathError{Err: syscall.ENOSPC})) || durable.IsFull(io.EOF) || durable.IsFull(nil) {
		t.Error("IsFull is wrong")
	}
}

func TestLock(t *testing.T) {
	if slices.Contains([]string{"js", "wasip1"}, runtime.GOOS) {
		t.Skip("no file locks here")
	}
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := durable.Lock(path)
	must(t, err)
	if _, err := durable.TryLock(path); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second TryLock: %v", err)
	}
	second := make(chan error)
	go func() {
		unlock, err := durable.Lock(path)
		if err == nil {
			err = unlock()
		}
		second <- err
	}()
	must(t, unlock())
	must(t, <-second)
	unlock, err = durable.TryLock(path)
	must(t, err)
	must(t, unlock())
	if _, err := durable.Lock(filepath.Join(t.TempDir(), "none", "lock")); err == nil || !strings.Contains(err.Error(), "lock") {
		t.Errorf("Lock in a missing directory: %v", err)
	}
}

func ExampleWriteFile() {
	fsys := durable.Mem() // durable.OS() in earnest
	if err := durable.WriteFile(fsys, "epoch", []byte("17"), 0o600); err != nil {
		fmt.Println(err)
	}
	data, err := durable.ReadFile(fsys, "epoch")
	fmt.Println(string(data), err)
	// Output: 17 <nil>
}
