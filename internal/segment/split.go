package segment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/shoal-project/shoal/internal/durable"
)

// splitSpan is how many segment numbers a split uses in each log that it writes
// to, and so how many segments the log that is split may have.
const splitSpan = 1 << 24

// splitMemory is about how many bytes of records a split holds before it writes.
const splitMemory = 32 << 20

// A Split defines how the records of one log are distributed over others.
type Split struct {
	// Serial distinguishes this log from all others that are ever split into the
	// same ones. 1 to 2^38.
	Serial uint64
	// To returns which log a record goes to, or false if it goes to none. It is
	// called in the order of the records, which it must not keep.
	To func(record []byte) (target int, ok bool)
	// Dir is the directory of a target. No log is open there.
	Dir func(target int) string
	// Lost is called for damage that was met on the way. It may be nil.
	Lost func(Damage)
}

// SerialOf returns the serial of the split that wrote the segment file called name,
// 0 if none did.
func SerialOf(name string) uint64 {
	number, _, ok := parseName(name)
	if !ok {
		return 0
	}
	return number / splitSpan
}

// MovedName returns what the segment file called name is called after a split under
// serial has moved it.
func MovedName(serial uint64, name string) string {
	number, suffix, ok := parseName(name)
	if !ok {
		return name
	}
	return fileName(serial*splitSpan+number, suffix)
}

// End ends the log like Seal, but leaves no list of its segments: what is to be
// split needs none.
func (l *Log) End() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.ended = true
	l.mu.Unlock()

	l.writing.Lock()
	defer l.writing.Unlock()
	return l.finishAll()
}

// Split copies the records of a log into other logs, durably: one segment a target,
// whose order is that of the records. Segments all of whose records go to one target
// are not copied, but moved, unless they are damaged: the target would report that
// again. Call [Log.End] before, and [Remove] afterwards.
//
// It may be repeated after an error or a crash, with equal answers of To: each
// record gets to its target once. In between no log may take over the directory and
// append to it, and [Remove] must have succeeded before a target is removed.
func (l *Log) Split(s Split) error {
	if s.Serial == 0 || s.Serial >= 1<<38 {
		return fmt.Errorf("splitting log %s: serial %d: out of range", l.dir, s.Serial)
	}
	p := &splitting{log: l, split: s, targets: map[int]*target{}, again: l.splits.Add(1) > 1}
	if err := l.forgetNote(p.again); err != nil {
		return fmt.Errorf("splitting log %s: %w", l.dir, diskError(err))
	}
	for _, seg := range l.snapshot() {
		if !seg.sealed || seg.number >= splitSpan {
			return fmt.Errorf("splitting log %s: segment %d is not sealed, or not below %d", l.dir, seg.number, splitSpan)
		}
		if err := p.segment(seg); err != nil {
			return fmt.Errorf("splitting log %s: %w", l.dir, diskError(err))
		}
	}
	if err := p.finish(); err != nil {
		return fmt.Errorf("splitting log %s: %w", l.dir, diskError(err))
	}
	return nil
}

// splitting is a split at work.
type splitting struct {
	log     *Log
	split   Split
	targets map[int]*target
	pending int // bytes in the buffers of the targets
	moved   bool
	again   bool // an earlier try failed: directories may be there without being durable
}

// target is a segment that grows in one of the other logs.
type target struct {
	dir     string
	exists  bool // complete, from an earlier try
	begun   bool // the file has its header
	seed    uint32
	hash    hash.Hash
	size    int64 // in the file
	records int64
	buf     []byte // what comes next in the file
}

// number is what the segment of a split is called in a target. Moved ones keep
// their numbers, which are not 0.
func (p *splitting) number(n uint64) uint64 { return p.split.Serial*splitSpan + n }

func (p *splitting) segment(seg segment) error {
	only, mixed, err := p.classify(seg)
	if err != nil || !mixed && only < 0 {
		return err
	}
	if !mixed {
		return p.move(seg, only)
	}
	for record, err := range p.records(seg, func() {}) {
		if err != nil {
			return err
		}
		if to, ok := p.split.To(record); ok {
			if err := p.add(to, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// classify returns the target of all records of a segment, -1 if no record has one,
// and whether there are others, records that go to none, or damage.
func (p *splitting) classify(seg segment) (only int, mixed bool, err error) {
	only = -1
	left := len(seg.gaps) > 0
	for record, err := range p.records(seg, func() { left = true }) {
		if err != nil {
			return -1, false, err
		}
		to, ok := p.split.To(record)
		switch {
		case !ok:
			left = true
		case only >= 0 && to != only:
			return only, true, nil
		default:
			only = to
		}
	}
	return only, left && only >= 0, nil
}

// records yields the records of one segment. Damage costs the records it hits, and
// damaged is called for it.
func (p *splitting) records(seg segment, damaged func()) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := &reading{log: p.log, segment: seg}
		r.run(func(record []byte, err error) bool {
			if d, ok := errors.AsType[Damage](err); ok {
				damaged()
				if p.split.Lost != nil {
					p.split.Lost(d)
				}
				return true
			}
			return yield(record, err)
		})
	}
}

// move renames a segment whose records all go to one target.
func (p *splitting) move(seg segment, to int) error {
	dir := p.split.Dir(to)
	if err := p.makeDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, fileName(p.number(seg.number), segSuffix))
	if done, err := p.done(dir, path); done || err != nil {
		return err // of an earlier try the old name may be left
	}
	old := p.log.path(seg.number, segSuffix)
	err := p.log.fs.Rename(old, path)
	if errors.Is(err, fs.ErrNotExist) { // [Log.finish] may not have got to renaming it
		err = p.log.fs.Rename(p.log.path(seg.number, openSuffix), path)
	}
	if err != nil {
		return err
	}
	p.moved = true
	p.log.forget(seg.number)
	noteSegment(p.log.fs, dir, p.log.random, noted{p.number(seg.number), seg.records, seg.size})
	return p.log.fs.SyncDir(dir)
}

// forget drops a segment whose file is no longer here.
func (l *Log) forget(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = slices.DeleteFunc(l.segments, func(s *segment) bool { return s.number == number })
}

// makeDir makes a directory, durably, also if an earlier try has made it and failed
// to sync its parents.
func (p *splitting) makeDir(dir string) error {
	if err := p.log.fs.MkdirAll(dir, dirPerm); err != nil || !p.again {
		return err
	}
	for range 2 {
		dir = filepath.Dir(dir)
		if err := p.log.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// done reports whether an earlier try has finished a segment. It makes its name
// durable: that try may have failed just before.
func (p *splitting) done(dir, path string) (bool, error) {
	_, err := p.log.fs.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = p.log.fs.SyncDir(dir)
	}
	return err == nil, err
}

// add gives a record to a target.
func (p *splitting) add(to int, record []byte) error {
	t := p.targets[to]
	if t == nil {
		var err error
		if t, err = p.begin(to); err != nil {
			return err
		}
		p.targets[to] = t
	}
	if t.exists {
		return nil
	}
	t.buf = frames(t.seed, p.log.maxRecord).Append(t.buf, record)
	t.records++
	if p.pending += frameSize + len(record); p.pending < splitMemory {
		return nil
	}
	return p.flush()
}

// begin begins the segment of a target in memory.
func (p *splitting) begin(to int) (*target, error) {
	t := &target{dir: p.split.Dir(to), hash: sha256.New()}
	var err error
	if t.exists, err = p.done(t.dir, t.path(p, segSuffix)); t.exists || err != nil {
		return t, err
	}
	head, h, err := newHeader(p.number(0), p.log.maxRecord, p.log.random)
	t.buf, t.seed = head, h.seed
	return t, err
}

func (t *target) path(p *splitting, suffix string) string {
	return filepath.Join(t.dir, fileName(p.number(0), suffix))
}

// flush writes what the targets hold, not durably.
func (p *splitting) flush() error {
	for _, t := range p.targets {
		if err := p.write(t, nil); err != nil {
			return err
		}
	}
	p.pending = 0
	return nil
}

// write appends the buffer of a target to its file, and calls last on that before
// it is closed.
func (p *splitting) write(t *target, last func(durable.File) error) (err error) {
	if t.exists || len(t.buf) == 0 && last == nil {
		return nil
	}
	flags := os.O_WRONLY | os.O_CREATE
	if !t.begun {
		if err := p.makeDir(t.dir); err != nil {
			return err
		}
		flags |= os.O_TRUNC // of an earlier try
		t.begun = true
	}
	f, err := p.log.fs.OpenFile(t.path(p, tmpSuffix), flags, filePerm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(t.buf, t.size); err != nil {
		return err
	}
	t.hash.Write(t.buf)
	t.size += int64(len(t.buf))
	t.buf = t.buf[:0]
	if last == nil {
		return nil
	}
	return last(f)
}

// finish makes all targets complete and durable.
func (p *splitting) finish() error {
	for _, t := range p.targets {
		if t.exists {
			continue
		}
		if err := p.seal(t); err != nil {
			return err
		}
	}
	if !p.moved {
		return nil
	}
	return p.log.fs.SyncDir(p.log.dir)
}

// seal ends the segment of a target and gives it its name.
func (p *splitting) seal(t *target) error {
	err := p.write(t, func(f durable.File) error {
		foot := footer{records: t.records, size: t.size}
		t.hash.Sum(foot.digest[:0])
		if _, err := f.WriteAt(foot.bytes(t.seed), t.size); err != nil {
			return err
		}
		return f.Sync()
	})
	if err == nil {
		err = p.log.fs.Rename(t.path(p, tmpSuffix), t.path(p, segSuffix))
	}
	if err != nil {
		return err
	}
	t.buf = nil
	noteSegment(p.log.fs, t.dir, p.log.random, noted{p.number(0), t.records, t.size})
	return p.log.fs.SyncDir(t.dir)
}
