package randomness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

// A row says which request a tag was spent on. Both are hashes.
type row struct{ tag, request [16]byte }

const (
	rowSize  = 16 + 16
	maxGroup = 1 << 15 // rows
)

// frames is the layout of the file: one frame for each group of rows that was synced
// at once.
var frames = journal.Format{Min: rowSize, Max: maxGroup * rowSize}

func rowOf(tag, request []byte) row {
	t, q := sha256.Sum256(tag), sha256.Sum256(request)
	return row{[16]byte(t[:]), [16]byte(q[:])}
}

var (
	errSpent   = errors.New("the presentation was shown with another request")
	errDamaged = errors.New("the list of spent presentations is damaged")
)

// spent is the append-only list of the tags of one key. A row is in it when it is durable;
// requests at the same time share one sync. It is safe for concurrent use.
type spent struct {
	fs   durable.FS
	name string

	mu   sync.Mutex
	by   map[[16]byte]entry
	next *group // that later requests join

	io   sync.Mutex // held by the one that writes
	file durable.File
	end  int64
}

type entry struct {
	request [16]byte
	group   *group // until it is durable
}

// A group is written at once.
type group struct {
	rows []row
	done chan struct{}
	err  error
}

func openSpent(fsys durable.FS, name string) (*spent, error) {
	s := &spent{fs: fsys, name: name, by: map[[16]byte]entry{}}
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s.file = f
	if err := errors.Join(s.read(), fsys.SyncDir(filepath.Dir(name))); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// read reads all rows. A torn frame at the end was never acknowledged.
func (s *spent) read() error {
	b, err := io.ReadAll(s.file)
	if err != nil {
		return err
	}
	for scan := journal.ScanBytes(frames, b); ; {
		payload, gap, err := scan.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if payload == nil {
			if !gap.Torn {
				return fmt.Errorf("%w: at byte %d of %s", errDamaged, gap.Start, s.name)
			}
			break
		}
		for ; len(payload) >= rowSize; payload = payload[rowSize:] {
			s.by[[16]byte(payload)] = entry{request: [16]byte(payload[16:])}
		}
		s.end = scan.Offset()
	}
	if err := s.file.Truncate(s.end); err != nil {
		return err
	}
	return s.file.Sync()
}

// spend makes a row durable. It fails with errSpent if the tag was spent on another
// request.
func (s *spent) spend(r row) error {
	s.mu.Lock()
	if had, ok := s.by[r.tag]; ok {
		s.mu.Unlock()
		if had.request != r.request {
			return errSpent
		}
		return had.group.wait()
	}
	g := s.next
	first := g == nil || len(g.rows) == maxGroup
	if first {
		g = &group{done: make(chan struct{})}
		s.next = g
	}
	g.rows = append(g.rows, r)
	s.by[r.tag] = entry{r.request, g}
	s.mu.Unlock()
	if !first {
		return g.wait()
	}
	s.io.Lock()
	defer s.io.Unlock()
	s.mu.Lock()
	if s.next == g { // later requests are in the next group
		s.next = nil
	}
	s.mu.Unlock()
	g.err = s.write(g.rows)
	s.mu.Lock()
	for _, r := range g.rows {
		if g.err != nil {
			delete(s.by, r.tag)
		} else {
			s.by[r.tag] = entry{request: r.request}
		}
	}
	s.mu.Unlock()
	close(g.done)
	return g.err
}

func (g *group) wait() error {
	if g == nil {
		return nil
	}
	<-g.done
	return g.err
}

// write appends rows. The caller holds io.
func (s *spent) write(rows []row) error {
	if s.file == nil {
		if err := s.rewrite(); err != nil {
			return err
		}
	}
	b := frame(nil, rows)
	_, err := s.file.WriteAt(b, s.end)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil { // what the file holds is not known any more
		err = errors.Join(err, s.file.Close())
		s.file = nil
		return fmt.Errorf("noting a presentation: %w", err)
	}
	s.end += int64(len(b))
	return nil
}

// rewrite replaces the file by what is durable. Rows that failed may be in the old one:
// their requests got no answer.
func (s *spent) rewrite() error {
	var rows []row
	s.mu.Lock()
	for tag, e := range s.by {
		if e.group == nil {
			rows = append(rows, row{tag, e.request})
		}
	}
	s.mu.Unlock()
	b := frame(nil, rows)
	if err := durable.WriteFile(s.fs, s.name, b, 0o600); err != nil {
		return err
	}
	f, err := s.fs.OpenFile(s.name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.file, s.end = f, int64(len(b))
	return nil
}

// frame appends the frames of rows.
func frame(b []byte, rows []row) []byte {
	for some := range slices.Chunk(rows, maxGroup) {
		payload := make([]byte, 0, len(some)*rowSize)
		for _, r := range some {
			payload = append(append(payload, r.tag[:]...), r.request[:]...)
		}
		b = frames.Append(b, payload)
	}
	return b
}

func (s *spent) close() error {
	s.io.Lock()
	defer s.io.Unlock()
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}
