package segment

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

// The file "sealed" ends a log and lists its segments:
//
//	8  magic "SHOALEND"
//	   for each segment 8 number, 8 records, 32 SHA-256
//	4  CRC-32C of all before
const (
	sealName  = "sealed"
	sealMagic = "SHOALEND"
	sealEntry = 8 + 8 + sha256.Size
)

func appendSeal(b []byte, segments []*segment) []byte {
	start := len(b)
	b = append(b, sealMagic...)
	for _, s := range segments {
		b = binary.BigEndian.AppendUint64(b, s.number)
		b = binary.BigEndian.AppendUint64(b, uint64(s.records))
		b = append(b, s.digest[:]...)
	}
	return journal.AppendSum(b, start, 0)
}

// parseSeal returns number, records and digest of each segment.
func parseSeal(b []byte) ([]segment, bool) {
	entries := len(b) - len(sealMagic) - 4
	if entries < 0 || entries%sealEntry != 0 || string(b[:len(sealMagic)]) != sealMagic {
		return nil, false
	}
	if !journal.HasSum(b, 0) {
		return nil, false
	}
	var segments []segment
	for e := b[len(sealMagic) : len(b)-4]; len(e) > 0; e = e[sealEntry:] {
		segments = append(segments, segment{
			number:  binary.BigEndian.Uint64(e),
			records: int64(binary.BigEndian.Uint64(e[8:])),
			digest:  [sha256.Size]byte(e[16:]),
		})
	}
	return segments, true
}

// loadSeal finds out whether the log was sealed, and which of its segments have
// gone since.
func (l *Log) loadSeal() ([]Damage, error) {
	path := filepath.Join(l.dir, sealName)
	b, err := durable.ReadFile(l.fs, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.ended, l.sealed = true, true
	l.digest = sha256.Sum256(b)
	listed, ok := parseSeal(b)
	if !ok {
		l.digest = sha256.Sum256(appendSeal(nil, l.segments))
		return []Damage{{File: path, Bytes: int64(len(b)), Records: -1}}, nil
	}
	present := map[uint64]bool{}
	for _, s := range l.segments {
		present[s.number] = true
	}
	var missing []Damage
	for _, s := range listed {
		if !present[s.number] {
			missing = append(missing, Damage{File: l.path(s.number, segSuffix), Records: s.records})
		}
	}
	return missing, nil
}

// Seal ends the log, durably: records that wait are written, and later Append
// calls fail with ErrSealed, also after the log is opened again. After an error
// the log takes no records either until it is opened again, but is not sealed:
// call Seal again. On a sealed log it does nothing.
func (l *Log) Seal() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.ended = true
	l.mu.Unlock()

	l.writing.Lock()
	defer l.writing.Unlock()
	if l.sealed {
		return nil
	}
	if err := l.finishAll(); err != nil {
		return err
	}
	return l.writeSeal()
}

// finishAll writes what waits and seals all segments. It is called with l.writing
// held, when the log takes no more records.
func (l *Log) finishAll() error {
	l.commitPending()
	defer func() {
		if l.active == nil {
			l.closeNote()
		}
	}()
	if l.active != nil {
		if err := l.finish(); err != nil && l.active != nil {
			return err
		}
	}
	for _, s := range l.snapshot() {
		if !s.sealed {
			if err := l.salvage(l.find(s.number)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSeal is called when all segments are sealed. It makes their names
// durable, too.
func (l *Log) writeSeal() error {
	b := appendSeal(nil, l.segments)
	if err := durable.WriteFile(l.fs, filepath.Join(l.dir, sealName), b, filePerm); err != nil {
		return diskError(err)
	}
	l.closeNote()
	_ = l.remove(filepath.Join(l.dir, noteName)) // the list holds more; a note that is left holds nothing else
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true
	l.digest = sha256.Sum256(b)
	return nil
}

// Digest identifies the content of a sealed log: SHA-256 over number, record
// count and SHA-256 of its segments in order. Damage later than the sealing
// does not change it.
func (l *Log) Digest() ([sha256.Size]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sealed {
		return [sha256.Size]byte{}, ErrNotSealed
	}
	return l.digest, nil
}
