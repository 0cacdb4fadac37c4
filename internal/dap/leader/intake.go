package leader

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/segment"
)

// A logKey names a log of one task.
type logKey struct {
	task   dap.TaskID
	number uint64
}

// An intake is the way of one task's reports to the disk.
type intake struct {
	leader  *Leader
	task    dap.TaskID
	recent  *recent
	places  places       // of requests that are being read
	stored  atomic.Int64 // bytes of the task's reports on this node
	waiting atomic.Int64 // the task's reports on this node that are in no job yet

	mu      sync.Mutex // guards what follows; held while a log is begun
	current *taskLog   // takes reports; nil before the first
	doubt   *sharedLog // in which a log was begun that the store may have although it failed
}

// A taskLog is a log of one task on this node. Its reports are in a shared log
// first, and in files of its own when that has ended.
type taskLog struct {
	key  logKey
	info Log        // guarded by Leader.mu
	jobs int        // that refer to it and have not ended, as far as this process knows; guarded by Leader.mu
	home *sharedLog // where its reports were appended; nil if no shared log holds any

	unknown bool          // how many reports it has: an earlier process has written some
	next    atomic.Uint32 // the number of the next report in it
	durable atomic.Int64  // reports
	size    atomic.Int64  // bytes of its reports
}

// dir is the place of a log's own files.
func (l *Leader) dir(k logKey) string {
	return filepath.Join(l.taskDir(k.task), strconv.FormatUint(k.number, 10))
}

// intake returns the way into a task's logs.
func (l *Leader) intake(task dap.TaskID) *intake {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.intakes[task]
	if in == nil {
		in = &intake{leader: l, task: task, recent: newRecent(l.config.RecentIDs)}
		l.intakes[task] = in
	}
	return in
}

// writable returns the log that takes reports, and begins one if no log is open.
func (in *intake) writable(ctx context.Context) (*taskLog, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.current != nil {
		return in.current, nil
	}
	// Not the request's context: a client that goes away must not leave the
	// store in doubt.
	ctx = context.WithoutCancel(ctx)
	if err := in.adopt(ctx); err != nil || in.current != nil {
		return in.current, err
	}
	s, err := in.leader.active()
	if err != nil {
		return nil, fmt.Errorf("beginning a log: %w", err)
	}
	if err := in.begin(ctx, s); err != nil {
		return nil, fmt.Errorf("beginning a log: %w", err)
	}
	if in.current == nil { // the shared log has ended meanwhile
		return nil, segment.ErrSealed
	}
	return in.current, nil
}

// begin begins a log of the task in a shared log, and makes it the current one. The
// caller holds in.mu.
func (in *intake) begin(ctx context.Context, s *sharedLog) error {
	if !s.join() {
		return segment.ErrSealed
	}
	if err := s.log.Append(ctx, intentRecord(in.task)); err != nil {
		s.joined()
		return err
	}
	info, err := in.leader.config.Store.BeginLog(ctx, in.task, in.leader.config.Node)
	if err != nil {
		in.doubt = s
		in.leader.doubtful(in)
		return err
	}
	in.use(info, s)
	s.joined()
	return nil
}

// use makes a log that was begun in a shared log the current one, if that takes
// reports still. The caller holds in.mu.
func (in *intake) use(info Log, s *sharedLog) {
	l := in.leader
	o := &taskLog{key: logKey{info.Task, info.Number}, info: info, home: s}
	l.mu.Lock()
	l.logs[o.key] = o
	s.members = append(s.members, o)
	s.numbers[info.Task] = info.Number
	takes := l.sharing.active == s
	l.mu.Unlock()
	if takes {
		in.current = o
	}
}

// adopt finds the log that the store has begun although it answered with an
// error. Collections would wait for it until the process ends. The caller holds
// in.mu.
func (in *intake) adopt(ctx context.Context) error {
	s := in.doubt
	if s == nil {
		return nil
	}
	l := in.leader
	logs, err := l.config.Store.Logs(ctx, l.config.Node)
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	for _, info := range logs {
		if info.Task != in.task || info.State != LogOpen {
			continue
		}
		l.mu.Lock()
		known := l.logs[logKey{info.Task, info.Number}] != nil
		l.mu.Unlock()
		if !known {
			in.use(info, s)
		}
	}
	in.doubt = nil
	s.joined()
	return nil
}

// doubtful notes an intake whose log is in doubt. The caller holds in.mu.
func (l *Leader) doubtful(in *intake) {
	l.mu.Lock()
	l.doubts[in] = struct{}{}
	l.mu.Unlock()
	l.wake.intake.Set()
}

// adoptLogs is adopt for all tasks whose logs are in doubt.
func (l *Leader) adoptLogs(ctx context.Context) error {
	l.mu.Lock()
	doubts := l.doubts
	l.doubts = make(map[*intake]struct{})
	l.mu.Unlock()
	var errs []error
	for in := range doubts {
		in.mu.Lock()
		err := in.adopt(ctx)
		in.mu.Unlock()
		if err == nil {
			continue
		}
		errs = append(errs, err)
		l.mu.Lock()
		l.doubts[in] = struct{}{}
		l.mu.Unlock()
	}
	return errors.Join(errs...)
}

// append makes reports durable. Their records have room for a head, and belong to the
// caller again when it returns.
func (in *intake) append(ctx context.Context, records [][]byte) error {
	for range 8 { // a log is closed between two appends at most now and then
		o, err := in.writable(ctx)
		if errors.Is(err, segment.ErrSealed) {
			continue
		}
		if err != nil {
			return err
		}
		err = in.appendTo(ctx, o, records)
		if errors.Is(err, segment.ErrSealed) {
			in.leave(o)
			continue
		}
		return err
	}
	return errors.New("the log is closed again and again")
}

func (in *intake) appendTo(ctx context.Context, o *taskLog, records [][]byte) error {
	s := o.home
	if !s.enter() {
		return segment.ErrSealed
	}
	defer s.leave()
	size := o.number(records)
	if err := s.log.AppendAll(ctx, records); err != nil {
		return err
	}
	n := int64(len(records))
	o.durable.Add(n)
	o.size.Add(size)
	in.waiting.Add(n)
	in.stored.Add(size)
	s.size.Add(size)
	if s.reports.Add(n); s.full(&in.leader.config) {
		in.leader.wake.intake.Set()
	}
	return nil
}

// leave makes the next report begin another log.
func (in *intake) leave(o *taskLog) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.current == o {
		in.current = nil
	}
}

// full reports whether a shared log has as many reports as it may.
func (s *sharedLog) full(c *Config) bool {
	return s.reports.Load() >= int64(c.LogReports) || s.size.Load() >= c.LogBytes
}

// due returns when the shared log must be closed.
func (s *sharedLog) due(c *Config) time.Time {
	if s.full(c) {
		return s.opened
	}
	return s.opened.Add(c.LogAge)
}
