package spent

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/journal"
)

const name = "d/list"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func folder(t testing.TB, fs durable.FS) {
	t.Helper()
	must(t, fs.MkdirAll(filepath.Dir(name), 0o700))
}

func open(t testing.TB, fs durable.FS) *List {
	t.Helper()
	l, err := Open(fs, name)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func row(tag, on int) Row { return RowOf(fmt.Append(nil, tag), fmt.Append(nil, "on", on)) }

// TestSpend covers a client that shows what it may use once again: with the same thing it
// is the answer that got lost, with another it is refused, also after a restart.
func TestSpend(t *testing.T) {
	fs := durable.Mem()
	folder(t, fs)
	for range 2 {
		l := open(t, fs)
		must(t, l.Spend(row(1, 1)))
		must(t, l.Spend(row(1, 1)))
		if err := l.Spend(row(1, 2)); !errors.Is(err, ErrSpent) {
			t.Errorf("another use of a tag: %v", err)
		}
		must(t, l.Spend(row(2, 1)))
		if l.Len() != 2 {
			t.Errorf("%d rows, want 2", l.Len())
		}
		must(t, l.Close())
	}
}

// TestConcurrentUses covers a client that shows one tag with many things at once: one of
// them is taken, whatever the order.
func TestConcurrentUses(t *testing.T) {
	fs := durable.Mem()
	folder(t, fs)
	l := open(t, fs)
	for tag := range 20 {
		var mu sync.Mutex
		taken := map[int]bool{}
		var wg sync.WaitGroup
		for on := range 8 {
			for range 2 { // each twice
				wg.Go(func() {
					switch err := l.Spend(row(tag, on)); {
					case err == nil:
						mu.Lock()
						defer mu.Unlock()
						taken[on] = true
					case !errors.Is(err, ErrSpent):
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if len(taken) != 1 {
			t.Fatalf("tag %d was spent on %d things", tag, len(taken))
		}
	}
	must(t, l.Close())
	if again := open(t, fs); again.Len() != 20 {
		t.Errorf("%d rows, want 20", again.Len())
	}
}

// TestCrashes ends the process at each call of the disk: what was taken is in the list
// after the restart, so that no tag is spent twice.
func TestCrashes(t *testing.T) {
	for crash := 1; ; crash++ {
		disk := crashfs.New(uint64(crash))
		folder(t, disk)
		must(t, disk.SyncDir("."))
		disk.CrashAt(crash)
		taken := map[int]bool{}
		if l, err := Open(disk, name); err == nil {
			for tag := range 4 {
				if l.Spend(row(tag, 1)) == nil {
					taken[tag] = true
				}
			}
			_ = l.Close()
		}
		crashed := disk.Crashed()
		for range 4 {
			after := disk.Restart()
			must(t, after.MkdirAll(filepath.Dir(name), 0o700))
			l, err := Open(after, name)
			must(t, err)
			for tag := range taken {
				if err := l.Spend(row(tag, 2)); !errors.Is(err, ErrSpent) {
					t.Fatalf("crash %d: tag %d was spent twice: %v", crash, tag, err)
				}
			}
			must(t, l.Close())
		}
		if !crashed {
			return
		}
	}
}

// TestFailingDisk covers a disk that fails with the process alive: what failed is not
// spent and can be, what was taken stays, and the file is written again.
func TestFailingDisk(t *testing.T) {
	disk := crashfs.New(1)
	folder(t, disk)
	l := open(t, disk)
	must(t, l.Spend(row(0, 1)))
	broken := errors.New("broken")
	for n, op := range []string{"write", "sync", "open", "rename"} {
		disk.FailWith(func(o, _ string) error {
			if strings.Contains(o, op) {
				return broken
			}
			return nil
		})
		err := l.Spend(row(n+1, 1))
		disk.FailWith(nil)
		if (op == "write" || op == "sync") && !errors.Is(err, broken) {
			t.Errorf("%s fails: %v", op, err)
		}
		must(t, l.Spend(row(n+1, 1)))
		for tag := range n + 2 {
			if err := l.Spend(row(tag, 2)); !errors.Is(err, ErrSpent) {
				t.Errorf("after %s has failed tag %d can be spent again: %v", op, tag, err)
			}
		}
	}
	if again := open(t, disk.Restart()); again.Len() != 5 {
		t.Errorf("%d rows after a restart, want 5", again.Len())
	}
}

// former is a row in the form of before.
func former(tag, on byte) []byte {
	b := bytes.Repeat([]byte{tag}, 16)
	b = append(b, bytes.Repeat([]byte{on}, 32)...)
	return journal.AppendSum(b, 0, 0)
}

func rowOfFormer(tag, on byte) Row {
	return Row{[16]byte(bytes.Repeat([]byte{tag}, 16)), [16]byte(bytes.Repeat([]byte{on}, 16))}
}

// TestFormerLists covers an organisation that installs this version in the middle of a
// period: invitations that were used stay used, also if it crashes while the list is
// written in the new form.
func TestFormerLists(t *testing.T) {
	torn := former(3, 3)
	content := append(append(former(1, 1), former(2, 2)...), torn[:20]...)
	for crash := 1; ; crash++ {
		disk := crashfs.New(uint64(crash))
		folder(t, disk)
		must(t, durable.WriteFile(disk, name, content, 0o600))
		must(t, disk.SyncDir("."))
		disk.CrashAt(crash)
		if l, err := Open(disk, name); err == nil {
			_ = l.Spend(rowOfFormer(4, 4))
			_ = l.Close()
		}
		crashed := disk.Crashed()
		l := open(t, disk.Restart())
		for _, tag := range []byte{1, 2} {
			must(t, l.Spend(rowOfFormer(tag, tag)))
			if err := l.Spend(rowOfFormer(tag, 9)); !errors.Is(err, ErrSpent) {
				t.Fatalf("crash %d: tag %d of a list of before: %v", crash, tag, err)
			}
		}
		must(t, l.Spend(rowOfFormer(3, 9))) // the torn one was never acknowledged
		if !crashed {
			return
		}
	}
}

// TestDamage covers a disk that loses rows that were durable: the list must not open as
// if they had never been.
func TestDamage(t *testing.T) {
	frames := frame(frame(nil, []Row{row(1, 1)}), []Row{row(2, 1)})
	rows := append(former(1, 1), former(2, 2)...)
	for what, b := range map[string][]byte{"frames": frames, "rows of before": rows} {
		for _, at := range []int{0, 9, len(b)/2 - 1} {
			fs := durable.Mem()
			folder(t, fs)
			damaged := bytes.Clone(b)
			damaged[at] ^= 0x40
			must(t, durable.WriteFile(fs, name, damaged, 0o600))
			if l, err := Open(fs, name); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s with byte %d changed: %v", what, at, err)
				if err == nil {
					_ = l.Close()
				}
			}
		}
	}
}

// FuzzOpen: a file of any bytes opens or is damaged, and takes a row after that.
func FuzzOpen(f *testing.F) {
	f.Add(frame(nil, []Row{row(1, 1), row(2, 2)}))
	f.Add(append(former(1, 1), former(2, 2)...))
	f.Add(bytes.Repeat([]byte{7}, 3*formerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := durable.Mem()
		folder(t, fs)
		must(t, durable.WriteFile(fs, name, b, 0o600))
		l, err := Open(fs, name)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		n := l.Len()
		must(t, l.Spend(Row{[16]byte{9, 9}, [16]byte{1}}))
		must(t, l.Close())
		again, err := Open(fs, name)
		if err != nil || again.Len() != n+1 {
			t.Errorf("%d rows, then %v", n, err)
		}
	})
}

// BenchmarkSpend is one row on a disk, alone and with others at the same time.
func BenchmarkSpend(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			l, err := Open(durable.OS(), filepath.Join(b.TempDir(), "list"))
			must(b, err)
			defer l.Close()
			var mu sync.Mutex
			n := 0
			b.SetParallelism(parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mu.Lock()
					n++
					r := row(n, 1)
					mu.Unlock()
					if err := l.Spend(r); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
