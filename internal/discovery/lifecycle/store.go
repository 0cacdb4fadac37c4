package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A Change is a record to put, or to delete if Value is nil.
type Change struct {
	Key   string
	Value []byte
}

// A Store keeps the engine's records. Keys are opaque and values sealed: it
// sees how many records there are, how large, and when they change. One engine
// uses a Store at a time, and calls it from one goroutine at a time.
type Store interface {
	// Load calls f with each record. f must not keep value.
	Load(ctx context.Context, f func(key string, value []byte) error) error
	// Apply makes changes, all of them or none, in the order given. They are
	// durable when it returns nil; after an error some or none may be.
	Apply(ctx context.Context, changes []Change) error
	// Clear removes all records, durably, and what is left of earlier ones.
	Clear(ctx context.Context) error
}

// errKeyName: a key that no engine writes.
var errKeyName = errors.New("a record whose key no engine writes")

// maxKeyName is the length of a record's key.
const maxKeyName = 64

// A MemStore is a Store in memory, for tests, simulations and embedders that
// remember nothing. It is safe for concurrent use.
type MemStore struct {
	mu      sync.Mutex
	records map[string][]byte
}

// NewMemStore returns an empty store.
func NewMemStore() *MemStore { return &MemStore{records: make(map[string][]byte)} }

// Load is Store.Load, in the order of the keys.
func (m *MemStore) Load(ctx context.Context, f func(key string, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return load(ctx, m.records, f)
}

func load(ctx context.Context, records map[string][]byte, f func(key string, value []byte) error) error {
	keys := make([]string, 0, len(records))
	for k := range records {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(k, records[k]); err != nil {
			return err
		}
	}
	return nil
}

// Apply is Store.Apply; what it made is lost with the process.
func (m *MemStore) Apply(_ context.Context, changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.Key == "" || len(c.Key) > maxKeyName {
			return fmt.Errorf("changing the store: %w", errKeyName)
		}
	}
	apply(m.records, changes)
	return nil
}

func apply(records map[string][]byte, changes []Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(records, c.Key)
			continue
		}
		records[c.Key] = slices.Clone(c.Value)
	}
}

// Clear is Store.Clear.
func (m *MemStore) Clear(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.records)
	return nil
}
