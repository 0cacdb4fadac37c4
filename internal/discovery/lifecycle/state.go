package lifecycle

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// The plaintext of a stored record begins with its label, which says what it is
// once it is opened.
const (
	labelRecord   = "record"
	labelMeta     = "meta"
	labelPrivate  = "private"
	labelReported = "reported"
	labelQuestion = "question"
)

// An item names what is stored: a label, and which one of its kind.
type item struct {
	label string
	part  string // key of a record, number of a chunk, day and number, name of a question
}

func (v *vault) key(i item) string {
	if i.label == labelRecord {
		return i.part
	}
	return v.name(i.label, i.part)
}

func wrap(i item, data []byte) []byte {
	b := make([]byte, 0, 4+len(i.label)+len(i.part)+len(data))
	for _, s := range []string{i.label, i.part} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return append(b, data...)
}

func unwrap(b []byte) (item, []byte, error) {
	var parts [2]string
	for i := range parts {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return item{}, nil, ErrStore
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		parts[i], b = string(b[2:n]), b[n:]
	}
	return item{parts[0], parts[1]}, b, nil
}

// A part holds the items of one label.
type part interface {
	// encode returns what is to be stored of an item, nil if it is to be removed.
	encode(name string) ([]byte, error)
	// restore takes a stored item. It returns ErrStore if it makes no sense.
	restore(name string, data []byte) error
}

// A journal stores what the parts of an engine change.
type journal struct {
	store Store
	vault *vault
	parts map[string]part // by label
	dirty []item
}

// touch marks an item as changed; commit will store it.
func (j *journal) touch(label, name string) {
	i := item{label, name}
	if !slices.Contains(j.dirty, i) {
		j.dirty = append(j.dirty, i)
	}
}

// commit stores what changed, in one step. After an error it stays changed,
// and the next commit tries again.
func (j *journal) commit(ctx context.Context) error {
	if len(j.dirty) == 0 {
		return nil
	}
	changes := make([]Change, 0, len(j.dirty))
	for _, i := range j.dirty {
		key := j.vault.key(i)
		data, err := j.encode(i)
		if err != nil {
			return fmt.Errorf("storing the state of the engine: %w", err)
		}
		if data == nil {
			changes = append(changes, Change{Key: key})
			continue
		}
		sealed, err := j.vault.seal(key, wrap(i, data))
		if err != nil {
			return fmt.Errorf("storing the state of the engine: %w", err)
		}
		changes = append(changes, Change{key, sealed})
	}
	if err := j.store.Apply(ctx, changes); err != nil {
		return fmt.Errorf("storing the state of the engine: %w", err)
	}
	j.dirty = j.dirty[:0]
	return nil
}

func (j *journal) encode(i item) ([]byte, error) {
	p := j.parts[i.label]
	if p == nil {
		return nil, errors.New("an item of no kind")
	}
	return p.encode(i.part)
}

// load reads the store. Whatever does not open or makes no sense is an error:
// going on without it could forget what is private.
func (j *journal) load(ctx context.Context) error {
	return j.store.Load(ctx, func(key string, value []byte) error {
		plain, err := j.vault.open(key, value)
		if err != nil {
			return err
		}
		i, data, err := unwrap(plain)
		if err != nil || j.vault.key(i) != key || j.parts[i.label] == nil {
			return ErrStore
		}
		return j.parts[i.label].restore(i.part, data)
	})
}

// clear removes all that is stored.
func (j *journal) clear(ctx context.Context) error {
	j.dirty = nil
	if err := j.store.Clear(ctx); err != nil {
		return fmt.Errorf("clearing the store: %w", err)
	}
	return nil
}

// meta is what an engine remembers beside records and filters.
type meta struct {
	Fetched time.Time         `json:"fetched"`           // the last time that something was fetched
	Bundles map[string]uint64 `json:"bundles,omitempty"` // the highest version seen of each series

	updated bool // Bundles must outlast the clearing of the store
}

// admit remembers the version of a bundle, or refuses it as too old.
func (m *meta) admit(b *bundle.Bundle) error {
	if b == nil {
		return nil
	}
	newest := m.Bundles[b.Name()]
	if b.Version() < newest {
		return fmt.Errorf("%w: %s version %d, after %d", bundle.ErrDowngraded, b.Name(), b.Version(), newest)
	}
	m.Bundles[b.Name()] = b.Version()
	return nil
}

func (m *meta) encode(string) ([]byte, error) { return json.Marshal(m) }

func (m *meta) restore(_ string, data []byte) error {
	var stored meta
	if err := json.Unmarshal(data, &stored); err != nil {
		return ErrStore
	}
	m.Fetched = stored.Fetched
	for series, version := range stored.Bundles {
		m.Bundles[series], m.updated = version, true
	}
	return nil
}
