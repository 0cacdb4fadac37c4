package leader

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/segment"
)

// beginningFile marks, in the folder of a task, that the store may know a log in
// which nothing was acknowledged. A process before shared logs has written it; now
// intents say so.
const beginningFile = "beginning"

// taskDir is the place of a task's logs.
func (l *Leader) taskDir(task dap.TaskID) string {
	return filepath.Join(l.config.Dir, hex.EncodeToString(task[:]))
}

// entries lists a folder, which may be missing.
func (l *Leader) entries(dir string) ([]fs.DirEntry, error) {
	all, err := l.config.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// hasFiles reports whether a log has files of its own.
func (l *Leader) hasFiles(k logKey) (bool, error) {
	entries, err := l.entries(l.dir(k))
	if err != nil {
		return false, fmt.Errorf("log %d of task %v: %w", k.number, k.task, err)
	}
	return len(entries) > 0, nil
}

// hasHeads reports whether the records of a log are those of a shared log.
func (l *Leader) hasHeads(k logKey) (bool, error) {
	entries, err := l.entries(l.dir(k))
	for _, e := range entries {
		if segment.SerialOf(e.Name()) > 0 {
			return true, err
		}
	}
	return false, err
}

// missingLog returns the error that the files of a log are gone.
func (l *Leader) missingLog(info Log) error {
	return fmt.Errorf("log %d of task %v is %v in the store and its folder %s is missing or empty, and no log in %s holds its reports: restore the folder, or give its reports up: shoal leader drop-node %s",
		info.Number, info.Task, info.State, l.dir(logKey{info.Task, info.Number}), l.sharedDir(), l.config.Node)
}

// found is what the disk holds of shared logs of an earlier process.
type found struct {
	logs    []*sharedLog
	counts  map[logKey]counted
	in      map[logKey]*sharedLog
	intents map[dap.TaskID][]*sharedLog // once for each log that the store may have begun in it and of which nothing was acknowledged
	damaged *sharedLog                  // one that has lost records; nil if none has
}

// counted are reports and their bytes.
type counted struct{ reports, size int64 }

// findShared opens the shared logs of an earlier process and reads them. They take no
// more reports.
func (l *Leader) findShared() (*found, error) {
	f := &found{counts: map[logKey]counted{}, in: map[logKey]*sharedLog{}, intents: map[dap.TaskID][]*sharedLog{}}
	entries, err := l.entries(l.sharedDir())
	if err != nil {
		return f, err
	}
	for _, e := range entries {
		serial, err := strconv.ParseUint(e.Name(), 10, 37)
		if err != nil || serial == 0 {
			continue
		}
		s, recovery, err := l.openShared(serial)
		if err != nil {
			return f, err
		}
		f.logs = append(f.logs, s)
		s.recovered, s.closing = true, true
		l.mu.Lock()
		l.sharing.serial = max(l.sharing.serial, serial)
		l.sharing.ended = append(l.sharing.ended, s)
		l.mu.Unlock()
		for _, d := range recovery.Damaged {
			s.lost(d)
		}
		if err := f.read(s); err != nil {
			return f, fmt.Errorf("reading intake log %d: %w", serial, err)
		}
		if len(s.damaged) > 0 {
			f.damaged = s
		}
	}
	for k, s := range f.in {
		if i := slices.Index(f.intents[k.task], s); i >= 0 {
			f.intents[k.task] = slices.Delete(f.intents[k.task], i, i+1)
		}
	}
	return f, nil
}

// read counts the reports of a shared log.
func (f *found) read(s *sharedLog) error {
	for b, err := range s.log.Records() {
		if d, damaged := asDamage(err); damaged {
			s.lost(d)
			continue
		}
		if err != nil {
			return err
		}
		r, ok := parseRecord(b)
		switch {
		case !ok:
			continue
		case r.intent():
			s.intents++
			f.intents[r.key.task] = append(f.intents[r.key.task], s)
			continue
		}
		c := f.counts[r.key]
		f.counts[r.key] = counted{c.reports + 1, c.size + int64(len(b))}
		f.in[r.key] = s
		s.numbers[r.key.task] = r.key.number
	}
	return nil
}

// A rest is a log of an earlier process.
type rest struct {
	info  Log
	home  *sharedLog // that may hold reports of it; nil: none does
	files bool       // it has files of its own
	counted
}

// logsHere returns the logs that the store expects on this disk. It fails if the
// reports of one are missing.
func (l *Leader) logsHere(ctx context.Context, f *found) ([]rest, error) {
	all, err := l.config.Store.Logs(ctx, l.config.Node)
	if err != nil {
		return nil, err
	}
	var rests []rest
	var errs []error
	intents := maps.Clone(f.intents)
	for _, info := range all {
		k := logKey{info.Task, info.Number}
		r := rest{info: info, home: f.in[k], counted: f.counts[k]}
		there, err := l.hasFiles(k)
		if err != nil {
			return nil, err
		}
		if there {
			size, err := l.sizeOf(k)
			if err != nil {
				return nil, err
			}
			r.size, r.files = r.size+size, true
		} else if r.home == nil && (info.State == LogOpen || info.Records > 0) {
			fresh, err := l.withoutFiles(&r, intents, f.damaged)
			if err != nil {
				return nil, err
			}
			if !fresh {
				errs = append(errs, l.missingLog(info))
				continue
			}
		}
		rests = append(rests, r)
	}
	return rests, errors.Join(errs...)
}

// withoutFiles reports whether it is right that nothing of a log is on the disk.
func (l *Leader) withoutFiles(r *rest, intents map[dap.TaskID][]*sharedLog, damaged *sharedLog) (bool, error) {
	if r.info.State == LogDone && r.info.Jobs == 0 {
		return true, nil // its files may be gone already
	}
	if r.info.State != LogOpen {
		return false, nil
	}
	if of := intents[r.info.Task]; len(of) > 0 {
		r.home, intents[r.info.Task] = of[0], of[1:]
		return true, nil
	}
	if r.home = damaged; r.home != nil { // reported when that is distributed
		return true, nil
	}
	// Those of an earlier process may be empty.
	if _, err := l.config.FS.Stat(l.dir(logKey{r.info.Task, r.info.Number})); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	return l.markedBeginning(r.info)
}

// markedBeginning reports whether the mark is there that an earlier process makes
// before it begins a log, and no later log.
func (l *Leader) markedBeginning(info Log) (bool, error) {
	entries, err := l.entries(l.taskDir(info.Task))
	if err != nil {
		return false, err
	}
	marked := false
	for _, e := range entries {
		if e.Name() == beginningFile {
			marked = true
		}
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && n > info.Number {
			return false, nil
		}
	}
	return marked, nil
}

// unmark removes the mark, after the store knows the log to be sealed.
func (l *Leader) unmark(task dap.TaskID) error {
	dir := l.taskDir(task)
	err := l.config.FS.Remove(filepath.Join(dir, beginningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = l.config.FS.SyncDir(dir)
	}
	return err
}

// sizeOf returns the bytes of a log's own files.
func (l *Leader) sizeOf(k logKey) (int64, error) {
	entries, err := l.entries(l.dir(k))
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
