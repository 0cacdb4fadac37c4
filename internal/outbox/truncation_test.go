package outbox

import (
	"bytes"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
)

// Threat: a journal that lost its end (a copy cut short, a disk that was repaired,
// a tool that truncates) gives contribution caps again, or seals again what was
// sent. Only the frame that was being written may go unnoticed, and nothing that
// it held was promised.
func TestTruncationNeverWeakens(t *testing.T) {
	fsys := damageable(t)
	good, err := durable.ReadFile(fsys, "box/journal")
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for n := range len(good) {
		if err := durable.WriteFile(fsys, "box/journal", good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		b, rec, err := Open("box", Options{FS: fsys, Clock: clock.NewVirtual(noon)})
		if err != nil {
			if n >= headerSize {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
			continue // without a header nothing is accepted at all
		}
		opened++
		if len(rec.Damaged) != 1 || rec.Torn != 0 {
			t.Fatalf("cut to %d bytes: recovery %+v, want one stretch of damage", n, rec)
		}
		list, err := b.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Stage != Sealed {
				t.Fatalf("cut to %d bytes: entry %d is %v and would be sealed again", n, e.ID, e.Stage)
			}
		}
		for _, r := range []string{"sealed", "waiting", "last"} {
			if vs, err := b.Add(damageContribution(r)); err != nil || vs[0] == Accepted {
				t.Fatalf("cut to %d bytes: a second contribution of %q: %v, %v", n, r, vs, err)
			}
		}
		_ = b.Close()
	}
	if opened < 100 {
		t.Errorf("only %d truncated journals were opened", opened)
	}
}

// A box that is open while the file is cut behaves like one that is opened later.
func TestTruncationWhileOpen(t *testing.T) {
	fsys := durable.Mem()
	b, _, err := Open("box", Options{FS: fsys, Clock: clock.NewVirtual(noon)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, r := range []string{"one", "two"} {
		if vs, err := b.Add(damageContribution(r)); err != nil || vs[0] != Accepted {
			t.Fatal(vs, err)
		}
	}
	f, err := fsys.OpenFile("box/journal", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(headerSize) + 10); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for range 3 {
		if vs, err := b.Add(damageContribution("one")); err == nil && vs[0] == Accepted {
			t.Fatal("the cap of the crowd was given again")
		}
	}
	if rec := b.Recovery(); len(rec.Damaged) == 0 {
		t.Errorf("recovery %+v, want damage", rec)
	}
}

// Threat: somebody removes the journal and keeps the rest of the folder.
func TestMissingJournalIsDamage(t *testing.T) {
	fsys := damageable(t)
	if err := fsys.Remove("box/journal"); err != nil {
		t.Fatal(err)
	}
	b, rec, err := Open("box", Options{FS: fsys, Clock: clock.NewVirtual(noon)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(rec.Damaged) != 1 {
		t.Errorf("recovery %+v, want damage", rec)
	}
	if vs, err := b.Add(damageContribution("sealed")); err != nil || vs[0] != CapsUnknown {
		t.Fatalf("Add = %v, %v, want %v", vs, err, CapsUnknown)
	}
	next := damageContribution("sealed")
	next.At, next.Start, next.End = noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(2*time.Hour)
	if vs, err := b.Add(next); err != nil || vs[0] != Accepted {
		t.Fatalf("Add in the next epoch = %v, %v", vs, err)
	}
}

// One torn mark is what a crash leaves; without any mark nothing is known.
func TestMarks(t *testing.T) {
	fsys := damageable(t)
	good, err := durable.ReadFile(fsys, "box/journal")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		slots   []int
		damaged bool
	}{
		"none": {nil, false}, "first": {[]int{0}, false}, "second": {[]int{1}, false}, "both": {[]int{0, 1}, true},
	} {
		bad := bytes.Clone(good)
		for _, slot := range c.slots {
			bad[headerV1+slot*markSize+7] ^= 1
		}
		if err := durable.WriteFile(fsys, "box/journal", bad, 0o600); err != nil {
			t.Fatal(err)
		}
		b, rec, err := Open("box", Options{FS: fsys, Clock: clock.NewVirtual(noon)})
		if err != nil || (rec.Damaged != nil) != c.damaged {
			t.Errorf("%s: recovery %+v, %v, want damage: %v", name, rec, err, c.damaged)
			continue
		}
		_ = b.Close()
	}
}

// The journal of version 1 is read, nothing of it is lost, and it becomes one of
// version 2 whose truncation is noticed.
func TestVersion1(t *testing.T) {
	for name, want := range map[string][]op{"journal-v1.golden": everyOp(), "journal-gather-v1.golden": accumulateOps()} {
		file, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		key, err := NewKey(bytes.Repeat([]byte{5}, keySize))
		if err != nil {
			t.Fatal(err)
		}
		o := Options{FS: durable.Mem(), Key: key, Clock: clock.NewVirtual(noon)}
		if err := o.FS.MkdirAll("box", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := durable.WriteFile(o.FS, "box/journal", file, 0o600); err != nil {
			t.Fatal(err)
		}
		b, rec, err := Open("box", o)
		if err != nil || rec.Torn != 0 || rec.Damaged != nil || rec.Dropped != 0 {
			t.Fatalf("%s: recovery %+v, %v", name, rec, err)
		}
		s := newState()
		for _, o := range want {
			o.apply(s)
		}
		s.forgetTasks()
		got, expected := slices.Collect(b.state.snapshot), slices.Collect(s.snapshot)
		if !bytes.Equal(sortedOps(t, got), sortedOps(t, expected)) {
			t.Errorf("%s: the state is not what the old journal held", name)
		}
		_ = b.Close()
		after, err := durable.ReadFile(o.FS, "box/journal")
		if err != nil || !bytes.HasPrefix(after, []byte(magic)) {
			t.Fatalf("%s: the journal was not rewritten: %.16q, %v", name, after, err)
		}
		if err := durable.WriteFile(o.FS, "box/journal", after[:headerSize], 0o600); err != nil {
			t.Fatal(err)
		}
		b, rec, err = Open("box", o)
		if err != nil || rec.Damaged == nil {
			t.Fatalf("%s: a truncated journal: recovery %+v, %v", name, rec, err)
		}
		_ = b.Close()
	}
}

// sortedOps encodes ops in an order of their own: maps have none.
func sortedOps(t *testing.T, ops []op) []byte {
	t.Helper()
	all := make([][]byte, 0, len(ops))
	for _, o := range ops {
		all = append(all, encodeOps(t, []op{o}))
	}
	slices.SortFunc(all, bytes.Compare)
	return bytes.Join(all, nil)
}

// fullFS has room for what is there, and while full for nothing more: files keep
// their blocks and may be overwritten, renamed and removed.
type fullFS struct {
	durable.FS
	full bool
}

func (f *fullFS) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	_, err := f.Stat(name)
	if f.full && err != nil && flag&os.O_CREATE != 0 {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &fullFile{file, f}, nil
}

type fullFile struct {
	durable.File
	fs *fullFS
}

func (f *fullFile) Write(p []byte) (int, error) {
	if f.fs.full {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func (f *fullFile) WriteAt(p []byte, at int64) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if f.fs.full && at+int64(len(p)) > info.Size() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}

// Withdrawing reports must not require freeing space first.
func TestDropOnFullDisk(t *testing.T) {
	disk := &fullFS{FS: durable.Mem()}
	o := Options{FS: disk, Clock: clock.NewVirtual(noon)}
	b, _, err := Open("box", o)
	if err != nil {
		t.Fatal(err)
	}
	big := damageContribution("x")
	big.PerEpoch, big.Reports = 1000, nil
	for i := range 200 { // more than the smallest spare holds
		r := bytes.Repeat([]byte{byte(i)}, 1000)
		big.Reports = append(big.Reports, Report{Record: r, Crowd: r})
	}
	if vs, err := b.Add(big); err != nil || vs[0] != Accepted {
		t.Fatal(vs, err)
	}
	disk.full = true
	late := damageContribution("late")
	late.PerEpoch = big.PerEpoch
	if vs, err := b.Add(late); !durable.IsFull(err) || vs[0] != Failed {
		t.Fatalf("Add on a full disk = %v, %v", vs, err)
	}
	// The second time the old journal's blocks were freed, so that there is room for
	// a spare; this disk stays full, and Drop returns without losing anything.
	if n, err := b.Drop(func(e Entry) bool { return e.Record[0] < 150 }); n != 150 || err != nil {
		t.Fatalf("Drop on a full disk = %d, %v", n, err)
	}
	if _, err := b.Drop(func(e Entry) bool { return e.Record[0] == 150 }); !durable.IsFull(err) {
		t.Fatalf("Drop without a spare: %v, want a full disk", err)
	}
	_ = b.Close()
	disk.full = false
	b, rec, err := Open("box", o)
	if err != nil || rec.Damaged != nil || rec.Torn != 0 {
		t.Fatalf("recovery %+v, %v", rec, err)
	}
	defer b.Close()
	list, err := b.List()
	if err != nil || len(list) != 50 {
		t.Fatalf("%d entries are left, %v, want 50", len(list), err)
	}
	if vs, err := b.Add(big); err != nil || slices.Contains(vs, Accepted) {
		t.Errorf("the caps of dropped reports were given again: %v", err)
	}
	file, err := durable.ReadFile(disk, "box/journal")
	if err != nil || len(file) > 100_000 {
		t.Errorf("the journal has %d bytes, %v: what was dropped is still in it", len(file), err)
	}
}
