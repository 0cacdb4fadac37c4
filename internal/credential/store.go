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

// A store keeps the keys of an issuer, a folder for each slot:
//
//	periods.json       which slots there are, and until when
//	NAME/key           the key and its digest
//	NAME/issued        a row for each credential that was issued
//	NAME/spent/...     of the party that verifies
//
// A key is durable before the list of periods has it, and the list before the key is
// used: a slot that the list names without a key is lost.
type store struct {
	fs  durable.FS
	dir string

	mu      sync.Mutex
	periods map[string]int64 // by name: when the slot is destroyed, in Unix seconds
	lost    map[string]bool
}

// An entry is a slot in the list of periods.
type entry struct {
	Slot  string `json:"slot"`
	Until int64  `json:"until"`
}

func (s *store) index() string               { return filepath.Join(s.dir, "periods.json") }
func (s *store) folder(name string) string   { return filepath.Join(s.dir, name) }
func (s *store) keyFile(name string) string  { return filepath.Join(s.dir, name, "key") }
func (s *store) spentDir(name string) string { return filepath.Join(s.dir, name, "spent") }

// load reads the list of periods and finds what is lost.
func (s *store) load() error {
	s.periods, s.lost = map[string]int64{}, map[string]bool{}
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

func (s *store) lostSlots() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.lost))
}

// read reads a key that the list of periods names.
func (s *store) read(name string) (*arc.PrivateKey, error) {
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
	key, err := arc.ParsePrivateKey(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrLost, err)
	}
	return key, nil
}

// key returns a slot's key, ErrNoKey if it never had one, or ErrLost.
func (s *store) key(name string) (*arc.PrivateKey, error) {
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

// create makes a key durable. What an earlier attempt may have left was never used.
func (s *store) create(name string, key *arc.PrivateKey, until int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := durable.RemoveAll(s.fs, s.folder(name)); err != nil {
		return err
	}
	if err := s.fs.MkdirAll(s.folder(name), 0o700); err != nil {
		return err
	}
	b := key.Bytes()
	sum := sha256.Sum256(b)
	if err := durable.WriteFile(s.fs, s.keyFile(name), append(b, sum[:]...), 0o600); err != nil {
		return err
	}
	s.periods[name] = until
	if err := s.writeIndex(); err != nil {
		delete(s.periods, name)
		return err
	}
	return nil
}

func (s *store) writeIndex() error {
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

// expire destroys what is over, and returns the names.
func (s *store) expire(now int64) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []string
	for name, until := range s.periods {
		if until > now {
			continue
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

// list opens the list of credentials that were issued.
func (s *store) list(name string) (*spent.List, error) {
	l, err := spent.Open(s.fs, filepath.Join(s.folder(name), "issued"))
	if errors.Is(err, spent.ErrDamaged) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lost[name] = true
		return nil, fmt.Errorf("%s: %w: %w", name, ErrLost, err)
	}
	return l, err
}
