package leader

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/segment"
)

// maxEnded bounds the shared logs that wait to be distributed: while there are so
// many, because the disk is full or broken, the one that takes reports goes on
// growing.
const maxEnded = 8

// A sharedLog takes the reports of all tasks, so that one fdatasync serves all that
// wait and the number of open files does not depend on tasks. When it is full or
// old, or when a collection waits for a log of one of its tasks, the next one takes
// reports, and its own are distributed over files of the tasks' logs: a segment of
// one task is moved, others are copied. It is removed when the store knows all of
// these logs to be sealed. The files of a log stay at least as long.
type sharedLog struct {
	wake    clock.Signal // set when what it waits for has ended
	log     *segment.Log
	dir     string
	serial  uint64
	opened  time.Time
	reports atomic.Int64
	size    atomic.Int64 // bytes of its reports

	mu      sync.Mutex // guards what follows
	using   int        // appends at work
	joining int        // logs that are being begun in it, or may have been
	closing bool

	members []*taskLog            // logs that it may hold reports of and that are open; guarded by Leader.mu
	sealed  []*taskLog            // those that the store knows to be sealed; guarded by Leader.mu
	numbers map[dap.TaskID]uint64 // of each task's log in it; guarded by Leader.mu
	removed bool                  // guarded by Leader.mu
	split   atomic.Bool           // distributed

	// What follows is guarded by Leader.creating.
	recovered bool // it is of an earlier process
	intents   int  // that were found, if so
	damaged   map[damagePlace]int64
}

// sharing are the shared logs; guarded by Leader.mu.
type sharing struct {
	active *sharedLog   // takes reports; nil before the first
	ended  []*sharedLog // take none any more and wait to be distributed, the oldest first
	serial uint64       // the latest one
	closed bool         // no other is begun
}

func (l *Leader) sharedDir() string { return filepath.Join(l.config.Dir, "shared") }

// enter begins an append, unless the log takes no more.
func (s *sharedLog) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.using++
	return true
}

// leave ends an append.
func (s *sharedLog) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.using--; s.using == 0 && s.closing {
		s.wake.Set()
	}
}

// join keeps the log while a task's log may be begun in it. It reports whether that
// takes reports.
func (s *sharedLog) join() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.joining++
	return true
}

// joined ends what join began: the log is a member, or the store has not begun it.
func (s *sharedLog) joined() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.joining--; s.joining == 0 && s.closing {
		s.wake.Set()
	}
}

// close makes the log take no more reports.
func (s *sharedLog) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

// busy reports whether reports are being appended, and whether logs are being begun.
func (s *sharedLog) busy() (using, joining bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.using > 0, s.joining > 0
}

// active returns the shared log that takes reports, and begins one if it has to.
func (l *Leader) active() (*sharedLog, error) {
	l.mu.Lock()
	s := l.sharing.active
	l.mu.Unlock()
	if s != nil {
		return s, nil
	}
	l.opening.Lock()
	defer l.opening.Unlock()
	l.mu.Lock()
	s = l.sharing.active
	closed := l.sharing.closed
	if s == nil && !closed {
		l.sharing.serial++ // also on failure: the folder may be there
	}
	serial := l.sharing.serial
	l.mu.Unlock()
	switch {
	case closed:
		return nil, segment.ErrClosed
	case s != nil:
		return s, nil
	}
	s, found, err := l.openShared(serial)
	if err != nil {
		return nil, err
	}
	if found.Records > 0 {
		return nil, errors.Join(fmt.Errorf("intake log %d is new and has %d records: is another process using %s?", serial, found.Records, l.config.Dir), s.log.Close())
	}
	l.mu.Lock()
	if closed = l.sharing.closed; !closed {
		l.sharing.active = s
	}
	l.mu.Unlock()
	if closed {
		return nil, errors.Join(segment.ErrClosed, s.log.Close())
	}
	l.wake.intake.Set() // it must be closed when its time has come
	return s, nil
}

func (l *Leader) openShared(serial uint64) (*sharedLog, segment.Recovery, error) {
	dir := filepath.Join(l.sharedDir(), strconv.FormatUint(serial, 10))
	log, found, err := segment.Open(dir, segment.Options{FS: l.config.FS, MaxRecord: l.config.MaxReport + recordHead, MaxSegment: l.config.LogBytes})
	if err != nil {
		return nil, found, fmt.Errorf("opening intake log %d: %w", serial, err)
	}
	s := &sharedLog{
		wake: l.wake.intake, log: log, dir: dir, serial: serial, opened: l.config.Clock.Now(),
		numbers: make(map[dap.TaskID]uint64), damaged: make(map[damagePlace]int64),
	}
	return s, found, nil
}

// rotate ends the shared log that takes reports, if it is full or old at now or a
// collection waits for a log of one of its tasks. The store is asked for what
// collections wait for if look says so.
func (l *Leader) rotate(ctx context.Context, now time.Time, look bool) error {
	if look || !now.Before(l.looked.Add(lookEvery)) {
		waited, err := l.waitedFor(ctx)
		if err != nil {
			return err
		}
		l.looked = now
		l.mu.Lock()
		for task, upto := range waited {
			l.wanted[task] = max(l.wanted[task], upto)
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sharing.active
	wanted := false
	for task, upto := range l.wanted {
		if s == nil {
			break
		}
		if n, there := s.numbers[task]; there && n <= upto {
			wanted = true
		}
	}
	if s == nil || !wanted && (s.reports.Load() == 0 || now.Before(s.due(&l.config))) {
		clear(l.wanted)
		return nil
	}
	if l.crowded() {
		return nil
	}
	clear(l.wanted)
	s.close()
	l.sharing.active, l.sharing.ended = nil, append(l.sharing.ended, s)
	return nil
}

// crowded reports whether no more shared logs may wait to be distributed. The caller
// holds l.mu.
func (l *Leader) crowded() bool {
	n := 0
	for _, s := range l.sharing.ended {
		if !s.split.Load() {
			n++
		}
	}
	return n >= maxEnded
}

// want notes that a collection waits for the logs of a task up to a number.
func (l *Leader) want(task dap.TaskID, upto uint64) {
	l.mu.Lock()
	l.wanted[task] = max(l.wanted[task], upto)
	l.mu.Unlock()
	l.wake.intake.Set()
}

// waitedFor returns, by task, up to which log collections wait for.
func (l *Leader) waitedFor(ctx context.Context) (map[dap.TaskID]uint64, error) {
	pending, err := l.config.Store.Collections(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading collection jobs: %w", err)
	}
	waited := make(map[dap.TaskID]uint64)
	for _, c := range pending {
		if c.State == Waiting {
			waited[c.Task] = max(waited[c.Task], c.Upto)
		}
	}
	return waited, nil
}

// settle distributes the shared logs that have ended, seals the logs of their
// tasks, and removes them.
func (l *Leader) settle(ctx context.Context) error {
	l.mu.Lock()
	ended := slices.Clone(l.sharing.ended)
	leftover := l.leftover
	l.leftover = nil
	l.mu.Unlock()
	var errs []error
	for _, o := range leftover {
		err := l.seal(ctx, o)
		if err == nil {
			err = l.unmark(o.key.task)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sealing log %d of task %v: %w", o.key.number, o.key.task, err))
			l.mu.Lock()
			l.leftover = append(l.leftover, o)
			l.mu.Unlock()
		}
	}
	for _, s := range ended {
		if err := l.distribute(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("distributing the reports of intake log %d: %w", s.serial, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Leader) distribute(ctx context.Context, s *sharedLog) error {
	using, joining := s.busy()
	if using {
		return nil // the last one signals
	}
	if !s.split.Load() {
		err := s.log.End()
		if err == nil {
			err = l.split(s)
		}
		if err != nil {
			return err
		}
		s.split.Store(true)
		if len(s.damaged) > 0 {
			l.countDamage(s)
		}
	}
	if err := l.sealMembers(ctx, s); err != nil {
		return err
	}
	if joining {
		return nil // the last one signals
	}
	return l.removeShared(s)
}

// split moves the reports of a shared log into files of their tasks' logs.
func (l *Leader) split(s *sharedLog) error {
	var keys []logKey
	index := map[logKey]int{}
	return s.log.Split(segment.Split{
		Serial: s.serial,
		To: func(b []byte) (int, bool) {
			r, ok := parseRecord(b)
			if ok && r.intent() { // beside the reports, so that a segment of one task can be moved
				l.mu.Lock()
				r.key.number, ok = s.numbers[r.key.task]
				l.mu.Unlock()
			}
			if !ok {
				return 0, false
			}
			i, known := index[r.key]
			if !known {
				i = len(keys)
				keys, index[r.key] = append(keys, r.key), i
			}
			return i, true
		},
		Dir:  func(i int) string { return l.dir(keys[i]) },
		Lost: func(d segment.Damage) { s.lost(d) },
	})
}

// sealMembers makes the store know that the logs of a shared log take no more
// reports. Those that fail do not hold up the others.
func (l *Leader) sealMembers(ctx context.Context, s *sharedLog) error {
	l.mu.Lock()
	members := s.members
	s.members = nil
	l.mu.Unlock()
	var errs []error
	var left, sealed []*taskLog
	for _, o := range members {
		if err := l.seal(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("sealing log %d of task %v: %w", o.key.number, o.key.task, err))
			left = append(left, o)
		} else {
			sealed = append(sealed, o)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.members = append(left, s.members...) // of which some were begun meanwhile
	s.sealed = append(s.sealed, sealed...)
	return errors.Join(errs...)
}

// seal makes the store know that a log takes no more reports.
func (l *Leader) seal(ctx context.Context, o *taskLog) error {
	l.mu.Lock()
	sealed := o.info
	l.mu.Unlock()
	if sealed.State != LogOpen {
		return nil
	}
	if err := l.count(o); err != nil {
		return err
	}
	sealed.State, sealed.Records = LogSealed, o.durable.Load()
	err := l.config.Store.SealLog(ctx, sealed)
	if errors.Is(err, ErrConflict) {
		err = nil // an earlier call was in doubt, and has sealed it
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	o.info = sealed
	l.sealed = append(l.sealed, o)
	return nil
}

// count finds out how many reports a log has that takes no more, if that is not
// known: an earlier process has written it, or the disk has lost some.
func (l *Leader) count(o *taskLog) error {
	if !o.unknown && (o.home == nil || len(o.home.damaged) == 0) {
		return nil
	}
	n := int64(0)
	if there, err := l.hasFiles(o.key); err != nil {
		return err
	} else if there {
		r, err := l.readers.open(o.key)
		if err != nil {
			return err
		}
		defer l.readers.done(r)
		for b, err := range r.log.Records() {
			if _, damaged := asDamage(err); damaged {
				continue // it is reported when the reports are put into jobs
			}
			if err != nil {
				return err
			}
			if rec, ok := r.record(b); ok && !rec.intent() {
				n++
			}
		}
	}
	l.intake(o.key.task).waiting.Add(n - o.durable.Swap(n))
	o.unknown = false
	return nil
}

// removeShared removes a shared log whose reports are all elsewhere.
func (l *Leader) removeShared(s *sharedLog) error {
	if err := s.log.Close(); err != nil {
		return err
	}
	if err := segment.Remove(l.config.FS, s.dir); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.removed = true
	l.sharing.ended = slices.DeleteFunc(l.sharing.ended, func(o *sharedLog) bool { return o == s })
	for _, o := range s.sealed {
		l.removable(o)
	}
	return nil
}
