package leader

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/segment"
)

// readers are the logs of tasks that are open for reading: those in use, and some
// that were used last.
type readers struct {
	leader *Leader
	limit  int // that are open and not in use

	mu   sync.Mutex
	all  map[logKey]*reader
	idle []*reader // the one that was used last at the end
}

// A reader is a log of one task that is open for reading.
type reader struct {
	key   logKey
	users int  // guarded by readers.mu
	gone  bool // the log is removed; guarded by readers.mu

	mu     sync.Mutex   // guards what follows; held while the log is opened and while the cursor is used
	log    *segment.Log // nil before it is opened
	headed bool         // the records are those of a shared log
	cursor cursor
}

// open returns a log for reading. Callers call done with it.
func (rs *readers) open(k logKey) (*reader, error) {
	rs.mu.Lock()
	r := rs.all[k]
	if r == nil {
		r = &reader{key: k}
		rs.all[k] = r
	}
	if r.users == 0 {
		rs.idle = slices.DeleteFunc(rs.idle, func(o *reader) bool { return o == r })
	}
	r.users++
	rs.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log != nil {
		return r, nil
	}
	if err := rs.leader.openFiles(r); err != nil {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if r.users--; r.users == 0 {
			delete(rs.all, k)
		}
		return nil, err
	}
	return r, nil
}

// openFiles opens the files of a log.
func (l *Leader) openFiles(r *reader) error {
	there, err := l.hasFiles(r.key)
	if err != nil {
		return err
	}
	if !there {
		l.mu.Lock()
		info := Log{Task: r.key.task, Number: r.key.number, State: LogDone}
		if o := l.logs[r.key]; o != nil {
			info = o.info
		}
		l.mu.Unlock()
		return l.missingLog(info)
	}
	if r.headed, err = l.hasHeads(r.key); err != nil {
		return err
	}
	log, found, err := segment.Open(l.dir(r.key), segment.Options{FS: l.config.FS, MaxRecord: l.config.MaxReport + recordHead, MaxSegment: l.config.LogBytes})
	if err != nil {
		return fmt.Errorf("opening log %d of task %v: %w", r.key.number, r.key.task, err)
	}
	for _, d := range found.Damaged {
		l.lostPart(r.key, d)
	}
	r.log = log
	return nil
}

// done ends a use of a log.
func (rs *readers) done(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	if r.gone {
		_ = r.close() // nothing was written
		return
	}
	rs.idle = append(rs.idle, r)
	if len(rs.idle) > rs.limit {
		old := rs.idle[0]
		rs.idle = slices.Delete(rs.idle, 0, 1)
		delete(rs.all, old.key)
		_ = old.close()
	}
}

// remove closes a log that is to be removed.
func (rs *readers) remove(k logKey) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[k]
	if r == nil {
		return nil
	}
	delete(rs.all, k)
	if r.users > 0 {
		r.gone = true
		return nil
	}
	rs.idle = slices.DeleteFunc(rs.idle, func(o *reader) bool { return o == r })
	return r.close()
}

// closeAll closes all logs. None is in use.
func (rs *readers) closeAll() error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var errs []error
	for _, r := range rs.all {
		errs = append(errs, r.close())
	}
	clear(rs.all)
	rs.idle = nil
	return errors.Join(errs...)
}

func (r *reader) close() error {
	if r.log == nil {
		return nil
	}
	r.cursor.close()
	return r.log.Close()
}

func asDamage(err error) (segment.Damage, bool) { return errors.AsType[segment.Damage](err) }
