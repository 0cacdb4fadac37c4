package segment

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
)

// sealedLog returns a file system with a sealed log of several segments, and
// its records.
func sealedLog(t testing.TB, records []string) durable.FS {
	t.Helper()
	fsys := durable.Mem()
	l, _ := open(t, fsys, Options{MaxSegment: 1000})
	add(t, l, records...)
	if err := errors.Join(l.Seal(), l.Close()); err != nil {
		t.Fatal(err)
	}
	return fsys
}

func patch(t testing.TB, fsys durable.FS, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(testDir, name)
	b, err := durable.ReadFile(fsys, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(fsys, path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFlip flips each byte of a sealed segment in turn: at most the record it
// hits is lost, the damage is reported, and all others are kept.
func TestFlip(t *testing.T) {
	want := numbered(0, 12)
	size := 0
	patch(t, sealedLog(t, want), "00000001.seg", func(b []byte) []byte { size = len(b); return b })
	for i := range size {
		fsys := sealedLog(t, want)
		patch(t, fsys, "00000001.seg", func(b []byte) []byte { b[i] ^= 0x5a; return b })
		l, r, err := Open(testDir, Options{FS: fsys})
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		got, errs := read(l)
		if len(r.Damaged) != 1 || r.Torn != 0 || len(errs) > 0 {
			t.Fatalf("byte %d: recovered %+v, read %v", i, r, errs)
		}
		missing := len(want) - len(got)
		if missing > 1 || int(r.Records) != len(got) || lost(got, got) != "" {
			t.Fatalf("byte %d: %d records of %d", i, len(got), len(want))
		}
		d := r.Damaged[0]
		if d.Records >= 0 && d.Records != int64(missing) || int64(i) < d.Offset || int64(i) >= max(d.Offset+d.Bytes, d.Offset+footerSize) {
			t.Fatalf("byte %d: %d records missing, reported as %v", i, missing, d)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCut cuts a sealed segment and an open one at each length.
func TestCut(t *testing.T) {
	want := numbered(0, 12)
	sealed := sealedLog(t, want)
	b, err := durable.ReadFile(sealed, testDir+"/00000001.seg")
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(b) {
		patch(t, sealed, "00000001.seg", func([]byte) []byte { return b[:i] })
		l, r, err := Open(testDir, Options{FS: sealed})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := read(l)
		if len(r.Damaged) == 0 || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("sealed, cut to %d: %d records, %+v", i, len(got), r)
		}
		_ = l.Close()

		open := durable.Mem()
		if err := errors.Join(open.MkdirAll(testDir, 0o700), durable.WriteFile(open, testDir+"/00000001.open", b[:i], 0o600)); err != nil {
			t.Fatal(err)
		}
		l, r, err = Open(testDir, Options{FS: open})
		if err != nil {
			t.Fatal(err)
		}
		again, errs := read(l)
		if !slices.Equal(again, got) || len(r.Damaged) > 0 || len(errs) > 0 {
			t.Fatalf("open, cut to %d: %d records, %+v, %v", i, len(again), r, errs)
		}
		_ = l.Close()
	}
}

func TestMissingSegment(t *testing.T) {
	fsys := sealedLog(t, numbered(0, 60))
	path := filepath.Join(testDir, "00000002.seg")
	if err := fsys.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, r := open(t, fsys, Options{})
	if len(r.Damaged) != 1 || r.Damaged[0].File != path || r.Damaged[0].Records+r.Records != 60 {
		t.Errorf("recovered %+v", r)
	}
}

// TestLaterDamage damages a file while the log is open: reading reports it, and
// goes on behind it.
func TestLaterDamage(t *testing.T) {
	want := numbered(0, 12)
	fsys := sealedLog(t, want)
	l, _ := open(t, fsys, Options{})
	patch(t, fsys, "00000001.seg", func(b []byte) []byte {
		b[bytes.Index(b, []byte("record 0003"))] = 'R'
		return b
	})
	got, errs := read(l)
	var d Damage
	if len(got) != len(want)-1 || len(errs) != 1 || !errors.As(errs[0], &d) || d.Records != 1 {
		t.Fatalf("read %d records, %v", len(got), errs)
	}
	patch(t, fsys, "00000001.seg", func(b []byte) []byte { return b[:len(b)/2] })
	if _, errs = read(l); len(errs) == 0 {
		t.Error("a file cut in half is read without an error")
	}
	if err := fsys.Remove(testDir + "/00000001.seg"); err != nil {
		t.Fatal(err)
	}
	if _, errs = read(l); len(errs) != 1 || !errors.Is(errs[0], os.ErrNotExist) {
		t.Errorf("reading a removed file: %v", errs)
	}
}

// TestForged embeds records of another segment in a record and then damages the
// length before them: they must not come to life. A sender that knew the format
// could otherwise plant records behind the checks of intake.
func TestForged(t *testing.T) {
	other := sealedLog(t, []string{"forged", "forged"})
	segment, err := durable.ReadFile(other, testDir+"/00000001.seg")
	if err != nil {
		t.Fatal(err)
	}
	fsys := sealedLog(t, []string{"first", string(segment), "last"})
	patch(t, fsys, "00000001.seg", func(b []byte) []byte {
		b[headerSize+frameSize+len("first")+1] ^= 1 // the length
		return b
	})
	l, r := open(t, fsys, Options{})
	if got, _ := read(l); !slices.Equal(got, []string{"first", "last"}) || len(r.Damaged) != 1 {
		t.Errorf("records %.40q, %+v", got, r)
	}
}

// TestHostileLengths makes every byte look like the beginning of a record; the
// search for the next one must give up in time.
func TestHostileLengths(t *testing.T) {
	fsys := sealedLog(t, []string{"first"})
	patch(t, fsys, "00000001.seg", func(b []byte) []byte {
		return append(b, bytes.Repeat([]byte{0, 0, 15, 255}, 1<<18)...)
	})
	_, r := open(t, fsys, Options{})
	if r.Records != 1 || len(r.Damaged) == 0 {
		t.Errorf("recovered %+v", r)
	}
}

// FuzzSegment opens a log whose segment holds hostile bytes: it must open, read
// as many records as it counts, in a file of either kind, and give the same
// when it is opened again.
func FuzzSegment(f *testing.F) {
	good, err := os.ReadFile(filepath.Join("testdata", "segment.golden"))
	if err != nil {
		f.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	f.Add([]byte{}, true)
	for range 8 {
		b := bytes.Clone(good)
		b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
		f.Add(b, true)
		f.Add(good[:r.IntN(len(good))], false)
		f.Add(append(good[:len(good)-footerSize:len(good)-footerSize], good[headerSize:]...), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		suffix := openSuffix
		if sealed {
			suffix = segSuffix
		}
		fsys := durable.Mem()
		path := filepath.Join(testDir, fileName(1, suffix))
		if err := errors.Join(fsys.MkdirAll(testDir, 0o700), durable.WriteFile(fsys, path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
		var first []string
		for round := range 2 {
			l, r, err := Open(testDir, Options{FS: fsys, MaxRecord: 100})
			if err != nil {
				t.Fatal(err)
			}
			got, errs := read(l)
			if len(errs) > 0 || int(r.Records) != len(got) || l.Len() != r.Records {
				t.Fatalf("%d records, %+v, %v", len(got), r, errs)
			}
			if round == 1 && !slices.Equal(got, first) {
				t.Fatalf("records %q, then %q", first, got)
			}
			first = got
			if round == 1 {
				if err := l.Append(t.Context(), []byte("more")); err != nil {
					t.Fatal(err)
				}
				if err := l.Seal(); err != nil {
					t.Fatal(err)
				}
				wantRecords(t, l, append(got, "more"))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzSeal opens a log whose list of segments holds hostile bytes.
func FuzzSeal(f *testing.F) {
	good, err := os.ReadFile(filepath.Join("testdata", "sealed.golden"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:20])
	f.Add([]byte(strings.Repeat("x", 60)))
	f.Fuzz(func(t *testing.T, b []byte) {
		listed, ok := parseSeal(b)
		if ok {
			var list []*segment
			for i := range listed {
				list = append(list, &listed[i])
			}
			if !bytes.Equal(appendSeal(nil, list), b) {
				t.Fatal("what was parsed is not what is written")
			}
		}
		fsys := durable.Mem()
		if err := errors.Join(fsys.MkdirAll(testDir, 0o700), durable.WriteFile(fsys, filepath.Join(testDir, sealName), b, 0o600)); err != nil {
			t.Fatal(err)
		}
		l, _ := open(t, fsys, Options{})
		if err := l.Append(t.Context(), nil); !errors.Is(err, ErrSealed) {
			t.Fatalf("a log with a damaged end takes records: %v", err)
		}
	})
}
