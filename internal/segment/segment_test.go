package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

const testDir = "intake/log"

func open(t testing.TB, fsys durable.FS, o Options) (*Log, Recovery) {
	t.Helper()
	o.FS = fsys
	l, r, err := Open(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, r
}

func add(t testing.TB, l *Log, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := l.Append(t.Context(), []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the records and the errors between them.
func read(l *Log) ([]string, []error) {
	var records []string
	var errs []error
	for r, err := range l.Records() {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		records = append(records, string(r))
	}
	return records, errs
}

func wantRecords(t testing.TB, l *Log, want []string) {
	t.Helper()
	got, errs := read(l)
	if len(errs) > 0 {
		t.Fatalf("reading: %v", errs)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("records %.80q, want %.80q", got, want)
	}
	if l.Len() != int64(len(want)) {
		t.Errorf("Len is %d, want %d", l.Len(), len(want))
	}
}

func numbered(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprintf("record %04d %s", i, strings.Repeat("x", i%50)))
	}
	return s
}

func files(t testing.TB, fsys durable.FS) []string {
	t.Helper()
	entries, err := fsys.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAppendAndReopen(t *testing.T) {
	fsys := durable.Mem()
	l, r := open(t, fsys, Options{MaxSegment: 300})
	if r.Records != 0 || r.Torn != 0 || r.Damaged != nil {
		t.Errorf("new log recovered %+v", r)
	}
	want := numbered(0, 40)
	add(t, l, want...)
	wantRecords(t, l, want)
	if err := l.AppendAll(t.Context(), [][]byte{{}, []byte("a"), {}, {0, 0, 0, 0, 0, 0, 0, 0}}); err != nil {
		t.Fatal(err)
	}
	want = append(want, "", "a", "", "\x00\x00\x00\x00\x00\x00\x00\x00")
	wantRecords(t, l, want)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}

	l, r = open(t, fsys, Options{MaxSegment: 300})
	if r.Records != int64(len(want)) || r.Torn != 0 || r.Damaged != nil {
		t.Errorf("recovered %+v", r)
	}
	wantRecords(t, l, want)
	add(t, l, "more")
	wantRecords(t, l, append(want, "more"))
}

func TestSeal(t *testing.T) {
	fsys := durable.Mem()
	l, _ := open(t, fsys, Options{MaxSegment: 300})
	want := numbered(0, 20)
	add(t, l, want...)
	if _, err := l.Digest(); !errors.Is(err, ErrNotSealed) {
		t.Errorf("Digest of an open log: %v", err)
	}
	for range 2 {
		if err := l.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Append(t.Context(), nil); !errors.Is(err, ErrSealed) {
		t.Errorf("Append after Seal: %v", err)
	}
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, l, want)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, fsys) {
		if name != sealName && filepath.Ext(name) != segSuffix {
			t.Errorf("%s is left in a sealed log", name)
		}
	}

	l, _ = open(t, fsys, Options{})
	if err := l.Append(t.Context(), nil); !errors.Is(err, ErrSealed) {
		t.Errorf("Append after Seal and Open: %v", err)
	}
	again, err := l.Digest()
	if err != nil || again != digest {
		t.Errorf("digest %x, %v; want %x", again, err, digest)
	}
	wantRecords(t, l, want)
	if err := l.Seal(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Remove(fsys, testDir); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Stat(testDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestSealEmpty(t *testing.T) {
	fsys := durable.Mem()
	l, _ := open(t, fsys, Options{})
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, r := open(t, fsys, Options{})
	if r.Records != 0 || r.Damaged != nil {
		t.Errorf("recovered %+v", r)
	}
	if _, err := l.Digest(); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	l, _ := open(t, durable.Mem(), Options{MaxRecord: 10, MaxPending: 30})
	if err := l.Append(t.Context(), make([]byte, 11)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append of 11 bytes: %v", err)
	}
	if err := l.AppendAll(t.Context(), [][]byte{nil, make([]byte, 11)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("AppendAll of 11 bytes: %v", err)
	}
	var many [][]byte
	var want []string
	for i := range 20 {
		many = append(many, fmt.Appendf(nil, "%010d", i))
		want = append(want, string(many[i]))
	}
	if err := l.AppendAll(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, l, want)
	if _, _, err := Open("x", Options{FS: durable.Mem(), MaxRecord: -1}); err == nil {
		t.Error("negative MaxRecord accepted")
	}
	if _, _, err := Open("x", Options{}); err == nil {
		t.Error("Open without a file system")
	}
}

// TestConcurrent appends from many goroutines while others read.
func TestConcurrent(t *testing.T) {
	const appenders, each = 64, 40
	l, _ := open(t, durable.Mem(), Options{MaxSegment: 4000, MaxPending: 500})
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			record := make([]byte, 8)
			for i := range each {
				binary.BigEndian.PutUint32(record, uint32(a))
				binary.BigEndian.PutUint32(record[4:], uint32(i))
				if err := l.Append(t.Context(), record); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			for range 20 {
				before := l.Len()
				records, errs := read(l)
				if int64(len(records)) < before || len(errs) > 0 {
					t.Errorf("read %d of %d records, %v", len(records), before, errs)
				}
			}
		})
	}
	wg.Wait()
	last := map[uint32]int{}
	for r, err := range l.Records() {
		if err != nil {
			t.Fatal(err)
		}
		a, i := binary.BigEndian.Uint32(r), int(binary.BigEndian.Uint32(r[4:]))
		if i != last[a] {
			t.Fatalf("appender %d: record %d after %d", a, i, last[a]-1)
		}
		last[a]++
	}
	if l.Len() != appenders*each {
		t.Errorf("%d records", l.Len())
	}
}

// gate blocks Sync until it is opened.
type gate struct {
	durable.FS
	entered, release chan struct{}
}

type gateFile struct {
	durable.File
	gate *gate
}

func (g *gate) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	f, err := g.FS.OpenFile(name, flag, perm)
	return gateFile{f, g}, err
}

func (f gateFile) Sync() error {
	f.gate.entered <- struct{}{}
	<-f.gate.release
	return f.File.Sync()
}

func TestCancel(t *testing.T) {
	g := &gate{durable.Mem(), make(chan struct{}, 10), make(chan struct{})}
	l, _ := open(t, g, Options{MaxPending: 100})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(cancelled, []byte("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("Append with a dead context: %v", err)
	}
	if l.Len() != 0 {
		t.Error("it was appended")
	}

	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	go func() { results <- l.Append(ctx, []byte("waits for the sync")) }()
	<-g.entered
	go func() { results <- l.Append(ctx, make([]byte, 90)) }() // waits for the next commit
	go func() { results <- l.Append(ctx, make([]byte, 90)) }() // or for room in it
	if l.Len() != 0 {
		t.Error("counted before the sync")
	}
	cancel()
	for range 3 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled Append: %v", err)
		}
	}
	close(g.release)
	add(t, l, "after")
	records, _ := read(l)
	if records[len(records)-1] != "after" {
		t.Errorf("last record %q", records[len(records)-1])
	}
}

// TestFull fills the disk at each kind of call: nothing acknowledged is lost,
// and the log goes on by itself.
func TestFull(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "rename", "syncdir", "truncate"} {
		t.Run(op, func(t *testing.T) {
			for seed := range uint64(3) {
				fillUp(t, op, seed, 200)
				fillUp(t, op, seed, 100_000)
			}
		})
	}
}

// fillUp appends while calls of the kind op fail time and again.
func fillUp(t *testing.T, op string, seed uint64, maxSegment int64) {
	disk := crashfs.New(seed)
	full := func(o, _ string) error {
		// Truncate matters after a failed write only.
		if o == op || op == "truncate" && o == "write" {
			return syscall.ENOSPC
		}
		return nil
	}
	l, _ := open(t, disk, Options{MaxSegment: maxSegment})
	var acknowledged []string
	for i := 0; i < 64; i += 4 {
		disk.FailWith(nil)
		if i%20 < 12 {
			disk.FailWith(full)
		}
		group := numbered(i, i+4)
		var records [][]byte
		for _, r := range group[:3] {
			records = append(records, []byte(r))
		}
		err := l.AppendAll(t.Context(), records)
		if err == nil {
			acknowledged = append(acknowledged, group[:3]...)
		} else if !errors.Is(err, ErrFull) || !durable.IsFull(err) {
			t.Fatalf("Append: %v", err)
		}
		disk.FailWith(nil)
		// Shorter than what may have been left of the group.
		if err := l.Append(t.Context(), []byte(group[3][:12])); err != nil {
			t.Fatalf("Append when there is space: %v", err)
		}
		acknowledged = append(acknowledged, group[3][:12])
	}
	crashed := disk.Restart()
	for range 4 {
		checkKept(t, crashed.Restart(), acknowledged)
	}

	// Without a crash the files are whole.
	disk = crashfs.New(seed)
	l, _ = open(t, disk, Options{MaxSegment: maxSegment})
	for i, r := range numbered(0, 12) {
		disk.FailWith(full)
		if i%3 > 0 {
			_ = l.Append(t.Context(), make([]byte, 300)) // may fail; a part may be left
		}
		disk.FailWith(nil)
		add(t, l, r)
	}
	disk.FailWith(nil)
	if err := errors.Join(l.Seal(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, r := open(t, disk, Options{}); r.Damaged != nil || r.Torn != 0 {
		t.Fatalf("recovered %+v", r)
	}
}

// TestFullSeal seals on a full disk and again when there is space, also after a
// restart.
func TestFullSeal(t *testing.T) {
	disk := crashfs.New(1)
	l, _ := open(t, disk, Options{})
	want := numbered(0, 20)
	add(t, l, want...)
	full := func(op, _ string) error {
		if op == "write" || op == "create" {
			return syscall.ENOSPC
		}
		return nil
	}
	disk.FailWith(full)
	if err := l.Seal(); !errors.Is(err, ErrFull) {
		t.Fatalf("Seal: %v", err)
	}
	if err := l.Append(t.Context(), nil); !errors.Is(err, ErrSealed) {
		t.Errorf("Append: %v", err)
	}
	wantRecords(t, l, want)
	disk = disk.Restart()
	disk.FailWith(full)
	l, _ = open(t, disk, Options{})
	wantRecords(t, l, want)
	if err := l.Seal(); !errors.Is(err, ErrFull) {
		t.Fatalf("Seal after the restart: %v", err)
	}
	disk.FailWith(nil)
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, l, want)
	l, _ = open(t, disk.Restart(), Options{})
	wantRecords(t, l, want)
}

// checkKept opens the log on a disk after a restart and checks that each
// acknowledged record is there once, in order.
func checkKept(t testing.TB, fsys durable.FS, acknowledged []string) {
	t.Helper()
	l, r, err := Open(testDir, Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, errs := read(l)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if problem := lost(got, acknowledged); problem != "" {
		t.Fatal(problem)
	}
	if r.Records != int64(len(got)) {
		t.Fatalf("Recovery counts %d records of %d", r.Records, len(got))
	}
}

// lost compares records with those acknowledged, both in strictly ascending
// order.
func lost(got, acknowledged []string) string {
	if !slices.IsSorted(got) {
		return "the order is lost"
	}
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		return "a record is there twice"
	}
	for _, r := range acknowledged {
		if _, ok := slices.BinarySearch(got, r); !ok {
			return fmt.Sprintf("acknowledged record %q is lost", r)
		}
	}
	for _, r := range got {
		if !strings.HasPrefix(r, "record ") || strings.Trim(r[11:], " x") != "" {
			return fmt.Sprintf("%q was never appended", r)
		}
	}
	return ""
}

func TestGolden(t *testing.T) {
	fsys := durable.Mem()
	l, _ := open(t, fsys, Options{MaxRecord: 100, Rand: bytes.NewReader([]byte("twelve bytes"))})
	if err := l.AppendAll(t.Context(), [][]byte{[]byte("first"), {}, []byte("third")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	for file, golden := range map[string]string{"00000001.seg": "segment.golden", sealName: "sealed.golden"} {
		got, err := durable.ReadFile(fsys, filepath.Join(testDir, file))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", golden))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is\n%x, want\n%x, %v", file, got, want, err)
		}
	}
}
