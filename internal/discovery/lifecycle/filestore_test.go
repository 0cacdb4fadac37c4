package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

func contents(t *testing.T, s Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	if err := s.Load(t.Context(), func(k string, v []byte) error { all[k] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// storeWork makes a sequence of changes and calls acknowledged with the state
// after each that succeeded; before each it calls begun with the state to come.
func storeWork(ctx context.Context, fsys durable.FS, begun, acknowledged func(map[string]string)) error {
	s, err := openFileStore(fsys, "home/discovery")
	if err != nil {
		return err
	}
	state := make(map[string]string)
	if err := s.Load(ctx, func(k string, v []byte) error { state[k] = string(v); return nil }); err != nil {
		return err
	}
	step := func(do func() error, next map[string]string) error {
		begun(next)
		if err := do(); err != nil {
			return err
		}
		state = next
		acknowledged(next)
		return nil
	}
	for i := range 6 {
		next := maps.Clone(state)
		var changes []Change
		for j := range 3 {
			k := fmt.Sprint("key", (i+j)%5)
			if j == 2 {
				delete(next, k)
				changes = append(changes, Change{Key: k})
				continue
			}
			v := strings.Repeat(fmt.Sprint(i, j), 400)
			next[k] = v
			changes = append(changes, Change{k, []byte(v)})
		}
		if err := step(func() error { return s.Apply(ctx, changes) }, next); err != nil {
			return err
		}
		if i == 3 {
			if err := step(func() error { return s.Clear(ctx) }, map[string]string{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// A crash at every call: the store holds what was acknowledged last, or what
// was begun then.
func TestFileStoreCrash(t *testing.T) {
	nothing := func(map[string]string) {}
	disk := crashfs.New(1)
	if err := storeWork(t.Context(), disk, nothing, nothing); err != nil {
		t.Fatal(err)
	}
	calls := disk.Calls()
	if calls < 20 {
		t.Fatalf("%d calls", calls)
	}
	for n := 1; n <= calls; n++ {
		for seed := range uint64(8) {
			disk := crashfs.New(seed)
			disk.CrashAt(n)
			last, next := map[string]string{}, map[string]string{}
			err := storeWork(t.Context(), disk, func(m map[string]string) { next = m }, func(m map[string]string) { last = m })
			if err != nil && !errors.Is(err, crashfs.ErrCrashed) {
				t.Fatalf("call %d: %v", n, err)
			}
			after := disk.Restart()
			s, err := openFileStore(after, "home/discovery")
			if err != nil {
				t.Fatalf("call %d, seed %d: %v", n, seed, err)
			}
			if got := contents(t, s); !maps.Equal(got, last) && !maps.Equal(got, next) {
				t.Fatalf("call %d, seed %d: found %d records, want %d or %d", n, seed, len(got), len(last), len(next))
			}
			if err := s.Apply(t.Context(), []Change{{"after", []byte("x")}}); err != nil {
				t.Fatal(err)
			}
			s, err = openFileStore(after.Restart(), "home/discovery")
			if err != nil || contents(t, s)["after"] != "x" {
				t.Fatalf("call %d, seed %d: after the crash: %v", n, seed, err)
			}
		}
	}
}

// A full disk fails a change and loses nothing; the next one succeeds.
func TestFileStoreFull(t *testing.T) {
	disk := crashfs.New(2)
	s, err := openFileStore(disk, "d")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), []Change{{"a", []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"write", "sync", "open"} {
		disk.FailWith(func(o, _ string) error {
			if o == op {
				return errors.New("full")
			}
			return nil
		})
		if s.Apply(t.Context(), []Change{{"b", []byte("2")}}) == nil {
			t.Fatalf("%s fails and Apply does not", op)
		}
	}
	disk.FailWith(nil)
	if err := s.Apply(t.Context(), []Change{{"c", []byte("3")}}); err != nil {
		t.Fatal(err)
	}
	again, err := openFileStore(disk.Restart(), "d")
	if err != nil {
		t.Fatal(err)
	}
	got := contents(t, again)
	if got["a"] != "1" || got["c"] != "3" {
		t.Errorf("%v", got)
	}
}

// What is stale is removed from the file in the end.
func TestFileStoreShrinks(t *testing.T) {
	mem := durable.Mem()
	s, err := openFileStore(mem, "d")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := s.Apply(t.Context(), []Change{{"k", []byte(strings.Repeat(fmt.Sprint(i%10), 8<<10))}}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := mem.Stat(s.name())
	if err != nil || info.Size() > slack+64<<10 {
		t.Errorf("%d bytes for one record of 8 KiB, %v", info.Size(), err)
	}
}

func TestFileStoreDamage(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.Apply(t.Context(), []Change{{fmt.Sprint("k", i), []byte(strings.Repeat("v", 50))}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenFileStore(dir); err == nil {
		t.Error("two stores in one directory")
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	whole, err := os.ReadFile(s.name())
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := append([]byte{}, whole...)
		bad[at] ^= 1
		if err := os.WriteFile(s.name(), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := openFileStore(durable.OS(), dir)
		last := at >= len(whole)-(len(whole)-len(storeMagic))/3
		if (err == nil) != last {
			t.Fatalf("byte %d of %d flipped: %v", at, len(whole), err)
		}
		if last && len(contents(t, again)) != 2 {
			t.Fatalf("byte %d flipped: %d records", at, len(contents(t, again)))
		}
	}
	if s.Apply(t.Context(), []Change{{"", nil}}) == nil || s.Apply(t.Context(), []Change{{strings.Repeat("k", 65), nil}}) == nil {
		t.Error("a key that no engine writes was accepted")
	}
}

// FuzzFileStore reads whatever file.
func FuzzFileStore(f *testing.F) {
	one, err := encodeFrame([]Change{{"key", []byte("value")}, {Key: "gone"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(storeMagic))
	f.Add(append([]byte(storeMagic), one...))
	f.Add(append(append([]byte(storeMagic), one...), one[:9]...))
	f.Fuzz(func(t *testing.T, file []byte) {
		mem := durable.Mem()
		if err := mem.MkdirAll("d", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := durable.WriteFile(mem, "d/store", file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openFileStore(mem, "d")
		if err != nil {
			return
		}
		before := contents(t, s)
		before["new"] = "x"
		if err := s.Apply(t.Context(), []Change{{"new", []byte("x")}}); err != nil {
			t.Fatal(err)
		}
		if s, err = openFileStore(mem, "d"); err != nil || !maps.Equal(contents(t, s), before) {
			t.Fatalf("read again: %v", err)
		}
	})
}
