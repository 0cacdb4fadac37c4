package segment

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

// segment is one file of the log, as far as its records are durable.
type segment struct {
	number  uint64
	sealed  bool              // else the file is *.open, the active one or one to salvage
	size    int64             // bytes of header and records
	records int64             // readable ones
	gaps    []journal.Gap     // reported by Open already
	digest  [sha256.Size]byte // if sealed
}

func (s *segment) suffix() string {
	if s.sealed {
		return segSuffix
	}
	return openSuffix
}

// load reads the directory, finishes what a crash interrupted, and fills in
// l.segments.
func (l *Log) load() (Recovery, error) {
	found, highest, err := l.list()
	if err != nil {
		return Recovery{}, err
	}
	said, err := readNote(l.fs, l.dir)
	if err != nil {
		return Recovery{}, err
	}
	for number := range said {
		highest = max(highest, number)
	}
	l.nextNumber = highest + 1
	var r Recovery
	for _, number := range slices.Sorted(maps.Keys(found)) {
		if err := l.loadFile(number, found[number], &r); err != nil {
			return r, fmt.Errorf("recovering segment %s: %w", fileName(number, found[number]), err)
		}
	}
	for _, s := range l.segments {
		r.Records += s.records
	}
	l.durable.Store(r.Records)
	missing, err := l.loadSeal()
	r.Damaged = append(r.Damaged, missing...)
	l.compareNote(said, &r)
	return r, err
}

// list finds the segments, by number the suffix that counts, and removes what
// is left of interrupted work.
func (l *Log) list() (map[uint64]string, uint64, error) {
	entries, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return nil, 0, err
	}
	found := map[uint64]string{}
	highest := uint64(0)
	var obsolete []string
	for _, e := range entries {
		number, suffix, ok := parseName(e.Name())
		if !ok {
			continue
		}
		highest = max(highest, number)
		switch {
		case suffix == segSuffix:
			if found[number] == openSuffix { // copied already
				obsolete = append(obsolete, fileName(number, openSuffix))
			}
			found[number] = suffix
		case suffix == openSuffix:
			found[number] = suffix
		case suffix == tmpSuffix:
			obsolete = append(obsolete, e.Name())
		}
	}
	for _, name := range obsolete {
		if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil {
			return nil, 0, err
		}
	}
	return found, highest, nil
}

func (l *Log) loadFile(number uint64, suffix string, r *Recovery) error {
	path := l.path(number, suffix)
	s, err := inspect(l.fs, path, l.maxRecord)
	if err != nil {
		return err
	}
	s.number, s.sealed = number, suffix == segSuffix
	if !s.sealed {
		r.Torn += s.truncateTail()
	}
	for _, g := range s.gaps {
		r.Damaged = append(r.Damaged, Damage{path, g.Start, g.End - g.Start, g.Frames})
	}
	if s.sealed {
		l.segments = append(l.segments, &s.segment)
		return nil
	}
	if s.records == 0 {
		return l.fs.Remove(path)
	}
	l.segments = append(l.segments, &s.segment)
	err = l.salvage(&s.segment)
	if errors.Is(err, ErrFull) {
		return nil // it can be read where it is, and Seal tries again
	}
	return err
}

// truncateTail drops the gap at the end of an open segment, which almost always is
// a write that was not finished, and returns its size in bytes.
func (s *segment) truncateTail() int64 {
	n := len(s.gaps)
	if n == 0 || !s.gaps[n-1].Torn {
		return 0
	}
	s.size = s.gaps[n-1].Start
	torn := s.gaps[n-1].End - s.size
	s.gaps = s.gaps[:n-1]
	return torn
}

// inspected is a segment file that has been read through.
type inspected struct {
	segment
	header header
}

// inspect reads a segment file through. maxRecord replaces that of a
// damaged header.
func inspect(fsys durable.FS, path string, maxRecord int) (inspected, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return inspected{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return inspected{}, err
	}
	return inspectFile(f, info.Size(), filepath.Ext(path) == segSuffix, maxRecord)
}

// inspectFile reads through the first size bytes of f.
func inspectFile(f io.ReaderAt, size int64, sealed bool, maxRecord int) (inspected, error) {
	if size < headerSize {
		s := inspected{segment: segment{size: size}}
		if size > 0 || sealed {
			s.gaps = []journal.Gap{{End: size, Torn: !sealed, Frames: -1}}
		}
		return s, nil
	}
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return inspected{}, err
	}
	h, err := parseHeader(b)
	if err == nil {
		return inspectRecords(f, h, size, sealed)
	}
	// The records can still be read if the header or its checksum is right.
	h.maxRecord = maxRecord
	stored, err := inspectRecords(f, h, size, sealed)
	if err != nil {
		return inspected{}, err
	}
	h.seed = journal.Sum(0, b[:headerSize-4])
	computed, err := inspectRecords(f, h, size, sealed)
	if err != nil {
		return inspected{}, err
	}
	best := stored
	if computed.records > stored.records {
		best = computed
	}
	if best.records > 0 || sealed {
		best.gaps = slices.Insert(best.gaps, 0, journal.Gap{End: headerSize})
	} else {
		best.gaps = []journal.Gap{{End: size, Torn: true, Frames: -1}}
	}
	return best, nil
}

func inspectRecords(f io.ReaderAt, h header, size int64, sealed bool) (inspected, error) {
	s := inspected{header: h, segment: segment{size: size}}
	foot, hasFooter, err := readFooter(f, size, h.seed)
	if err != nil {
		return s, err
	}
	if hasFooter {
		s.size, s.digest = foot.size, foot.digest
	}
	scan := newScanner(f, h, s.size, nil)
	for {
		record, g, err := scan.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, err
		}
		if record != nil {
			s.records++
		} else {
			s.gaps = append(s.gaps, g)
		}
	}
	if hasFooter && len(s.gaps) == 1 {
		s.gaps[0].Frames = foot.records - s.records
	}
	if hasFooter || !sealed {
		return s, nil
	}
	return withoutFooter(f, s)
}

// withoutFooter gives a sealed segment whose footer is damaged the digest of
// the records that it has.
func withoutFooter(f io.ReaderAt, s inspected) (inspected, error) {
	if len(s.gaps) == 0 {
		s.gaps = []journal.Gap{{Start: s.size, End: s.size, Frames: -1}} // cut off between two records
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, 0, s.size)); err != nil {
		return s, err
	}
	hash.Sum(s.digest[:0])
	return s, nil
}

// inspectHead finds out how to read the records, without reading them unless
// the header is damaged.
func inspectHead(f io.ReaderAt, size int64, sealed bool, maxRecord int) (inspected, error) {
	if size < headerSize {
		return inspected{segment: segment{size: size}}, nil
	}
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return inspected{}, err
	}
	h, err := parseHeader(b)
	if err != nil {
		return inspectFile(f, size, sealed, maxRecord)
	}
	s := inspected{header: h, segment: segment{size: size}}
	foot, ok, err := readFooter(f, size, h.seed)
	if ok {
		s.size = foot.size
	}
	return s, err
}

func readFooter(f io.ReaderAt, size int64, seed uint32) (footer, bool, error) {
	if size < headerSize+footerSize {
		return footer{}, false, nil
	}
	b := make([]byte, footerSize)
	if _, err := f.ReadAt(b, size-footerSize); err != nil {
		return footer{}, false, err
	}
	foot, ok := parseFooter(b, size, seed)
	return foot, ok, nil
}

// salvage copies the durable records of an unsealed segment that is not to be
// written to any more into a sealed one of the same number. The system may
// believe pages of the old file to be on the disk that are not, after a failed
// sync of this process or of the one before; the new file has no such past.
func (l *Log) salvage(s *segment) error {
	old := l.path(s.number, openSuffix)
	tmp := l.path(s.number, tmpSuffix)
	foot, err := l.copyRecords(old, tmp, s)
	if err == nil {
		err = l.fs.Rename(tmp, l.path(s.number, segSuffix))
	}
	if err != nil {
		_ = l.fs.Remove(tmp) // the error that matters is the first one
		return diskError(err)
	}
	l.mu.Lock()
	s.sealed, s.size, s.digest, s.gaps = true, foot.size, foot.digest, nil
	l.mu.Unlock()
	// The old file stays until the new one is certain to.
	if err := l.fs.SyncDir(l.dir); err != nil {
		return diskError(err)
	}
	return diskError(l.fs.Remove(old))
}

func (l *Log) copyRecords(from, to string, s *segment) (footer, error) {
	in, err := l.fs.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return footer{}, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return footer{}, err
	}
	old, err := inspectFile(in, min(info.Size(), s.size), false, l.maxRecord)
	if err != nil {
		return footer{}, err
	}
	out, err := l.fs.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return footer{}, err
	}
	foot, err := l.writeCopy(out, newScanner(in, old.header, old.size, nil), s.number, max(old.header.maxRecord, l.maxRecord))
	return foot, errors.Join(err, out.Close())
}

// writeCopy writes a whole segment of the records of in, durably except for
// its name.
func (l *Log) writeCopy(out durable.File, in *journal.Scanner, number uint64, maxRecord int) (footer, error) {
	head, h, err := newHeader(number, maxRecord, l.random)
	if err != nil {
		return footer{}, err
	}
	hash := sha256.New()
	buffered := bufio.NewWriterSize(out, 256<<10)
	w := io.MultiWriter(hash, buffered)
	if _, err := w.Write(head); err != nil {
		return footer{}, err
	}
	foot := footer{size: headerSize}
	var framed []byte
	for {
		record, _, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return footer{}, err
		}
		if record == nil {
			continue // a gap
		}
		framed = frames(h.seed, maxRecord).Append(framed[:0], record)
		if _, err := w.Write(framed); err != nil {
			return footer{}, err
		}
		foot.records++
		foot.size += int64(len(framed))
	}
	hash.Sum(foot.digest[:0])
	if _, err := buffered.Write(foot.bytes(h.seed)); err != nil {
		return footer{}, err
	}
	if err := buffered.Flush(); err != nil {
		return footer{}, err
	}
	return foot, out.Sync()
}

// remove removes a file of the log that may not be there.
func (l *Log) remove(path string) error {
	err := l.fs.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
