package leader

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/durable"
)

// beginningFile marks, in the folder of a task, that the store may know a log
// whose folder was not made yet. Nothing was acknowledged in such a log.
const beginningFile = "beginning"

// taskDir is the place of a task's logs.
func (l *Leader) taskDir(task dap.TaskID) string {
	return filepath.Join(l.config.Dir, hex.EncodeToString(task[:]))
}

// beginning makes the mark, before the store begins a log.
func (l *Leader) beginning(task dap.TaskID) error {
	dir := l.taskDir(task)
	if err := l.config.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(l.config.FS, filepath.Join(dir, beginningFile), nil, 0o600)
}

// begun removes the mark, after the folders of all logs that the store knows were
// made.
func (l *Leader) begun(task dap.TaskID) error {
	dir := l.taskDir(task)
	err := l.config.FS.Remove(filepath.Join(dir, beginningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = l.config.FS.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("beginning a log of task %v: %w", task, err)
	}
	return nil
}

// hasFiles reports whether the folder of a log is there, and not empty if the log
// is known to have reports.
func (l *Leader) hasFiles(info Log) (bool, error) {
	entries, err := l.config.FS.ReadDir(l.dir(logKey{info.Task, info.Number}))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("log %d of task %v: %w", info.Number, info.Task, err)
	}
	return len(entries) > 0 || info.Records == 0 && info.Jobs == 0, nil
}

// missingLog returns the error that the files of a log are gone.
func (l *Leader) missingLog(info Log) error {
	return fmt.Errorf("log %d of task %v is %v in the store and its folder %s is missing or empty: restore the folder, or give its reports up: shoal leader drop-node %s",
		info.Number, info.Task, info.State, l.dir(logKey{info.Task, info.Number}), l.config.Node)
}

// logsHere returns the logs that the store expects on this disk, and which of
// them were never written. It fails if the files of another one are missing.
func (l *Leader) logsHere(ctx context.Context) (logs []Log, unwritten map[logKey]bool, err error) {
	all, err := l.config.Store.Logs(ctx, l.config.Node)
	if err != nil {
		return nil, nil, err
	}
	unwritten = make(map[logKey]bool)
	var errs []error
	for _, info := range all {
		if info.State == LogDone && info.Jobs == 0 {
			continue // its files may be gone already
		}
		logs = append(logs, info)
		there, err := l.hasFiles(info)
		if err != nil {
			return nil, nil, err
		}
		if there {
			continue
		}
		fresh, err := l.neverWritten(info)
		if err != nil {
			return nil, nil, err
		}
		if !fresh {
			errs = append(errs, l.missingLog(info))
			continue
		}
		unwritten[logKey{info.Task, info.Number}] = true
	}
	return logs, unwritten, errors.Join(errs...)
}

// neverWritten reports whether a log without files is one that the store has
// begun and the process before did not come to use: the mark is there, and no
// later log.
func (l *Leader) neverWritten(info Log) (bool, error) {
	if info.State != LogOpen {
		return false, nil
	}
	entries, err := l.config.FS.ReadDir(l.taskDir(info.Task))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
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
