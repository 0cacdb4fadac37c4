package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// Restore puts an organisation back from a backup into a folder that does not
// exist or is empty, and returns the configuration's file name and remarks for the
// operator. A damaged backup is refused whole.
//
// What the organisation did between the backup and now is forgotten, and nothing
// may count twice for it: reports that waited are lost, a shuffler begins without
// batches (those that were closed take no report any more, by their time alone),
// and a leader or helper drops every report from before now, for ever. Results that
// were released after the backup are lost here, and not made again.
func Restore(ctx context.Context, dir, to string, now time.Time, progress func(stage string, done, total int)) (string, []string, error) {
	info, err := ReadBackup(dir, progress)
	if err != nil {
		return "", nil, err
	}
	r := &restoring{from: dir, to: to, info: info, progress: progress}
	name, err := r.all(ctx, now)
	if err != nil {
		return "", nil, fmt.Errorf("restoring: %w", err)
	}
	return name, r.remarks, nil
}

type restoring struct {
	from, to string
	info     *BackupInfo
	config   Config
	progress func(stage string, done, total int)
	remarks  []string
}

func (r *restoring) all(ctx context.Context, now time.Time) (string, error) {
	if err := empty(r.to); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(r.from, configPart, backupConfigName))
	if err != nil {
		return "", err
	}
	if r.config, err = Parse(text, r.to, os.Getenv); err != nil {
		return "", fmt.Errorf("the configuration in it: %w", err)
	}
	if err := errors.Join(empty(r.config.Keys.Dir), empty(r.config.Data)); err != nil {
		return "", err
	}
	for i, f := range r.info.Files {
		if err := errors.Join(ctx.Err(), r.file(f)); err != nil {
			return "", err
		}
		r.progress("restoring", i+1, len(r.info.Files))
	}
	for _, role := range r.config.Roles {
		if err := r.role(ctx, role); err != nil {
			return "", err
		}
	}
	if err := r.marker(); err != nil {
		return "", err
	}
	if err := markRestored(r.config, now, r.info.Made); err != nil {
		return "", err
	}
	name := filepath.Join(r.to, configFile)
	return name, writePrivate(name, text) // last: it makes the folder an organisation
}

// empty refuses a folder that holds anything.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty, and nothing is overwritten: move it away, or name another folder", dir)
	}
	return err
}

// file copies one file to where the configuration has it.
func (r *restoring) file(f BackupFile) error {
	part, rest, _ := strings.Cut(f.Path, "/")
	var name string
	switch part {
	case keysPart:
		name = filepath.Join(r.config.Keys.Dir, filepath.FromSlash(rest))
	case tasksPart:
		name = filepath.Join(r.config.tasksDir(), filepath.FromSlash(rest))
	case servedPart:
		name = filepath.Join(r.config.servedDir(), filepath.FromSlash(rest))
	case tablesPart:
		name = filepath.Join(r.config.Data, filepath.FromSlash(rest))
	case bundlesPart:
		name = numbered(r.config.Tasks.Bundles, rest)
	case filesPart:
		name = numbered(r.config.namedFiles(), rest)
	case storesPart, configPart:
		return nil // later
	}
	if name == "" {
		return fmt.Errorf("%s belongs nowhere in the configuration", f.Path)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return copyTo(name, filepath.Join(r.from, filepath.FromSlash(f.Path)))
}

// copyTo copies a file to a name that does not exist.
func copyTo(name, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, _, err := copyPrivate(name, in); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists and is not overwritten: move it away", name)
		}
		return err
	}
	return nil
}

func numbered(names []string, number string) string {
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(names) {
		return ""
	}
	return names[i]
}

// role puts back the store of a role.
func (r *restoring) role(ctx context.Context, role task.Role) error {
	stored := filepath.Join(r.from, storesPart, storeName(role))
	_, err := os.Stat(stored)
	if role == task.Shuffler {
		r.remark("shuffler: reports that waited when the data was lost are lost; it begins without batches")
		return nil
	}
	if role == task.Randomness {
		r.remark("randomness: its keys are in no backup; nothing is evaluated in epochs that have begun, their records move to the next")
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.remark("%s: it had not run when the backup was made", role)
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.config.Data, 0o700); err != nil {
		return err
	}
	switch role {
	case task.Analyzer:
		r.remark("analyzer: results that were released after %s are not here", r.info.Made.Format(time.RFC3339))
		return copyTo(r.config.analyzerStore(), stored)
	case task.Collector:
		r.remark("collector: results that were released after %s are asked for again, and come if the leader still keeps them", r.info.Made.Format(time.RFC3339))
		return copyTo(r.config.collectorStore(), stored)
	}
	r.remark("%s: no report from before now counts any more, so that none counts twice; epochs that have begun are not answered", role)
	if r.config.Aggregates.Postgres == "" {
		return copyTo(r.config.aggregatorStore(role), stored)
	}
	return r.database(ctx, role, stored)
}

// database puts tasks and keys into a database that has none. One that has some is
// newer than the backup, and stays as it is.
func (r *restoring) database(ctx context.Context, role task.Role, stored string) error {
	whole := filepath.Join(r.config.Data, "restoring.db") // opening may bring it up to date
	defer removeStore(whole)
	if err := sqlite.Snapshot(ctx, stored, whole); err != nil {
		return err
	}
	from, err := openAggregatorFile(ctx, whole, role)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := openAggregatorStore(ctx, r.config, role)
	if err != nil {
		return err
	}
	defer to.Close()
	err = tasks.Copy(ctx, to, from)
	if errors.Is(err, tasks.ErrNotEmpty) {
		r.remark("%s: the database has tasks and was left as it is", role)
		return nil
	}
	return err
}

func (r *restoring) remark(format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf(format, args...))
}

// marker takes from the list of data what is not restored, so that the server does
// not wait for it.
func (r *restoring) marker() error {
	name := r.config.installationPath()
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it had not run
	}
	var d installationDocument
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		return fmt.Errorf("the list of data: %w", err)
	}
	kept := []string{storeHolding(task.Analyzer), storeHolding(task.Collector), "folder of analyzer", "folder of collector", "folder of tasks"}
	for holding := range d.Data {
		if !slices.Contains(kept, holding) {
			delete(d.Data, holding)
		}
	}
	if b, err = json.MarshalIndent(d, "", "  "); err != nil {
		return err
	}
	return writePrivate(name, append(b, '\n'))
}
