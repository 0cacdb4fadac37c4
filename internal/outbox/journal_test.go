package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/golden"
	format "github.com/shoal-project/shoal/internal/journal"
	"github.com/shoal-project/shoal/metric/task"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// everyOp has one op of each kind.
func everyOp() []op {
	e := &Entry{
		ID: 7, Task: task.ID{1}, Method: task.Crowd, Owner: "owner", Metric: "m", Destination: "https://x.example", Epoch: 20777, Stage: Waiting,
		At: noon, NotBefore: noon.Add(time.Millisecond), SendBy: noon.Add(time.Hour), NotAfter: noon.Add(2 * time.Hour),
		Attempts: 3, Record: []byte("record"), Recorded: "recorded", Encoded: "encoded",
	}
	sealed := *e
	sealed.ID, sealed.Stage, sealed.Record, sealed.Report = 8, Sealed, nil, []byte("report")
	to := charge{tag{1}, tag{2}, 1000, 2000}
	return []op{
		next{7},
		taskBytes{task.ID{1}, []byte("task")},
		add{e},
		add{&sealed},
		chargeOp{to, 2},
		seal{7, []byte("sealed")},
		schedule{8, noon, 4},
		hold{7},
		prune{1999},
		horizonOp{tag{3}, 5},
		freeze{6},
		count{"", 9},
		count{Expired, 1},
		done{8, "x"},
	}
}

// accumulateOps has one op of each kind that came with what accumulates.
func accumulateOps() []op {
	e := &Entry{
		ID: 17, Task: task.ID{2}, Owner: "owner", Metric: "g", Destination: "https://x.example", Epoch: 20777, Stage: Waiting,
		At: noon, NotBefore: noon.Add(time.Hour), SendBy: noon.Add(2 * time.Hour), NotAfter: noon.Add(3 * time.Hour),
		Record: []byte("zero"), Recorded: "nothing", Encoded: "shares", Method: task.Aggregate,
	}
	again := *e
	again.ID, again.Resealed, again.Stage, again.Report = 18, true, Sealed, []byte("second")
	return []op{
		taskBytes{task.ID{2}, []byte("task 2")},
		addKept{e},
		addKept{&again},
		amend{17, []byte("one"), "once", "shares"},
		seal{17, []byte("first")},
		unseal{17},
		enrol{task.ID{2}, "owner", "g", 1234},
		enrol{task.ID{2}, "owner", "h", 5},
		leave{"owner", "h"},
	}
}

func encodeOps(t testing.TB, ops []op) []byte {
	var b cryptobyte.Builder
	for _, o := range ops {
		encodeOp(&b, o)
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzOps covers what an authentic frame of another version may hold: no input
// panics, and what is read is written back as it was.
func FuzzOps(f *testing.F) {
	for _, o := range everyOp() {
		f.Add(encodeOps(f, []op{o}))
	}
	for _, o := range accumulateOps() {
		f.Add(encodeOps(f, []op{o}))
	}
	f.Add(encodeOps(f, everyOp()))
	f.Fuzz(func(t *testing.T, data []byte) {
		ops, err := decodeOps(data)
		if err != nil {
			return
		}
		again, err := decodeOps(encodeOps(t, ops))
		if err != nil || !reflect.DeepEqual(ops, again) {
			t.Fatalf("read back as %v, %v; want %v", again, err, ops)
		}
		s := newState()
		for _, o := range ops {
			o.apply(s)
		}
	})
}

func TestOpsRoundTrip(t *testing.T) {
	want := append(everyOp(), accumulateOps()...)
	got, err := decodeOps(encodeOps(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	data := encodeOps(t, want[2:3])
	for n := 1; n < len(data); n++ {
		if _, err := decodeOps(data[:n]); !errors.Is(err, errShort) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := decodeOps([]byte{99}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("an unknown change: %v", err)
	}
}

// Threat: a second ciphertext of a record counts it twice.
func TestFirstCiphertextStays(t *testing.T) {
	s := newState()
	for _, o := range []op{everyOp()[2], seal{7, []byte("first")}, seal{7, []byte("second")}} {
		o.apply(s)
	}
	if e := s.entries[7]; string(e.Report) != "first" || e.Record != nil || s.bytes != e.size() {
		t.Errorf("after two seals: %+v, %d bytes", e, s.bytes)
	}
}

// A snapshot is the state again.
func TestSnapshot(t *testing.T) {
	s := newState()
	for _, o := range append(everyOp(), accumulateOps()...) {
		if _, drop := o.(done); !drop {
			o.apply(s)
		}
	}
	again := newState()
	for o := range s.snapshot {
		o.apply(again)
	}
	again.expires = s.expires
	if !reflect.DeepEqual(s, again) {
		t.Errorf("a snapshot of\n%+v reads as\n%+v", s, again)
	}
}

// testJournal returns a journal with a fixed key that holds one frame for each
// op, and its bytes.
func testJournal(t testing.TB, ops []op) (*journal, []byte) {
	key, err := NewKey(bytes.Repeat([]byte{5}, keySize))
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{fs: durable.Mem(), dir: "box", key: key, rand: rand.NewChaCha8([32]byte{1})}
	if err := j.fs.MkdirAll("box", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.write(slices.Values([]op(nil))); err != nil {
		t.Fatal(err)
	}
	f, _, err := j.openFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range ops {
		if err := j.append(f, encodeOps(t, []op{o})); err != nil {
			t.Fatal(err)
		}
	}
	data, err := durable.ReadFile(j.fs, j.name())
	if err != nil {
		t.Fatal(err)
	}
	return j, data
}

// The journal of today is read, and written, by every later version.
func TestGoldenJournal(t *testing.T) {
	testGoldenJournal(t, "testdata/journal.golden", everyOp())
	testGoldenJournal(t, "testdata/journal-gather.golden", accumulateOps())
}

func testGoldenJournal(t *testing.T, name string, ops []op) {
	t.Helper()
	_, file := testJournal(t, ops)
	golden.Equal(t, name, file) // other bytes need a new magic
}

// FuzzJournal changes the bytes of a journal. Whatever is read must be among
// what was written, in its order, and damage must be distinguished from a torn end.
func FuzzJournal(f *testing.F) {
	ops := everyOp()
	_, file := testJournal(f, ops)
	body := file[headerSize:]
	f.Add(uint32(0), []byte{}, uint32(0))
	f.Add(uint32(5), []byte{1}, uint32(0))
	f.Add(uint32(40), []byte("rubbish that is longer than a header"), uint32(100))
	f.Add(uint32(len(body)-3), []byte{0, 0, 0}, uint32(3))
	f.Add(uint32(20), body[:30], uint32(30))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32) {
		j, _ := testJournal(t, nil)
		from := int(at) % (len(body) + 1)
		to := min(len(body), from+int(cut%1024))
		data := slices.Concat(body[:from], patch, body[to:])
		i, lost := 0, 0
		fd, err := j.read(data, func(o op) {
			for i < len(ops) && !reflect.DeepEqual(o, ops[i]) {
				i++
				lost++
			}
			if i == len(ops) {
				t.Fatalf("read %v, which was not written there", o)
			}
			i++
		}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if lost > 0 && len(fd.damaged) == 0 {
			t.Fatalf("%d changes are missing in the middle, and no damage is told", lost)
		}
		if j.end+fd.torn != int64(headerSize+len(data)) {
			t.Fatalf("the end is %d, %d torn, of %d", j.end, fd.torn, len(data))
		}
	})
}

// Threat: a journal that somebody edits, shortens in the middle or reorders.
func TestFramesCannotBeMoved(t *testing.T) {
	ops := everyOp()[:3]
	_, file := testJournal(t, ops)
	body := file[headerSize:]
	var all [][]byte
	for at := 0; at < len(body); {
		_, payload, ok := frames.Decode(body[at:])
		if !ok {
			t.Fatal("cannot parse a good journal")
		}
		end := at + format.NumberedHead + len(payload)
		all = append(all, body[at:end])
		at = end
	}
	for name, data := range map[string][]byte{
		"swapped":  slices.Concat(all[1], all[0], all[2]),
		"repeated": slices.Concat(all[0], all[0], all[1], all[2]),
		"left out": slices.Concat(all[0], all[2]),
	} {
		j, _ := testJournal(t, nil)
		fd, err := j.read(data, func(op) {}, func() {})
		if err != nil || len(fd.damaged) == 0 && name != "repeated" || fd.frames > 3 {
			t.Errorf("%s: %+v, %v", name, fd, err)
		}
	}
}

// damageable returns the files of an outbox in which one report was sealed and
// tried, a second one waits, and commits follow.
func damageable(t *testing.T) durable.FS {
	t.Helper()
	fsys := durable.Mem()
	b, _, err := Open("box", Options{FS: fsys, Clock: clock.NewVirtual(noon)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, r := range []string{"sealed", "waiting", "last"} {
		if r == "last" {
			e, err := b.entry(1)
			if err != nil {
				t.Fatal(err)
			}
			if e, err = b.keep(e, []byte("the first ciphertext")); err != nil || e.Stage != Sealed {
				t.Fatal(e, err)
			}
		}
		if vs, err := b.Add(damageContribution(r)); err != nil || vs[0] != Accepted {
			t.Fatalf("Add = %v, %v", vs, err)
		}
	}
	if err := b.settle(99, ""); err != nil { // so that the frame before is not the last
		t.Fatal(err)
	}
	return fsys
}

func damageContribution(r string) Contribution {
	return Contribution{
		Owner: "o", Metric: "m", Method: task.Crowd, Start: noon.Add(-time.Hour), End: noon.Add(time.Hour), PerEpoch: 10, PerCrowd: 1,
		At: noon, SendBy: noon.Add(2 * time.Hour), NotAfter: noon.Add(3 * time.Hour),
		Reports: []Report{{Record: []byte(r), Crowd: []byte(r)}},
	}
}

// Threat: after a flipped bit on the disk a report is sealed a second time, or
// a cap begins again.
func TestDamageNeverWeakens(t *testing.T) {
	fsys := damageable(t)
	good, err := durable.ReadFile(fsys, "box/journal")
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i := headerSize; i < len(good); i++ {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if err := durable.WriteFile(fsys, "box/journal", bad, 0o600); err != nil {
			t.Fatal(err)
		}
		b, rec, err := Open("box", Options{FS: fsys, Clock: clock.NewVirtual(noon)})
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if rec.Torn == 0 && len(rec.Damaged) != 1 {
			t.Fatalf("byte %d: recovery %+v", i, rec)
		}
		list, err := b.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			kept++
			if e.ID == 1 && (e.Stage != Sealed || string(e.Report) != "the first ciphertext") {
				t.Fatalf("byte %d: a report that may be under way is %v", i, e.Stage)
			}
		}
		for _, r := range []string{"sealed", "waiting", "last"} {
			if vs, err := b.Add(damageContribution(r)); err != nil || vs[0] == Accepted {
				t.Fatalf("byte %d: a second contribution: %v, %v", i, vs, err)
			}
		}
		later := damageContribution("sealed") // the next epoch is as ever
		later.At, later.Start, later.End = noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(2*time.Hour)
		if vs, err := b.Add(later); err != nil || vs[0] != Accepted {
			t.Fatalf("byte %d: the next epoch: %v, %v", i, vs, err)
		}
		_ = b.Close()
		again, rec, err := Open("box", Options{FS: fsys})
		if err != nil || rec.Damaged != nil {
			t.Fatalf("byte %d: the repaired journal: %+v, %v", i, rec, err)
		}
		_ = again.Close()
	}
	if kept < len(good) { // on average more than one entry is kept
		t.Errorf("only %d entries were kept in %d trials", kept, len(good)-headerSize)
	}
}

func TestDamagedHeaderIsAnError(t *testing.T) {
	fsys := damageable(t)
	good, err := durable.ReadFile(fsys, "box/journal")
	if err != nil {
		t.Fatal(err)
	}
	for i := range headerV1 {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := durable.WriteFile(fsys, "box/journal", bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open("box", Options{FS: fsys}); err == nil {
			t.Fatalf("byte %d: opened", i)
		}
	}
}

// What is removed by the user is gone from the file, and so is the plaintext of
// everything at any time.
func TestAtRest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	b, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := damageContribution("a very secret record")
	c.At = time.Now()
	c.Start, c.End = c.At.Add(-time.Hour), c.At.Add(time.Hour)
	c.SendBy, c.NotAfter = c.End, c.End
	if vs, err := b.Add(c); err != nil || vs[0] != Accepted {
		t.Fatalf("Add = %v, %v", vs, err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(before, []byte("secret")) {
		t.Error("the journal holds plaintext")
	}
	if n, err := b.Drop(func(Entry) bool { return true }); n != 1 || err != nil {
		t.Fatalf("Drop = %d, %v", n, err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if len(after) >= len(before) || bytes.Contains(after, before[headerSize+format.NumberedHead:]) {
		t.Error("what was dropped is still in the journal")
	}
	_ = b.Close()
	for name, want := range map[string]fs.FileMode{"key": 0o600, "journal": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

func TestKeys(t *testing.T) {
	key, err := NewKey(bytes.Repeat([]byte{0x6b}, 32)) // "kkk…"
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(key), fmt.Sprintf("%+v %#v %x %s", key, key, key, *key), key.LogValue().String()} {
		if strings.Contains(s, "kkk") || strings.Contains(s, "6b6b") || strings.Contains(s, "107 107") {
			t.Errorf("a key prints as %s", s)
		}
	}
	if _, err := NewKey(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
	fsys := durable.Mem()
	b, _, err := Open("box", Options{FS: fsys, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	if _, err := fsys.Stat("box/key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file beside a key of the embedder's: %v", err)
	}
	if _, _, err := Open("box", Options{FS: fsys}); !errors.Is(err, errKeyMissing) {
		t.Errorf("without the key: %v", err)
	}
	other, err := NewKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open("box", Options{FS: fsys, Key: other}); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("with another key: %v", err)
	}
	if err := durable.WriteFile(fsys, "box/key", []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open("box", Options{FS: fsys}); err == nil {
		t.Error("a key file of 5 bytes was taken")
	}
}

// The draw of times has no modulo bias: with n two thirds of the range, a plain
// remainder would give the lower half of the numbers twice as often.
func TestUniform(t *testing.T) {
	b := &Box{o: Options{Rand: rand.NewChaCha8([32]byte{9})}}
	const n = 3 << 62
	low := 0
	for range 3000 {
		v, err := b.uniform(n)
		if err != nil || v >= n {
			t.Fatal(v, err)
		}
		if v < 1<<62 {
			low++
		}
	}
	if low < 850 || low > 1150 { // 1000 expected, deviation 26; 1500 with the bias
		t.Errorf("%d of 3000 in the lowest third", low)
	}
	for _, n := range []uint64{1, 2, 3, 5} {
		seen := map[uint64]int{}
		for range 600 {
			v, err := b.uniform(n)
			if err != nil {
				t.Fatal(err)
			}
			seen[v]++
		}
		if uint64(len(seen)) != n {
			t.Errorf("below %d: %v", n, seen)
		}
	}
}

// The journal stays small however long the outbox is used.
func TestCompaction(t *testing.T) {
	fsys := durable.Mem()
	b, _, err := Open("box", Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range 3000 {
		at := noon.Add(time.Duration(i) * 10 * time.Minute)
		c := damageContribution("a record of some length, as records are")
		c.At, c.Start, c.End = at, at, at.Add(time.Minute)
		c.SendBy, c.NotAfter = at.Add(time.Hour), at.Add(time.Hour)
		if vs, err := b.Add(c); err != nil || vs[0] != Accepted {
			t.Fatalf("Add = %v, %v", vs, err)
		}
		info, err := fsys.Stat("box/journal")
		if err != nil || info.Size() > 128<<10 {
			t.Fatalf("after %d records the journal has %d bytes, %v", i, info.Size(), err)
		}
	}
	st, err := b.Stats()
	if err != nil || st.Dropped[Expired] < 2900 || st.Waiting > 7 {
		t.Errorf("Stats = %+v, %v", st, err)
	}
}
