package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/durable"
)

// A Record is what a witness keeps of one slot: the signed statement that it
// serves, or, of a slot that is refused, two or more that contradict each other.
type Record struct{ Signed [][]byte }

func (r Record) refused() bool { return len(r.Signed) > 1 }

// A Store keeps records. What it has returned from Put or Refuse survives a crash.
// Several nodes of one witness share one store. Implementations are safe for
// concurrent use.
type Store interface {
	// Get returns the record of a slot, false if the slot has none.
	Get(ctx context.Context, s Slot) (Record, bool, error)
	// Put keeps the signed statement as the record of a slot that has none, and
	// returns the record that the slot has then: another one if there was one.
	Put(ctx context.Context, s Slot, signed []byte) (Record, error)
	// Refuse adds the statements to the record of the slot, so that it is refused.
	Refuse(ctx context.Context, s Slot, signed ...[]byte) error
	// Expire deletes the records of periods that ended before a time, those of refused
	// slots whose periods ended before another.
	Expire(ctx context.Context, before, refused time.Time) error
}

// Files is a [Store] of one file a slot in a directory, for one process. It keeps at most
// [MaxRecords] of a party.
type Files struct {
	fsys durable.FS
	dir  string
	mu   sync.Mutex
	kept map[string]kept // by the name of the file
	of   map[[ed25519.PublicKeySize]byte]int
}

// A kept is what is known of a record without reading it.
type kept struct {
	party   [ed25519.PublicKeySize]byte
	end     int64 // of the period
	refused bool
}

// MaxRecords bounds the records of one party in [Files].
const MaxRecords = 1 << 16

// OpenFiles opens the records in a directory, which it makes if it is missing.
func OpenFiles(dir string) (*Files, error) { return openFiles(durable.OS(), dir) }

func openFiles(fsys durable.FS, dir string) (*Files, error) {
	f := &Files{fsys: fsys, dir: dir, kept: map[string]kept{}, of: map[[ed25519.PublicKeySize]byte]int{}}
	err := fsys.MkdirAll(dir, 0o700)
	var entries []fs.DirEntry
	if err == nil {
		entries, err = fsys.ReadDir(dir)
	}
	for _, e := range entries {
		if err == nil && len(e.Name()) == 2*nameSize {
			err = f.index(filepath.Join(dir, e.Name()))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening records of key statements: %w", err)
	}
	return f, nil
}

// index notes a record that is there. One that is damaged is an error where it is used.
func (f *Files) index(name string) error {
	b, err := durable.ReadFile(f.fsys, name)
	if err != nil {
		return err
	}
	if r, err := parseRecord(b); err == nil {
		f.note(name, r)
	}
	return nil
}

// note notes a record that is written or read.
func (f *Files) note(name string, r Record) {
	s, _, _, err := parseStatement(r.Signed[0])
	if err != nil {
		return
	}
	if _, known := f.kept[name]; !known {
		f.of[s.Slot.Party]++
	}
	f.kept[name] = kept{s.Slot.Party, s.End, r.refused()}
}

// Expire deletes records.
func (f *Files) Expire(_ context.Context, before, refused time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, k := range f.kept {
		limit := before
		if k.refused {
			limit = refused
		}
		if !time.Unix(k.end, 0).Before(limit) {
			continue
		}
		if err := f.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("deleting the record of a key statement: %w", err)
		}
		delete(f.kept, name)
		if f.of[k.party]--; f.of[k.party] == 0 {
			delete(f.of, k.party)
		}
	}
	return nil
}

// nameSize is the bytes of a file's name before they are written in hexadecimal digits.
const nameSize = 16

func (f *Files) name(s Slot) string {
	b := append([]byte(s.Purpose+"\x00"), s.Party[:]...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(s.Start)))
	return filepath.Join(f.dir, hex.EncodeToString(sum[:nameSize]))
}

// Get returns the record of a slot.
func (f *Files) Get(_ context.Context, s Slot) (Record, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(s)
}

func (f *Files) get(s Slot) (Record, bool, error) {
	b, err := durable.ReadFile(f.fsys, f.name(s))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("reading the record of a key statement: %w", err)
	}
	r, err := parseRecord(b)
	return r, err == nil, err
}

// Put keeps the first statement of a slot.
func (f *Files) Put(_ context.Context, s Slot, signed []byte) (Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, found, err := f.get(s); found || err != nil {
		return r, err
	}
	if f.of[s.Party] >= MaxRecords {
		return Record{}, fmt.Errorf("writing the record of a key statement: %w: %d", ErrFull, MaxRecords)
	}
	r := Record{[][]byte{signed}}
	return r, f.write(s, r)
}

// maxEvidence is how many statements of a refused slot are kept.
const maxEvidence = 4

// Refuse adds statements.
func (f *Files) Refuse(_ context.Context, s Slot, signed ...[]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, _, err := f.get(s)
	if err != nil {
		return err
	}
	for _, one := range signed {
		known := slices.ContainsFunc(r.Signed, func(b []byte) bool { return bytes.Equal(b, one) })
		if !known && len(r.Signed) < maxEvidence {
			r.Signed = append(r.Signed, one)
		}
	}
	if !r.refused() {
		return fmt.Errorf("refusing a slot with %d statements, want two", len(r.Signed))
	}
	return f.write(s, r)
}

func (f *Files) write(s Slot, r Record) error {
	var b cryptobyte.Builder
	b.AddUint8(version)
	for _, signed := range r.Signed {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signed) })
	}
	encoded, err := b.Bytes()
	if err == nil {
		err = durable.WriteFile(f.fsys, f.name(s), encoded, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the record of a key statement: %w", err)
	}
	f.note(f.name(s), r)
	return nil
}

// parseRecord reads what write writes.
func parseRecord(b []byte) (Record, error) {
	in := cryptobyte.String(b)
	var v uint8
	var r Record
	if !in.ReadUint8(&v) || v != version {
		return r, fmt.Errorf("record of a key statement: %w: %d bytes", ErrMalformed, len(b))
	}
	for !in.Empty() {
		var signed cryptobyte.String
		if !in.ReadUint24LengthPrefixed(&signed) || len(signed) == 0 || len(signed) > maxSigned || len(r.Signed) == maxEvidence {
			return Record{}, fmt.Errorf("record of a key statement: %w: %d bytes", ErrMalformed, len(b))
		}
		r.Signed = append(r.Signed, signed)
	}
	if len(r.Signed) == 0 {
		return r, fmt.Errorf("record of a key statement: %w: empty", ErrMalformed)
	}
	return r, nil
}
