package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/spent"
)

// A Store keeps the keys of an issuer and the lists of what was issued under them, by the
// names of slots. What a method has returned nil for is durable. It is safe for concurrent
// use, also by several processes unless it says otherwise.
type Store interface {
	// Key returns the key of a slot. It fails with [ErrNoKey] if the slot never had one,
	// and with [ErrLost].
	Key(slot string) ([]byte, error)
	// Create gives a slot a key until a time, in Unix seconds, unless it has one. It
	// returns the one that the slot has.
	Create(slot string, key []byte, until int64) ([]byte, error)
	// Spend appends a row to the list of a slot, as [spent.List.Spend].
	Spend(slot string, r spent.Row) error
	// Expire destroys the keys and lists of slots whose time has come, and returns their
	// names.
	Expire(now int64) ([]string, error)
	// Lost returns the names of slots that had a key or list, and have it no longer.
	Lost() []string
	// Close releases what the store holds.
	Close() error
}

// files is the store of one process, a folder for each slot:
//
//	periods.json       which slots there are, and until when
//	NAME/key           the key and its digest
//	NAME/issued        a row for each credential that was issued
//	NAME/spent/...     of the party that verifies
//
// A key is durable before the list of periods has it, and the list before the key is
// used: a slot that the list names without a key is lost.
type files struct {
	fs  durable.FS
	dir string

	mu      sync.Mutex
	periods map[string]int64 // by name: when the slot is destroyed, in Unix seconds
	lost    map[string]bool
	lists   map[string]*spent.List // that are open
	cut     int                    // rows that were damaged at the ends of lists
}

// An entry is a slot in the list of periods.
type entry struct {
	Slot  string `json:"slot"`
	Until int64  `json:"until"`
}

// OpenFiles opens the store of one process, which is a folder outside backups.
func OpenFiles(fsys durable.FS, dir string) (Store, error) {
	s := &files{fs: fsys, dir: dir}
	return s, s.load()
}

func (s *files) index() string               { return filepath.Join(s.dir, "periods.json") }
func (s *files) folder(name string) string   { return filepath.Join(s.dir, name) }
func (s *files) keyFile(name string) string  { return filepath.Join(s.dir, name, "key") }
func (s *files) spentDir(name string) string { return filepath.Join(s.dir, name, "spent") }

// load reads the list of periods and finds what is lost.
func (s *files) load() error {
	s.periods, s.lost, s.lists = map[string]int64{}, map[string]bool{}, map[string]*spent.List{}
	if err := s.fs.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	b, err := durable.ReadFile(s.fs, s.index())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all []entry
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("reading %s: %w", s.index(), err)
	}
	for _, e := range all {
		s.periods[e.Slot] = e.Until
		if _, err := s.read(e.Slot); err != nil {
			if !errors.Is(err, ErrLost) {
				return err
			}
			s.lost[e.Slot] = true
		}
	}
	return nil
}

// Lost implements [Store].
func (s *files) Lost() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.lost))
}

// read reads a key that the list of periods names.
func (s *files) read(name string) ([]byte, error) {
	b, err := durable.ReadFile(s.fs, s.keyFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrLost)
	}
	if err != nil {
		return nil, err
	}
	if len(b) != arc.PrivateKeySize+sha256.Size {
		return nil, fmt.Errorf("%s: %w: its file has %d bytes, want %d", name, ErrLost, len(b), arc.PrivateKeySize+sha256.Size)
	}
	body, sum := b[:arc.PrivateKeySize], sha256.Sum256(b[:arc.PrivateKeySize])
	if !bytes.Equal(sum[:], b[arc.PrivateKeySize:]) {
		return nil, fmt.Errorf("%s: %w: its file is damaged", name, ErrLost)
	}
	return body, nil
}

// Key implements [Store].
func (s *files) Key(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrLost)
	}
	if _, ok := s.periods[name]; !ok {
		return nil, ErrNoKey
	}
	key, err := s.read(name)
	if errors.Is(err, ErrLost) {
		s.lost[name] = true
	}
	return key, err
}

// Create implements [Store]. What an earlier attempt may have left was never used.
func (s *files) Create(name string, key []byte, until int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.periods[name]; there {
		return s.read(name)
	}
	if err := durable.RemoveAll(s.fs, s.folder(name)); err != nil {
		return nil, err
	}
	if err := s.fs.MkdirAll(s.folder(name), 0o700); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key)
	if err := durable.WriteFile(s.fs, s.keyFile(name), slices.Concat(key, sum[:]), 0o600); err != nil {
		return nil, err
	}
	s.periods[name] = until
	if err := s.writeIndex(); err != nil {
		delete(s.periods, name)
		return nil, err
	}
	return key, nil
}

func (s *files) writeIndex() error {
	all := make([]entry, 0, len(s.periods))
	for name, until := range s.periods {
		all = append(all, entry{name, until})
	}
	slices.SortFunc(all, compareNames)
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.fs, s.index(), b, 0o600)
}

// Expire implements [Store].
func (s *files) Expire(now int64) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []string
	for name, until := range s.periods {
		if until > now {
			continue
		}
		if l := s.lists[name]; l != nil {
			delete(s.lists, name)
			if err := l.Close(); err != nil {
				return gone, err
			}
		}
		if err := durable.RemoveAll(s.fs, s.folder(name)); err != nil {
			return gone, err
		}
		delete(s.periods, name)
		delete(s.lost, name)
		gone = append(gone, name)
	}
	if len(gone) == 0 {
		return nil, nil
	}
	return gone, s.writeIndex()
}

// Spend implements [Store].
func (s *files) Spend(name string, r spent.Row) error {
	l, err := s.list(name)
	if err != nil {
		return err
	}
	return l.Spend(r)
}

// list returns the list of the credentials that were issued for a slot.
func (s *files) list(name string) (*spent.List, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lists[name]; l != nil {
		return l, nil
	}
	l, err := spent.Open(s.fs, filepath.Join(s.folder(name), "issued"))
	if errors.Is(err, spent.ErrDamaged) {
		s.lost[name] = true
		return nil, fmt.Errorf("%s: %w: %w", name, ErrLost, err)
	}
	if err == nil {
		s.lists[name] = l
		s.cut += l.Cut()
	}
	return l, err
}

func (s *files) cutRows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// Close implements [Store].
func (s *files) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed error
	for name, l := range s.lists {
		failed = errors.Join(failed, l.Close())
		delete(s.lists, name)
	}
	return failed
}
