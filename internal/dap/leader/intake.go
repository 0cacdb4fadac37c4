package leader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/segment"
)

// A logKey names a log on this node.
type logKey struct {
	task   dap.TaskID
	number uint64
}

// An intake is the way into one task's logs.
type intake struct {
	leader *Leader
	task   dap.TaskID
	recent *recent
	places places       // of requests that are being read
	stored atomic.Int64 // bytes of the task's reports on this node

	mu      sync.Mutex // guards what follows; held while a log is begun
	current *openLog   // takes reports; nil before the first
	doubt   bool       // the store may have begun a log that this process does not know
}

// An openLog is a log that this process has open.
type openLog struct {
	info   Log
	log    *segment.Log
	opened time.Time

	reading sync.Mutex // guards cursor
	cursor  cursor

	closing bool         // guarded by gate
	gate    sync.RWMutex // held for reading while reports are appended
	size    atomic.Int64 // bytes of its records
}

// dir is the place of a log's files.
func (l *Leader) dir(k logKey) string {
	return filepath.Join(l.taskDir(k.task), strconv.FormatUint(k.number, 10))
}

// openLog opens the files of a log. Only one that was never written may be
// without files. Callers hold l.mu or are New.
func (l *Leader) openLog(info Log, unwritten bool) (*openLog, error) {
	k := logKey{info.Task, info.Number}
	if there, err := l.hasFiles(info); err != nil {
		return nil, err
	} else if !there && !unwritten {
		return nil, l.missingLog(info)
	}
	log, found, err := segment.Open(l.dir(k), segment.Options{FS: l.config.FS, MaxRecord: l.config.MaxReport, MaxSegment: l.config.LogBytes})
	if err != nil {
		return nil, fmt.Errorf("opening log %d of task %v: %w", info.Number, info.Task, err)
	}
	for _, d := range found.Damaged {
		l.lostPart(k, d)
	}
	o := &openLog{info: info, log: log, opened: l.config.Clock.Now()}
	l.logs[k] = o
	return o, nil
}

// log returns a log of this node, open.
func (l *Leader) log(info Log, unwritten bool) (*openLog, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.logs[logKey{info.Task, info.Number}]; o != nil {
		return o, nil
	}
	return l.openLog(info, unwritten)
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
func (in *intake) writable(ctx context.Context) (*openLog, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.current != nil {
		return in.current, nil
	}
	// Not the request's context: a client that goes away must not leave the
	// store in doubt.
	ctx = context.WithoutCancel(ctx)
	l := in.leader
	if err := in.adopt(ctx); err != nil || in.current != nil {
		return in.current, err
	}
	if err := l.beginning(in.task); err != nil {
		return nil, fmt.Errorf("beginning a log: %w", err)
	}
	info, err := l.config.Store.BeginLog(ctx, in.task, l.config.Node)
	if err != nil {
		in.doubt = true
		return nil, fmt.Errorf("beginning a log: %w", err)
	}
	return in.current, in.use(info)
}

// use makes a log that was begun just now the current one. The caller holds in.mu.
func (in *intake) use(info Log) error {
	l := in.leader
	o, err := l.log(info, true)
	if err != nil {
		in.doubt = true // it is in the store
		return err
	}
	in.current = o
	l.wake.intake.set() // it must be closed when its time has come
	return l.begun(in.task)
}

// adopt finds the logs that the store has begun although it answered with an
// error. Collections would wait for them until the process ends. The caller holds
// in.mu.
func (in *intake) adopt(ctx context.Context) error {
	if !in.doubt {
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
		if known {
			continue
		}
		if err := in.use(info); err != nil {
			return err
		}
	}
	in.doubt = false
	return nil
}

// adoptLogs is adopt for all tasks.
func (l *Leader) adoptLogs(ctx context.Context) error {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.intakes))
	l.mu.Unlock()
	var errs []error
	for _, in := range all {
		in.mu.Lock()
		errs = append(errs, in.adopt(ctx))
		in.mu.Unlock()
	}
	return errors.Join(errs...)
}

// append makes reports durable. The records belong to the caller again when it
// returns.
func (in *intake) append(ctx context.Context, records [][]byte) error {
	for range 8 { // a log is closed between two appends at most now and then
		o, err := in.writable(ctx)
		if err != nil {
			return err
		}
		err = o.append(ctx, records)
		if errors.Is(err, segment.ErrSealed) {
			in.leave(o)
			continue
		}
		if err == nil && o.full(&in.leader.config) {
			in.leader.wake.intake.set()
		}
		return err
	}
	return errors.New("the log is closed again and again")
}

func (o *openLog) append(ctx context.Context, records [][]byte) error {
	o.gate.RLock()
	defer o.gate.RUnlock()
	if o.closing {
		return segment.ErrSealed
	}
	if err := o.log.AppendAll(ctx, records); err != nil {
		return err
	}
	n := int64(0)
	for _, r := range records {
		n += int64(len(r))
	}
	o.size.Add(n)
	return nil
}

func (o *openLog) full(c *Config) bool {
	return o.log.Len() >= int64(c.LogReports) || o.size.Load() >= c.LogBytes
}

// due returns when the log must be closed.
func (o *openLog) due(c *Config) time.Time {
	if o.full(c) {
		return o.opened
	}
	return o.opened.Add(c.LogAge)
}

// leave makes the next report begin another log.
func (in *intake) leave(o *openLog) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.current == o {
		in.current = nil
	}
}

// shut seals a log: no report is appended to it after that.
func (l *Leader) shut(ctx context.Context, in *intake, o *openLog) error {
	o.gate.Lock()
	o.closing = true
	o.gate.Unlock()
	in.leave(o)
	if err := o.log.Seal(); err != nil {
		return fmt.Errorf("sealing log %d of task %v: %w", o.info.Number, o.info.Task, err)
	}
	sealed := o.info
	sealed.State, sealed.Records = LogSealed, o.log.Len()
	err := l.config.Store.SealLog(ctx, sealed)
	if errors.Is(err, ErrConflict) {
		err = nil // an earlier call was in doubt, and has sealed it
	}
	if err != nil {
		return fmt.Errorf("sealing log %d of task %v: %w", o.info.Number, o.info.Task, err)
	}
	l.mu.Lock()
	o.info = sealed
	l.mu.Unlock()
	l.wake.intake.set()
	return nil
}

// rotate seals the logs that are due at now: those that are full or old, and
// those that a collection waits for.
func (l *Leader) rotate(ctx context.Context, now time.Time) error {
	waited, err := l.waitedFor(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range l.openLogs() {
		k := logKey{o.info.Task, o.info.Number}
		wanted := o.info.Number <= waited[o.info.Task]
		if !wanted && (o.log.Len() == 0 || now.Before(o.due(&l.config))) {
			continue
		}
		if err := l.shut(ctx, l.intake(k.task), o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// openLogs returns the logs of this node that take reports.
func (l *Leader) openLogs() []*openLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*openLog
	for _, o := range l.logs {
		if o.info.State == LogOpen {
			all = append(all, o)
		}
	}
	return all
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

// sizeOf returns the bytes of a log's files.
func (l *Leader) sizeOf(k logKey) (int64, error) {
	entries, err := l.config.FS.ReadDir(l.dir(k))
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range entries {
		info, err := l.config.FS.Stat(filepath.Join(l.dir(k), e.Name()))
		if err != nil {
			return 0, err
		}
		n += info.Size()
	}
	return n, nil
}

// A signal wakes a loop. It remembers one signal.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
