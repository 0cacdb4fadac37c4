// Package spent is the append-only list of what can be used once: invitations of the
// credentials of a period, presentations that were shown with a request.
//
//	list, err := spent.Open(fs, "…/issued")
//	err = list.Spend(spent.RowOf(tag, request)) // ErrSpent: with another request
//
// A row holds hashes of a tag and of what it was spent on. To append it is the
// compare-and-swap: of rows with one tag the first is taken, its repetition is no error,
// and any other fails with [ErrSpent]. A row is in the list when it is durable; callers
// at the same time share one sync. After a failure of the disk with the process alive
// nothing is known of the file: the next row replaces it by what is durable.
//
// What a crash has left of the last write is cut. If it has its whole length and a wrong
// checksum, it may as well be rows that were durable and that the disk has damaged: they
// are cut, too, since without them nothing could be spent any more, and counted ([List.Cut]).
//
// The lists of DAP's aggregators are in their databases, in the transaction that counts:
// see [github.com/shoal-project/shoal/internal/dap/ledger].
//
// # Security
//
// Hashes are cut to 128 bits. A party that chooses tags gains nothing by two that collide: the
// second one is refused. Two requests that collide, 2^64 hashes of work, are taken
// for one. Delete a list only together with the key under which its tags are valid, and
// keep it out of backups: an older copy lets tags be spent again.
//
// # Compatibility
//
// [Open] reads the lists of issuers before 2026-12, rows with a checksum each and no
// frames, and writes them as this version does.
package spent

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

var (
	// ErrSpent means that a tag was spent on something else.
	ErrSpent = errors.New("it was used for something else")
	// ErrDamaged means that rows that were durable cannot be read.
	ErrDamaged = errors.New("the list of what was used is damaged")
)

// A Row is a tag and what it was spent on. Both are hashes.
type Row struct{ Tag, On [16]byte }

// RowOf returns the row of a tag that is spent on something.
func RowOf(tag, on []byte) Row {
	t, o := sha256.Sum256(tag), sha256.Sum256(on)
	return Row{[16]byte(t[:]), [16]byte(o[:])}
}

const (
	rowSize  = 16 + 16
	maxGroup = 1 << 15 // rows
)

// frames is the layout of the file: one frame for each group of rows that was synced
// at once.
var frames = journal.Format{Min: rowSize, Max: maxGroup * rowSize}

// A List is a list in a file. It is safe for concurrent use; no other process may have
// it open.
type List struct {
	fs   durable.FS
	name string

	mu   sync.Mutex
	by   map[[16]byte]entry
	next *group // that later rows join

	io   sync.Mutex // held by the one that writes
	file durable.File
	end  int64
	cut  int // rows; set by Open alone
}

type entry struct {
	on    [16]byte
	group *group // until it is durable
}

// A group is written at once.
type group struct {
	rows []Row
	done chan struct{}
	err  error
}

// Open opens the list in a file, which it makes if it is not there. It fails with
// [ErrDamaged].
func Open(fsys durable.FS, name string) (*List, error) {
	l := &List{fs: fsys, name: name, by: map[[16]byte]entry{}}
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l.file = f
	if err := errors.Join(l.read(), fsys.SyncDir(filepath.Dir(name))); err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, err
	}
	return l, nil
}

// Len returns the number of rows.
func (l *List) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.by)
}

// Cut returns how many rows at the end of the file were whole in length and not in
// content when it was opened. A crash may have left them, or the disk has damaged what was
// durable: then these tags can be spent again. Callers report it.
func (l *List) Cut() int { return l.cut }

// read reads all rows.
func (l *List) read() error {
	b, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	if isRows(b) {
		return l.readRows(b)
	}
	if l.end, err = l.readFrames(b); err != nil {
		return err
	}
	if err := l.file.Truncate(l.end); err != nil {
		return err
	}
	return l.file.Sync()
}

// readFrames returns where the last whole frame ends. A torn frame at the end was never
// acknowledged.
func (l *List) readFrames(b []byte) (end int64, err error) {
	for scan := journal.ScanBytes(frames, b); ; {
		payload, gap, err := scan.Next()
		switch {
		case err == io.EOF:
			return end, nil
		case err != nil:
			return 0, err
		case payload == nil && gap.Torn:
			if gap.Frames == 1 { // of the length that it says itself
				l.cut = int(gap.End-gap.Start-journal.Head) / rowSize
			}
			return end, nil
		case payload == nil:
			return 0, fmt.Errorf("%w: at byte %d of %s", ErrDamaged, gap.Start, l.name)
		case len(payload)%rowSize != 0:
			return 0, fmt.Errorf("%w: a frame of %d bytes before byte %d of %s", ErrDamaged, len(payload), scan.Offset(), l.name)
		}
		for ; len(payload) > 0; payload = payload[rowSize:] {
			l.by[[16]byte(payload)] = entry{on: [16]byte(payload[16:])}
		}
		end = scan.Offset()
	}
}

// Spend makes a row durable. It fails with [ErrSpent] if the tag was spent on something
// else. After another error it is not known whether the row is there; until the next row
// is taken it may be found so by [Open].
func (l *List) Spend(r Row) error {
	l.mu.Lock()
	if had, ok := l.by[r.Tag]; ok {
		l.mu.Unlock()
		if had.on != r.On {
			return ErrSpent
		}
		return had.group.wait()
	}
	g := l.next
	first := g == nil || len(g.rows) == maxGroup
	if first {
		g = &group{done: make(chan struct{})}
		l.next = g
	}
	g.rows = append(g.rows, r)
	l.by[r.Tag] = entry{r.On, g}
	l.mu.Unlock()
	if !first {
		return g.wait()
	}
	return l.take(g)
}

// take writes a group.
func (l *List) take(g *group) error {
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	if l.next == g { // later rows are in the next group
		l.next = nil
	}
	l.mu.Unlock()
	g.err = l.write(g.rows)
	l.mu.Lock()
	for _, r := range g.rows {
		if g.err != nil {
			delete(l.by, r.Tag)
		} else {
			l.by[r.Tag] = entry{on: r.On}
		}
	}
	l.mu.Unlock()
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
func (l *List) write(rows []Row) error {
	if l.file == nil {
		if err := l.rewrite(); err != nil {
			return fmt.Errorf("writing %s again: %w", l.name, err)
		}
	}
	b := frame(nil, rows)
	_, err := l.file.WriteAt(b, l.end)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil { // what the file holds is not known any more
		err = errors.Join(err, l.file.Close())
		l.file = nil
		return fmt.Errorf("appending to %s: %w", l.name, err)
	}
	l.end += int64(len(b))
	return nil
}

// rewrite replaces the file by what is durable. Rows that failed may be in the old one:
// they got no answer.
func (l *List) rewrite() error {
	var rows []Row
	l.mu.Lock()
	for tag, e := range l.by {
		if e.group == nil {
			rows = append(rows, Row{tag, e.on})
		}
	}
	l.mu.Unlock()
	b := frame(nil, rows)
	if err := durable.WriteFile(l.fs, l.name, b, 0o600); err != nil {
		return err
	}
	f, err := l.fs.OpenFile(l.name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	l.file, l.end = f, int64(len(b))
	return nil
}

// frame appends the frames of rows.
func frame(b []byte, rows []Row) []byte {
	for some := range slices.Chunk(rows, maxGroup) {
		payload := make([]byte, 0, len(some)*rowSize)
		for _, r := range some {
			payload = append(append(payload, r.Tag[:]...), r.On[:]...)
		}
		b = frames.Append(b, payload)
	}
	return b
}

// Close closes the file. Nothing is spent afterwards.
func (l *List) Close() error {
	l.io.Lock()
	defer l.io.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
