package shuffler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/segment"
)

// maxShared bounds the logs that take reports, and with them the open files, the
// committers and the rows of fdatasync calls, whatever the number of batches.
const maxShared = 16

// A sharedLog takes the reports of many batches, so that one fdatasync serves all
// that wait, of whatever tasks. Reports name their task and epoch. Batches that
// close at the same time share a log, as far as there are logs. When the first of
// them closes, the log ends, and its reports are distributed over logs of the
// batches themselves; a log of one batch is moved, not copied.
//
// A batch leaves the state Open only when no shared log holds reports of it.
type sharedLog struct {
	log    *segment.Log
	dir    string
	serial uint64
	closes int64 // when most of its batches close, in Unix seconds

	members map[Key]struct{} // batches that it may hold reports of; guarded by Shuffler.mu
	split   bool             // distributed, and to be removed
}

// shared are the logs that batches share; guarded by Shuffler.mu.
type shared struct {
	active []*sharedLog // take reports
	ended  []*sharedLog // take none any more and wait to be distributed
	serial uint64       // the latest one
}

// intake is what an open batch needs to take a report.
type intake struct {
	mu      sync.RWMutex // held for reading while a report is appended
	closing bool
	own     bool                      // it has a log of its own; guarded by Shuffler.mu
	listed  bool                      // it is in the list of logs; guarded by Shuffler.mu
	ending  bool                      // it closes; guarded by Shuffler.mu
	taken   atomic.Int64              // reports that are stored or on the way
	log     atomic.Pointer[sharedLog] // where the next report goes; nil if that is to be decided
}

func (s *Shuffler) sharedDir() string { return filepath.Join(s.config.Dir, "shared") }

// passes is how many copies of a batch's reports may be on the disk while it is worked
// on, beside the reports: those of its own log, the opened ones before and after they
// are sorted, and the hand-over file.
const passes = 4

// Need returns how many bytes the work on the largest batch that is open or being
// processed may take beside its reports. A shuffler that took reports until less was
// free could never process it.
func (s *Shuffler) Need() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := int64(0)
	for k, in := range s.intakes {
		if h := s.tasks[k.Task]; h != nil {
			most = max(most, in.taken.Load()*int64(h.opener.Load().MaxSize()))
		}
	}
	for _, bytes := range s.inputs {
		most = max(most, bytes)
	}
	return passes * most
}

// measure notes how many bytes the input of a closed batch takes, of which this
// process has not taken the reports. Callers are New or accept a batch.
func (s *Shuffler) measure(b Batch) error {
	var total int64
	count := func(entries []fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, e := range entries {
			info, statErr := e.Info()
			if statErr != nil {
				return statErr
			}
			if !e.IsDir() {
				total += info.Size()
			}
		}
		return err
	}
	for _, src := range s.sources(b) {
		for _, dir := range []string{s.dir(src.Key()), s.logDir(src.Key())} { // what an earlier hop sent, and a log
			if err := count(s.config.FS.ReadDir(dir)); err != nil {
				return fmt.Errorf("measuring the reports of epoch %d: %w", b.Epoch, err)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inputs[b.Key()] = total
	return nil
}

// append stores one report, durably.
func (s *Shuffler) append(ctx context.Context, h *hosted, k Key, in *intake, report []byte) Outcome {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.closing {
		return WrongEpoch
	}
	if in.taken.Add(1) > s.config.MaxReports {
		in.taken.Add(-1)
		return BatchFull
	}
	err := s.appendShared(ctx, h, k, in, report)
	if err != nil {
		in.taken.Add(-1)
		return storageOutcome(err)
	}
	return Accepted
}

// appendTries bounds how often a report meets a log that has just ended.
const appendTries = 100

func (s *Shuffler) appendShared(ctx context.Context, h *hosted, k Key, in *intake, report []byte) error {
	for range appendTries {
		l := in.log.Load()
		if l == nil {
			var err error
			if l, err = s.assign(h, k, in); err != nil {
				return err
			}
		}
		err := l.log.Append(ctx, report)
		if !errors.Is(err, segment.ErrSealed) {
			return err
		}
		in.log.CompareAndSwap(l, nil) // it ended for another batch: this one goes on in the next
	}
	return errors.New("logs end faster than reports arrive")
}

// assign decides where the reports of a batch go.
func (s *Shuffler) assign(h *hosted, k Key, in *intake) (*sharedLog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.sharedFor(h.task.Closes(k.Epoch).Unix())
	if err != nil {
		return nil, err
	}
	l.members[k] = struct{}{}
	in.log.Store(l)
	return l, nil
}

// sharedFor returns the log of the batches that close at a time, or if there are
// too many logs the one whose time is nearest. Callers hold s.mu.
func (s *Shuffler) sharedFor(closes int64) (*sharedLog, error) {
	var near *sharedLog
	for _, l := range s.shared.active {
		if near == nil || abs(l.closes-closes) < abs(near.closes-closes) {
			near = l
		}
	}
	if near != nil && (near.closes == closes || len(s.shared.active) >= maxShared) {
		return near, nil
	}
	l, _, err := s.openShared(s.shared.serial + 1)
	if err != nil {
		return nil, err
	}
	s.shared.serial++
	l.closes = closes
	s.shared.active = append(s.shared.active, l)
	if err := s.listShared(nil); err != nil {
		s.shared.active = s.shared.active[:len(s.shared.active)-1]
		return nil, errors.Join(err, l.log.Close())
	}
	return l, nil
}

func abs(n int64) int64 { return max(n, -n) }

func (s *Shuffler) openShared(serial uint64) (*sharedLog, segment.Recovery, error) {
	dir := filepath.Join(s.sharedDir(), strconv.FormatUint(serial, 10))
	log, found, err := segment.Open(dir, segment.Options{FS: s.config.FS})
	if err != nil {
		return nil, found, fmt.Errorf("opening shared log %d: %w", serial, err)
	}
	return &sharedLog{log: log, dir: dir, serial: serial, members: map[Key]struct{}{}}, found, nil
}

// settle distributes all shared logs that may hold reports of a batch. It is called
// with tickMu held, when the batch takes no more reports, or by New.
func (s *Shuffler) settle(k Key) error {
	s.mu.Lock()
	holds := func(l *sharedLog) bool { _, ok := l.members[k]; return ok }
	for _, l := range s.shared.active {
		if !holds(l) {
			continue
		}
		s.shared.ended = append(s.shared.ended, l)
		for member := range l.members {
			if in := s.intakes[member]; in != nil {
				in.log.CompareAndSwap(l, nil)
			}
		}
	}
	s.shared.active = slices.DeleteFunc(s.shared.active, holds)
	var due []*sharedLog
	for _, l := range s.shared.ended {
		if holds(l) {
			due = append(due, l)
		}
	}
	s.mu.Unlock()
	for _, l := range due {
		if err := s.distribute(l); err != nil {
			return fmt.Errorf("distributing the reports of shared log %d: %w", l.serial, err)
		}
	}
	return nil
}

// distribute moves the reports of a log that has ended to logs of their batches,
// and removes it.
func (s *Shuffler) distribute(l *sharedLog) error {
	if !l.split {
		err := l.log.End()
		if err == nil {
			err = s.split(l)
		}
		if err != nil {
			return err
		}
		l.split = true
	}
	if err := l.log.Close(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listShared(l); err != nil {
		return err
	}
	if err := segment.Remove(s.config.FS, l.dir); err != nil {
		return err
	}
	s.shared.ended = slices.DeleteFunc(s.shared.ended, func(o *sharedLog) bool { return o == l })
	return nil
}

func (s *Shuffler) split(l *sharedLog) error {
	var keys []Key
	index := map[Key]int{}
	return l.log.Split(segment.Split{
		Serial: l.serial,
		To: func(report []byte) (int, bool) {
			k, ok := keyOfReport(report)
			if !ok {
				return 0, false
			}
			i, known := index[k]
			if !known {
				i = len(keys)
				keys, index[k] = append(keys, k), i
			}
			return i, true
		},
		Dir: func(i int) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			if in := s.intakes[keys[i]]; in != nil {
				in.own = true
			}
			return s.logDir(keys[i])
		},
		Lost: func(d segment.Damage) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lost(d)
		},
	})
}

func keyOfReport(report []byte) (Key, bool) {
	header, err := esa.ParseHeader(report)
	return Key{header.Task, header.Epoch}, err == nil
}

// recoverLogs finds what the logs of open batches hold. It is called by New.
func (s *Shuffler) recoverLogs(open []Key) error {
	written := map[uint64]bool{} // serials of shared logs of which something is distributed
	var own []Key
	for _, k := range open {
		s.intakes[k] = &intake{}
		entries, err := s.config.FS.ReadDir(s.logDir(k))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		own = append(own, k)
		s.intakes[k].own = true
		for _, e := range entries {
			serial := segment.SerialOf(e.Name())
			written[serial] = true
			s.shared.serial = max(s.shared.serial, serial)
		}
	}
	if err := s.checkShared(); err != nil {
		return err
	}
	if err := s.recoverShared(written); err != nil {
		return err
	}
	for _, k := range own {
		log, err := s.openLog(k)
		if err != nil {
			return err
		}
		s.intakes[k].taken.Add(log.Len())
		if err := log.Close(); err != nil {
			return err
		}
	}
	return nil
}

// recoverShared finds the shared logs of an earlier process, which take no more
// reports.
func (s *Shuffler) recoverShared(written map[uint64]bool) error {
	entries, err := s.config.FS.ReadDir(s.sharedDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		serial, err := strconv.ParseUint(e.Name(), 10, 37)
		if err != nil || serial == 0 {
			continue
		}
		if err := s.recoverLog(serial, written[serial]); err != nil {
			return err
		}
	}
	return nil
}

// recoverLog counts the reports of one shared log, or goes on distributing them.
// Reports of batches that the store does not have open are distributed at once, so
// that they are where all others of unknown batches would be.
func (s *Shuffler) recoverLog(serial uint64, begun bool) error {
	l, found, err := s.openShared(serial)
	if err != nil {
		return err
	}
	s.shared.serial = max(s.shared.serial, serial)
	s.shared.ended = append(s.shared.ended, l)
	s.lost(found.Damaged...)
	counts := map[Key]int64{}
	for report, err := range l.log.Records() {
		if d, ok := errors.AsType[segment.Damage](err); ok {
			s.lost(d)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading shared log %d: %w", serial, err)
		}
		if k, ok := keyOfReport(report); ok {
			counts[k]++
		}
	}
	settle := begun || found.Records == 0
	for k := range counts {
		l.members[k] = struct{}{}
		settle = settle || s.intakes[k] == nil
	}
	if settle {
		err := s.distribute(l)
		if err == nil || !errors.Is(err, segment.ErrFull) {
			return err
		}
	}
	for k, n := range counts {
		if in := s.intakes[k]; in != nil {
			in.taken.Add(n)
		}
	}
	return nil
}
