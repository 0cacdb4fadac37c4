package segment

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

// The file "acknowledged" records how many records each segment of a log had when they
// were acknowledged. Nothing else distinguishes a write that a crash cut short from
// records that the disk has lost, or shows that a segment was there. Integers are big endian:
//
//	header  8  magic "SHOALACK"
//	       20  random salt
//	        4  CRC-32C of the header so far: the seed
//	slot    8  number of the segment, not 0
//	        8  its records
//	        8  their end in the file
//	        4  0
//	        4  CRC-32C of the slot so far, continued from the seed
//
// A slot is written when its records are durable and before they are acknowledged,
// and is never ahead of them. It is not synced each time: what a process has written
// survives its end, and after a loss of power the file may be behind by what the
// system had not written yet. Then less is known, and nothing false.
const (
	noteName  = "acknowledged"
	noteMagic = "SHOALACK"
	slotSize  = 32
)

// A noted is the entry of a segment in the note.
type noted struct {
	number  uint64
	records int64
	size    int64
}

// A note is the open note of a log.
type note struct {
	file durable.File
	seed uint32
	next int64 // the offset of the next slot
	at   int64 // the offset of the active segment's slot

	synced int64 // records of the active segment at the last sync
}

// noteSync is how many records a segment has before its slot is synced.
const noteSync = 64

func newNote(random io.Reader) ([]byte, uint32, error) {
	b := make([]byte, slotSize)
	copy(b, noteMagic)
	if _, err := io.ReadFull(random, b[8:28]); err != nil {
		return nil, 0, err
	}
	seed := journal.Sum(0, b[:28])
	return binary.BigEndian.AppendUint32(b[:28], seed), seed, nil
}

// parseNote returns the entries of a note, and its seed. What is damaged in it is left
// out: it is no data of its own.
func parseNote(b []byte) (all []noted, seed uint32, ok bool) {
	if len(b) < slotSize || string(b[:8]) != noteMagic {
		return nil, 0, false
	}
	if !journal.HasSum(b[:slotSize], 0) {
		return nil, 0, false
	}
	seed = binary.BigEndian.Uint32(b[28:])
	for b = b[slotSize:]; len(b) >= slotSize; b = b[slotSize:] {
		n := noted{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))}
		if !journal.HasSum(b[:slotSize], seed) || n.number == 0 || n.number >= 1<<62 || n.records <= 0 || n.size < 0 {
			continue
		}
		all = append(all, n)
	}
	return all, seed, true
}

func (n noted) append(b []byte, seed uint32) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, n.number)
	b = binary.BigEndian.AppendUint64(b, uint64(n.records))
	b = binary.BigEndian.AppendUint64(b, uint64(n.size))
	b = append(b, 0, 0, 0, 0)
	return journal.AppendSum(b, start, seed)
}

// readNote returns the entries of the note in a directory, by number of the segment.
func readNote(fsys durable.FS, dir string) (map[uint64]noted, error) {
	b, err := durable.ReadFile(fsys, filepath.Join(dir, noteName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, _, _ := parseNote(b)
	found := map[uint64]noted{}
	for _, n := range all {
		found[n.number] = n
	}
	return found, nil
}

// openNote opens the note in a directory, or begins one. Its name is durable after
// a sync of the directory.
func openNote(fsys durable.FS, dir string, random io.Reader) (*note, error) {
	f, err := fsys.OpenFile(filepath.Join(dir, noteName), os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	n, err := beginNote(f, random)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return n, nil
}

func beginNote(f durable.File, random io.Reader) (*note, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, slotSize)
	if info.Size() >= slotSize {
		if _, err := f.ReadAt(head, 0); err != nil {
			return nil, err
		}
		if _, seed, ok := parseNote(head); ok {
			return &note{file: f, seed: seed, next: (info.Size() + slotSize - 1) / slotSize * slotSize}, nil
		}
	}
	head, seed, err := newNote(random)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return nil, err
	}
	return &note{file: f, seed: seed, next: slotSize}, nil
}

// begin gives the segment that grows from now on the next slot.
func (n *note) begin() {
	if n == nil {
		return
	}
	n.at, n.synced = n.next, 0
	n.next += slotSize
}

// write writes the slot. An error costs only what it would have shown.
func (n *note) write(s noted) {
	if n == nil {
		return
	}
	var b [slotSize]byte
	_, _ = n.file.WriteAt(s.append(b[:0], n.seed), n.at)
}

// sync makes the slot durable each time that the records have doubled, and at last:
// seldom enough to cost nothing.
func (n *note) sync(records int64, last bool) {
	if n == nil || records == n.synced || !last && (records < noteSync || records < 2*n.synced) {
		return
	}
	_ = n.file.Sync()
	n.synced = records
}

func (n *note) close() {
	if n != nil {
		_ = n.file.Close()
	}
}

// closeNote is called with l.writing held, when no segment grows any more.
func (l *Log) closeNote() {
	l.note.close()
	l.note = nil
}

// compareNote adds to r what the segments lack of what the note records. A log that is
// sealed has its own list of segments.
func (l *Log) compareNote(said map[uint64]noted, r *Recovery) {
	for _, s := range l.segments {
		n, ok := said[s.number]
		delete(said, s.number)
		if ok && n.records > s.records {
			l.lacks(n, n.records-s.records, r)
		}
	}
	if l.sealed {
		return
	}
	for _, n := range said {
		l.lacks(n, n.records, r)
	}
	slices.SortStableFunc(r.Damaged, func(a, b Damage) int { return strings.Compare(a.File, b.File) })
}

// lacks adds the loss of so many records of a segment, less those that are known.
func (l *Log) lacks(n noted, lost int64, r *Recovery) {
	path := l.path(n.number, segSuffix)
	unknown := -1
	for i, d := range r.Damaged {
		if d.File != path && d.File != l.path(n.number, openSuffix) {
			continue
		}
		if d.Records < 0 {
			unknown = i
		}
		lost -= max(0, d.Records)
	}
	switch {
	case lost <= 0:
	case unknown >= 0:
		r.Damaged[unknown].Records = lost
	default:
		r.Damaged = append(r.Damaged, Damage{File: path, Offset: n.size, Records: lost})
	}
}

// forgetNote removes the note, durably, before segments leave the directory.
func (l *Log) forgetNote(again bool) error {
	err := l.fs.Remove(filepath.Join(l.dir, noteName))
	if errors.Is(err, fs.ErrNotExist) {
		if !again {
			return nil
		}
		err = nil
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	return err
}

// noteSegment notes a whole segment in a directory where no log is open.
func noteSegment(fsys durable.FS, dir string, random io.Reader, s noted) {
	said, err := readNote(fsys, dir)
	if err != nil || said[s.number] == s {
		return
	}
	n, err := openNote(fsys, dir, random)
	if err != nil {
		return
	}
	n.begin()
	n.write(s)
	n.close()
}
