package lifecycle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
	format "github.com/shoal-project/shoal/internal/journal"
)

// A FileStore is a Store in a directory of its own. Its one file is a journal:
// a head, then one frame for each Apply, synced before Apply returns. A frame
// that a crash tore is ignored; a damaged one in front of others is an error.
// The journal is rewritten, without what was deleted, once more than half
// of it is stale: until then sealed values that were deleted are still in the
// file, and earlier states of filters, which distinguish noise from what was added.
// It is safe for concurrent use; a directory belongs to one FileStore at a
// time, and is locked where the system has file locks.
type FileStore struct {
	mu      sync.Mutex
	fs      durable.FS
	dir     string
	records map[string][]byte
	live    int64 // bytes of a journal that holds the records only
	end     int64 // of the last good frame
	broken  bool  // the end of the file is unknown: it is rewritten first
	unlock  func() error
}

// The journal:
//
//	head   magic[24]
//	frame  a plain frame of internal/journal, with seed 0 and a payload that is not empty
//	payload: changes, each: key length u8, key, 0 to delete or 1 and value length u32, value
const (
	storeMagic = "shoal discovery store 1\n"
	maxFrame   = 64 << 20
	maxStore   = 256 << 20
	slack      = 256 << 10 // stale bytes that are never worth a new file
)

// OpenFileStore opens the store in a directory, which it makes if it is missing.
// Close ends it.
func OpenFileStore(dir string) (*FileStore, error) {
	if err := durable.OS().MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the discovery store: %w", err)
	}
	unlock, err := durable.TryLock(filepath.Join(dir, "lock"))
	if errors.Is(err, errors.ErrUnsupported) {
		unlock, err = func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the discovery store: %w", err)
	}
	s, err := openFileStore(durable.OS(), dir)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	s.unlock = unlock
	return s, nil
}

// Close gives the directory free. No call may follow.
func (s *FileStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unlock == nil {
		return nil
	}
	unlock := s.unlock
	s.unlock = nil
	return unlock()
}

func openFileStore(fsys durable.FS, dir string) (*FileStore, error) {
	s := &FileStore{fs: fsys, dir: dir, records: make(map[string][]byte)}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the discovery store: %w", err)
	}
	if _, err := fsys.Stat(s.marker()); err == nil {
		return s, s.clear()
	}
	data, err := durable.ReadFile(fsys, s.name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.rewrite()
	case err == nil:
		err = s.read(data)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the discovery store: %w", err)
	}
	return s, nil
}

func (s *FileStore) name() string { return filepath.Join(s.dir, "store") }

// marker is the name of a file that exists while the store is being cleared: what a
// crash interrupts is finished when the store is opened.
func (s *FileStore) marker() string { return filepath.Join(s.dir, "clearing") }

var frames = format.Format{Min: 1, Max: maxFrame}

// errDamaged: frames are missing or cannot be read.
var errDamaged = errors.New("the file is damaged: restore it, or remove it and with it what is known as private")

// read applies the frames of the file.
func (s *FileStore) read(data []byte) error {
	if len(data) > maxStore || len(data) < len(storeMagic) || string(data[:len(storeMagic)]) != storeMagic {
		return errDamaged
	}
	data = data[len(storeMagic):]
	scan := format.ScanBytes(frames, data)
	scan.Open = func(_ uint64, payload []byte) []byte {
		if _, err := parseChanges(payload); err != nil {
			return nil
		}
		return payload
	}
	for {
		payload, gap, err := scan.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if payload == nil {
			// A whole frame that holds no changes was not torn by a crash.
			if _, _, whole := frames.Decode(data[gap.Start:]); whole || !gap.Torn {
				return errDamaged
			}
			s.broken = true // the next Apply must not leave it in front of its own frame
			s.end = int64(len(storeMagic)) + gap.Start
			s.measure()
			return nil
		}
		changes, err := parseChanges(payload)
		if err != nil {
			return err
		}
		apply(s.records, changes)
	}
	s.end = int64(len(storeMagic) + len(data))
	s.measure()
	return nil
}

func encodeFrame(changes []Change) ([]byte, error) {
	b := make([]byte, 0, 1024)
	for _, c := range changes {
		if c.Key == "" || len(c.Key) > maxKeyName {
			return nil, errKeyName
		}
		b = append(b, byte(len(c.Key)))
		b = append(b, c.Key...)
		if c.Value == nil {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.Value)))
		b = append(b, c.Value...)
	}
	if len(b) > maxFrame {
		return nil, errors.New("more than the store takes at once")
	}
	return frames.Append(make([]byte, 0, format.Head+len(b)), b), nil
}

func parseChanges(b []byte) ([]Change, error) {
	var all []Change
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || n > maxKeyName || len(b) < n+2 || b[n+1] > 1 {
			return nil, errDamaged
		}
		c := Change{Key: string(b[1 : n+1])}
		present := b[n+1] == 1
		b = b[n+2:]
		if present {
			if len(b) < 4 || int64(binary.BigEndian.Uint32(b)) > int64(len(b)-4) {
				return nil, errDamaged
			}
			size := int(binary.BigEndian.Uint32(b))
			c.Value = append([]byte{}, b[4:4+size]...)
			b = b[4+size:]
		}
		all = append(all, c)
	}
	return all, nil
}

// measure counts what a journal of the records alone would have.
func (s *FileStore) measure() {
	s.live = int64(len(storeMagic) + format.Head)
	for k, v := range s.records {
		s.live += int64(6 + len(k) + len(v))
	}
}

// Load is Store.Load, in the order of the keys.
func (s *FileStore) Load(ctx context.Context, f func(key string, value []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return load(ctx, s.records, f)
}

// Apply is Store.Apply.
func (s *FileStore) Apply(_ context.Context, changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(changes) == 0 {
		return nil
	}
	encoded, err := encodeFrame(changes)
	if err != nil {
		return fmt.Errorf("writing the discovery store: %w", err)
	}
	if s.broken {
		if err := s.rewrite(); err != nil {
			return fmt.Errorf("writing the discovery store: %w", err)
		}
	}
	if err := s.append(encoded); err != nil {
		s.broken = true
		return fmt.Errorf("writing the discovery store: %w", err)
	}
	apply(s.records, changes)
	s.end += int64(len(encoded))
	s.measure()
	if s.end > 2*s.live+slack {
		if err := s.rewrite(); err != nil {
			s.broken = true // what was asked for is durable; the next Apply tries again
		}
	}
	return nil
}

// append writes behind the last good frame.
func (s *FileStore) append(b []byte) error {
	f, err := s.fs.OpenFile(s.name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(b, s.end); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// rewrite replaces the file by one that holds the records and nothing else.
func (s *FileStore) rewrite() error {
	file := []byte(storeMagic)
	changes := make([]Change, 0, len(s.records))
	for _, k := range slices.Sorted(maps.Keys(s.records)) {
		changes = append(changes, Change{k, s.records[k]})
	}
	if len(changes) > 0 {
		encoded, err := encodeFrame(changes)
		if err != nil {
			return err
		}
		file = append(file, encoded...)
	}
	if err := durable.WriteFile(s.fs, s.name(), file, 0o600); err != nil {
		s.broken = true
		return err
	}
	s.end, s.broken = int64(len(file)), false
	s.measure()
	return nil
}

// Clear is Store.Clear. The old file is overwritten with zeros, as far as the
// file system does that in place, and replaced by an empty one.
func (s *FileStore) Clear(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.records)
	s.broken = true
	if err := durable.WriteFile(s.fs, s.marker(), []byte("clearing\n"), 0o600); err != nil {
		return fmt.Errorf("clearing the discovery store: %w", err)
	}
	return s.clear()
}

func (s *FileStore) clear() error {
	for _, name := range []string{s.name(), s.name() + ".tmp"} {
		if err := s.erase(name); err != nil {
			return fmt.Errorf("clearing the discovery store: %w", err)
		}
	}
	err := s.rewrite()
	if err == nil {
		err = s.fs.Remove(s.marker())
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("clearing the discovery store: %w", err)
	}
	return nil
}

// erase writes zeros over a file, if there is one.
func (s *FileStore) erase(name string) error {
	f, err := s.fs.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < info.Size(); at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), info.Size()-at)], at); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}
