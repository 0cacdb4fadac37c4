package randomness

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/spent"
	"github.com/shoal-project/shoal/metric/task"
)

// A keyID names a key.
type keyID struct {
	task  task.ID
	epoch task.Epoch
}

// name is the name of the folder.
func (k keyID) name() string {
	return hex.EncodeToString(k.task[:]) + "-" + strconv.FormatUint(uint64(k.epoch), 10)
}

// A held is a key at work.
type held struct {
	key       *voprf.PrivateKey
	announced []byte
	ends      time.Time // when the key is destroyed
	spent     *spent.List
}

// An index is what the file "index" holds: which keys there are, and which were
// destroyed.
type index struct {
	Version int                 `json:"version"`
	Keys    map[string]keyEntry `json:"keys"` // by folder
	// Destroyed has, by task ID, the epoch up to which no key is ever made again.
	Destroyed map[string]uint64 `json:"destroyed"`
}

// A keyEntry is a key that was made. When it ends is kept for tasks that are no longer
// served then.
type keyEntry struct {
	Public string `json:"public"` // hexadecimal
	Ends   int64  `json:"ends"`   // Unix seconds
}

const indexVersion = 1

// A store is the folder of a randomness party. It is not safe for concurrent use.
type store struct {
	fs   durable.FS
	dir  string
	rand io.Reader
	in   index
}

func openStore(fsys durable.FS, dir string, rand io.Reader) (*store, error) {
	s := &store{fs: fsys, dir: dir, rand: rand}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b, err := durable.ReadFile(fsys, s.path("index"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.in = index{Version: indexVersion, Keys: map[string]keyEntry{}, Destroyed: map[string]uint64{}}
		if err := s.unindexed(); err != nil {
			return nil, err
		}
		return s, s.save() // before the first key
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(b, &s.in); err != nil {
		return nil, fmt.Errorf("%s is damaged: remove the folder only if every epoch of its keys has ended: %w", s.path("index"), err)
	}
	if s.in.Version != indexVersion || s.in.Keys == nil || s.in.Destroyed == nil {
		return nil, fmt.Errorf("%s is of version %d, want %d with keys; a newer program is needed", s.path("index"), s.in.Version, indexVersion)
	}
	return s, nil
}

// unindexed refuses a folder with keys and without an index.
func (s *store) unindexed() error {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			return fmt.Errorf("%s has keys, such as %s, and no index: values evaluated under two keys never come together; remove the folder only if every epoch of its keys has ended", s.dir, e.Name())
		}
	}
	return nil
}

func (s *store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *store) save() error {
	b, err := json.Marshal(&s.in)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.fs, s.path("index"), b, 0o600)
}

// lost returns the folders whose keys are indexed and gone.
func (s *store) lost() []string {
	var all []string
	for name := range s.in.Keys {
		if _, err := s.fs.Stat(s.path(name, "key")); errors.Is(err, fs.ErrNotExist) {
			all = append(all, name)
		}
	}
	return all
}

// errLost means a key that was announced and is gone; errDestroyed one whose epoch is over.
var (
	errLost      = errors.New("the key of the epoch is lost")
	errDestroyed = errors.New("the key of the epoch was destroyed")
)

// key returns the key of a task and epoch, which it makes if there never was one and it
// may.
func (s *store) key(k keyID, ends time.Time, may bool) (*voprf.PrivateKey, error) {
	if until, ok := s.in.Destroyed[hex.EncodeToString(k.task[:])]; ok && uint64(k.epoch) <= until {
		return nil, errDestroyed
	}
	want, known := s.in.Keys[k.name()]
	b, err := durable.ReadFile(s.fs, s.path(k.name(), "key"))
	if errors.Is(err, fs.ErrNotExist) {
		if known || !may {
			return nil, errLost
		}
		return s.make(k, ends)
	}
	if err != nil {
		return nil, err
	}
	key, err := voprf.ParsePrivateKey(b)
	if err != nil || known && hex.EncodeToString(key.Public().Bytes()) != want.Public {
		return nil, fmt.Errorf("%w: its file is damaged", errLost)
	}
	if !known { // the process ended before it was indexed; it was never announced
		return key, s.enter(k, key, ends)
	}
	return key, nil
}

func (s *store) make(k keyID, ends time.Time) (*voprf.PrivateKey, error) {
	key, err := voprf.GenerateKey(s.rand)
	if err != nil {
		return nil, err
	}
	if err := s.fs.MkdirAll(s.path(k.name()), 0o700); err != nil {
		return nil, err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(s.fs, s.path(k.name(), "key"), key.Bytes(), 0o600); err != nil {
		return nil, err
	}
	return key, s.enter(k, key, ends)
}

// enter indexes a key durably, before it is used.
func (s *store) enter(k keyID, key *voprf.PrivateKey, ends time.Time) error {
	s.in.Keys[k.name()] = keyEntry{hex.EncodeToString(key.Public().Bytes()), ends.Unix()}
	if err := s.save(); err != nil {
		delete(s.in.Keys, k.name())
		return err
	}
	return nil
}

// destroy overwrites and removes a key and the list of its spent tags. The index says so
// first, so that no crash lets the key be made again.
func (s *store) destroy(k keyID) error {
	id := hex.EncodeToString(k.task[:])
	if until, ok := s.in.Destroyed[id]; !ok || until < uint64(k.epoch) {
		s.in.Destroyed[id] = uint64(k.epoch)
		if err := s.save(); err != nil {
			if ok {
				s.in.Destroyed[id] = until
			} else {
				delete(s.in.Destroyed, id)
			}
			return err
		}
	}
	if err := s.overwrite(s.path(k.name(), "key")); err != nil {
		return err
	}
	if err := durable.RemoveAll(s.fs, s.path(k.name())); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	if _, known := s.in.Keys[k.name()]; !known {
		return nil
	}
	was := s.in.Keys[k.name()]
	delete(s.in.Keys, k.name())
	if err := s.save(); err != nil {
		s.in.Keys[k.name()] = was
		return err
	}
	return nil
}

func (s *store) overwrite(name string) error {
	f, err := s.fs.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, voprf.PrivateKeySize), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ends returns when a key is destroyed. One that is not indexed was never announced, and
// ends at once.
func (s *store) ends(k keyID) time.Time {
	e, ok := s.in.Keys[k.name()]
	if !ok {
		return time.Time{}
	}
	return time.Unix(e.Ends, 0)
}

// parseName reads what [keyID.name] writes.
func parseName(name string) (keyID, bool) {
	const n = 2 * len(task.ID{})
	if len(name) < n+2 || name[n] != '-' {
		return keyID{}, false
	}
	id, err := hex.DecodeString(name[:n])
	if err != nil {
		return keyID{}, false
	}
	e, err := strconv.ParseUint(name[n+1:], 10, 64)
	k := keyID{task.ID(id), task.Epoch(e)}
	return k, err == nil && k.name() == name
}

// folders returns the keys that have a folder or a place in the index.
func (s *store) folders(ctx context.Context) ([]keyID, error) {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Name()] = true
	}
	for name := range s.in.Keys {
		seen[name] = true
	}
	var all []keyID
	for name := range seen {
		if k, ok := parseName(name); ok {
			all = append(all, k)
		}
	}
	return all, ctx.Err()
}
