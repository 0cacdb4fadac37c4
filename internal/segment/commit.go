package segment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/shoal-project/shoal/internal/durable"
)

// active is the segment that grows.
type active struct {
	*segment // in Log.segments once it has records
	file     durable.File
	seed     uint32
	hash     hash.Hash // over the first size bytes
}

// diskError marks the error of a full disk as one that will pass.
func diskError(err error) error {
	if durable.IsFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// commitLoop is the committer: the goroutine that writes what appenders leave.
func (l *Log) commitLoop() {
	defer close(l.stopped)
	for {
		select {
		case <-l.wake:
		case <-l.quit:
			return
		}
		l.writing.Lock()
		l.commitPending()
		l.writing.Unlock()
	}
}

// commitPending takes the waiting batch, writes it, and wakes its appenders. It
// is called with l.writing held.
func (l *Log) commitPending() {
	l.mu.Lock()
	b := l.next
	if b.records == 0 {
		l.mu.Unlock()
		return
	}
	l.next = newBatch(l.spare)
	l.spare = nil
	l.mu.Unlock()
	close(b.taken)

	b.err = diskError(l.commit(b))
	close(b.done)
	if b.err == nil {
		l.active.hash.Write(b.buf) // after the waiters: they need not wait for it
		l.note.sync(l.active.records, false)
	}
	l.mu.Lock()
	if cap(b.buf) <= 2*l.maxPending {
		l.spare = b.buf
	}
	l.mu.Unlock()
}

func (l *Log) commit(b *batch) error {
	if err := l.roll(int64(len(b.buf))); err != nil {
		return err
	}
	if l.active == nil {
		if err := l.create(); err != nil {
			return fmt.Errorf("beginning a segment: %w", err)
		}
	}
	a := l.active
	frames(a.seed, l.maxRecord).Finish(b.buf)
	if _, err := a.file.WriteAt(b.buf, a.size); err != nil {
		return l.truncateBack(err)
	}
	if err := a.file.Sync(); err != nil {
		return l.retire(err)
	}
	l.note.write(noted{a.number, a.records + b.records, a.size + int64(len(b.buf))})
	l.mu.Lock()
	if a.records == 0 {
		l.segments = append(l.segments, a.segment)
	}
	a.size += int64(len(b.buf))
	a.records += b.records
	l.mu.Unlock()
	l.durable.Add(b.records)
	return nil
}

// roll seals the active segment if it has no room for n more bytes.
func (l *Log) roll(n int64) error {
	a := l.active
	if a == nil || a.records == 0 || a.size+n <= l.maxSegment {
		return nil
	}
	err := l.finish()
	if l.active == nil {
		return nil // sealed, or left aside: its records are durable in either
	}
	return err
}

// create begins a segment whose name is durable.
func (l *Log) create() error {
	head, h, err := newHeader(l.nextNumber, l.maxRecord, l.random)
	if err != nil {
		return err
	}
	path := l.path(l.nextNumber, openSuffix)
	l.nextNumber++ // also on failure: an old file of that name may come back
	f, err := l.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(head, 0) // synced with the first records
	if err == nil && l.note == nil {
		l.note, _ = openNote(l.fs, l.dir, l.random) // without it less is found out about later damage
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), l.remove(path))
	}
	l.note.begin()
	hash := sha256.New()
	hash.Write(head)
	l.active = &active{file: f, seed: h.seed, hash: hash, segment: &segment{number: h.number, size: headerSize}}
	return nil
}

// finish seals the active segment. After an error l.active is either as before
// or nil, if the file can no longer be written to.
func (l *Log) finish() error {
	a := l.active
	if a.records == 0 {
		l.active = nil
		return errors.Join(a.file.Close(), l.remove(l.path(a.number, openSuffix)))
	}
	foot := footer{records: a.records, size: a.size}
	a.hash.Sum(foot.digest[:0])
	if _, err := a.file.WriteAt(foot.bytes(a.seed), a.size); err != nil {
		return diskError(l.truncateBack(err))
	}
	if err := a.file.Sync(); err != nil {
		return diskError(l.retire(err))
	}
	l.note.sync(a.records, true)
	l.active = nil
	// The new name need not be durable: Open takes the old one as well.
	err := a.file.Close()
	if err == nil {
		err = l.fs.Rename(l.path(a.number, openSuffix), l.path(a.number, segSuffix))
	}
	if err != nil {
		return diskError(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.sealed, a.digest = true, foot.digest
	return nil
}

// truncateBack removes what a failed write has left behind the durable records.
func (l *Log) truncateBack(cause error) error {
	if err := l.active.file.Truncate(l.active.size); err != nil {
		return l.retire(errors.Join(cause, err))
	}
	return cause
}

// retire gives up writing to the active segment. What is durable in it stays
// readable, and Seal or the next Open copies it.
func (l *Log) retire(cause error) error {
	a := l.active
	l.active = nil
	err := errors.Join(cause, a.file.Close())
	if a.records > 0 {
		return err
	}
	return errors.Join(err, l.remove(l.path(a.number, openSuffix)))
}
