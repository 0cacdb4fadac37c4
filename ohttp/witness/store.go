package witness

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

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
}

// Files is a [Store] of one file a slot in a directory, for one process.
type Files struct {
	fsys durable.FS
	dir  string
	mu   sync.Mutex
}

// OpenFiles opens the records in a directory, which it makes if it is missing.
func OpenFiles(dir string) (*Files, error) { return openFiles(durable.OS(), dir) }

func openFiles(fsys durable.FS, dir string) (*Files, error) {
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening records of key statements: %w", err)
	}
	return &Files{fsys: fsys, dir: dir}, nil
}

func (f *Files) name(s Slot) string {
	b := append([]byte(s.Purpose+"\x00"), s.Party[:]...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(s.Start)))
	return filepath.Join(f.dir, hex.EncodeToString(sum[:16]))
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
	r.Signed = append(r.Signed, signed...)
	r.Signed = r.Signed[:min(len(r.Signed), maxEvidence)]
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
