package segment

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// killed returns a file system with an open log as a process that was killed leaves
// it, of about 15 records a segment.
func killed(t *testing.T, records []string) *crashfs.FS {
	t.Helper()
	disk := crashfs.New(1)
	l, _, err := Open(testDir, Options{FS: disk, MaxSegment: 400})
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, records...)
	t.Cleanup(func() { _ = l.Close() })
	copied := crashfs.New(1)
	for _, name := range files(t, disk) {
		b, err := durable.ReadFile(disk, filepath.Join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(copied.MkdirAll(testDir, 0o700), durable.WriteFile(copied, filepath.Join(testDir, name), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return copied
}

// reported is how many records a log and a later opening of it report as lost.
func reported(t *testing.T, fsys durable.FS) (kept, lost int64, torn int64) {
	t.Helper()
	for round := range 2 {
		l, r, err := Open(testDir, Options{FS: fsys})
		if err != nil {
			t.Fatal(err)
		}
		got := int64(0)
		for _, d := range r.Damaged {
			got += max(0, d.Records)
		}
		if round == 1 && (got != lost || r.Records != kept) {
			t.Errorf("first %d records kept and %d lost, then %d and %d", kept, lost, r.Records, got)
		}
		if round == 0 {
			kept, lost, torn = r.Records, got, r.Torn
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return kept, lost, torn
}

// TestLostTail cuts the segment that grew when the process was killed to each
// length, and lets a write that was never acknowledged begin behind it: what was
// acknowledged and is gone is reported to the record, and nothing else is.
func TestLostTail(t *testing.T) {
	want := numbered(0, 40)
	names := files(t, killed(t, want))
	last := ""
	for _, name := range names {
		if strings.HasSuffix(name, openSuffix) {
			last = name
		}
	}
	size := 0
	patch(t, killed(t, want), last, func(b []byte) []byte { size = len(b); return b })
	for cut := 0; cut <= size; cut += 7 {
		fsys := killed(t, want)
		patch(t, fsys, last, func(b []byte) []byte { return b[:min(cut, len(b))] })
		if kept, lost, _ := reported(t, fsys); kept+lost != int64(len(want)) {
			t.Fatalf("cut to %d of %d bytes: %d records kept, %d reported as lost, of %d", cut, size, kept, lost, len(want))
		}
	}
	fsys := killed(t, want)
	patch(t, fsys, last, func(b []byte) []byte { return append(b, 0, 0, 0, 9, 1, 2, 3) })
	if kept, lost, torn := reported(t, fsys); kept != int64(len(want)) || lost != 0 || torn != 7 {
		t.Errorf("a torn write: %d records kept, %d lost, %d bytes torn", kept, lost, torn)
	}
}

// TestLostSegment removes each segment of an open log, and all of them.
func TestLostSegment(t *testing.T) {
	want := numbered(0, 60)
	segments := 0
	for _, name := range files(t, killed(t, want)) {
		if name == noteName {
			continue
		}
		segments++
		fsys := killed(t, want)
		if err := fsys.Remove(filepath.Join(testDir, name)); err != nil {
			t.Fatal(err)
		}
		if kept, lost, _ := reported(t, fsys); lost == 0 || kept+lost != int64(len(want)) {
			t.Errorf("%s is gone: %d records kept, %d reported as lost", name, kept, lost)
		}
	}
	if segments < 3 {
		t.Errorf("%d segments only", segments)
	}
	fsys := killed(t, want)
	for _, name := range files(t, fsys) {
		if name != noteName {
			if err := fsys.Remove(filepath.Join(testDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, lost, _ := reported(t, fsys); lost != int64(len(want)) {
		t.Errorf("all segments are gone: %d reported as lost", lost)
	}
}

// TestNoteGone: without a note, as earlier versions left logs, and with a damaged
// one, nothing is reported that is not so.
func TestNoteGone(t *testing.T) {
	want := numbered(0, 60)
	for name, change := range map[string]func([]byte) []byte{
		"empty": func([]byte) []byte { return nil },
		"short": func(b []byte) []byte { return b[:slotSize+5] },
		"flips": func(b []byte) []byte {
			for i := 3; i < len(b); i += slotSize {
				b[i] ^= 0x40
			}
			return b
		},
		"noise": func(b []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) },
	} {
		fsys := killed(t, want)
		patch(t, fsys, noteName, change)
		if kept, lost, _ := reported(t, fsys); kept != int64(len(want)) || lost != 0 {
			t.Errorf("%s: %d records kept, %d lost", name, kept, lost)
		}
	}
	fsys := killed(t, want)
	if err := fsys.Remove(filepath.Join(testDir, noteName)); err != nil {
		t.Fatal(err)
	}
	if kept, lost, _ := reported(t, fsys); kept != int64(len(want)) || lost != 0 {
		t.Errorf("no note: %d records kept, %d lost", kept, lost)
	}
}

// TestNoteFull: a note that cannot be written keeps no record from being
// acknowledged, and is not wrong afterwards.
func TestNoteFull(t *testing.T) {
	for n := range 12 {
		disk := crashfs.New(uint64(n))
		l, _, err := Open(testDir, Options{FS: disk, MaxSegment: 400})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		disk.FailWith(func(_, name string) error {
			if filepath.Base(name) == noteName {
				if calls++; calls > n {
					return syscall.ENOSPC
				}
			}
			return nil
		})
		add(t, l, numbered(0, 40)...)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		disk.FailWith(nil)
		if kept, lost, _ := reported(t, disk); kept != 40 || lost != 0 {
			t.Errorf("%d calls succeed: %d records kept, %d lost", n, kept, lost)
		}
	}
}

// TestLostAfterSplit removes a segment that a split has moved or written.
func TestLostAfterSplit(t *testing.T) {
	for i := range 2 {
		fsys := durable.Mem()
		filled(t, fsys, "shared/1", 60)
		if err := splitAll(fsys, "shared/1", 1); err != nil {
			t.Fatal(err)
		}
		entries, err := fsys.ReadDir(splitDir(0))
		if err != nil {
			t.Fatal(err)
		}
		if err := fsys.Remove(filepath.Join(splitDir(0), entries[i].Name())); err != nil {
			t.Fatal(err)
		}
		l, r, err := Open(splitDir(0), Options{FS: fsys})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Damaged) != 1 || r.Damaged[0].Records <= 0 {
			t.Errorf("%s is gone: %+v", entries[i].Name(), r)
		}
		_ = l.Close()
	}
}

// FuzzNote opens a log whose note holds hostile bytes: it opens, keeps its records,
// and reports the same when it is opened again.
func FuzzNote(f *testing.F) {
	head, seed, err := newNote(strings.NewReader("twenty bytes of salt"))
	if err != nil {
		f.Fatal(err)
	}
	good := noted{2, 5, 400}.append(noted{1, 12, 300}.append(head, seed), seed)
	f.Add(good)
	f.Add(good[:70])
	f.Add(noted{1<<62 - 1, 1 << 62, 1 << 62}.append(head, seed))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := sealedLog(t, numbered(0, 12))
		if err := errors.Join(fsys.Remove(filepath.Join(testDir, sealName)), durable.WriteFile(fsys, filepath.Join(testDir, noteName), b, 0o600)); err != nil {
			t.Fatal(err)
		}
		var first string
		for round := range 2 {
			l, r, err := Open(testDir, Options{FS: fsys})
			if err != nil {
				t.Fatal(err)
			}
			if r.Records != 12 {
				t.Fatalf("%d records", r.Records)
			}
			text := fmt.Sprint(r)
			if round == 1 && text != first {
				t.Fatalf("first %s, then %s", first, text)
			}
			first = text
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
