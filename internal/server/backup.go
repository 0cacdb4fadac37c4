package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// The parts of a backup, and the file that lists them.
const (
	backupManifest = "backup.json"
	backupDigest   = "backup.sha256" // of the manifest

	configPart  = "config"  // shoal.yaml
	keysPart    = "keys"    // the key folder
	tasksPart   = "tasks"   // bundles that came by the management API
	servedPart  = "served"  // bundles that are served or were, and since when they are withdrawn
	bundlesPart = "bundles" // bundles of the configuration, by number
	filesPart   = "files"   // other files that the configuration names, by number
	storesPart  = "stores"  // databases, of leader and helper the tasks and keys alone
	tablesPart  = "tables"  // folders of analyzer and collector
)

// A BackupInfo describes what a backup is of.
type BackupInfo struct {
	Version      int          `json:"version"` // 1
	Made         time.Time    `json:"made"`
	Organisation string       `json:"organisation"`
	Roles        []task.Role  `json:"roles"`
	Files        []BackupFile `json:"files"`
}

// A BackupFile is one file of a backup.
type BackupFile struct {
	Path   string `json:"path"` // with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Backup writes all that an organisation needs to go on after its machine is lost
// into a new folder; it may run beside the server. The folder appears when it is
// whole. In it are secrets. Not in it are reports that wait and what an aggregator
// knows of those that counted: see [Restore].
func Backup(ctx context.Context, c Config, configFile, dir string, now time.Time, progress func(stage string, done, total int)) (*BackupInfo, error) {
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("backing up: %s exists; name a folder that does not", dir)
	}
	b := &backup{config: c, dir: dir + ".partial", progress: progress}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return nil, fmt.Errorf("backing up: %w", err)
	}
	info, err := b.write(ctx, configFile, now)
	if err == nil {
		err = durable.OS().Rename(b.dir, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("backing up: %w", err), os.RemoveAll(b.dir))
	}
	return info, nil
}

type backup struct {
	config   Config
	dir      string
	progress func(stage string, done, total int)
	files    []BackupFile
}

func (b *backup) write(ctx context.Context, configFile string, now time.Time) (*BackupInfo, error) {
	steps := []func() error{
		func() error { return b.file(configFile, configPart, backupConfigName) },
		func() error { return b.folder(ctx, b.config.Keys.Dir, keysPart) },
		func() error { return b.folder(ctx, b.config.tasksDir(), tasksPart) },
		func() error { return b.folder(ctx, b.config.servedDir(), servedPart) },
		b.named,
	}
	for _, r := range b.config.Roles {
		steps = append(steps, func() error { return b.role(ctx, r) })
	}
	for i, step := range steps {
		b.progress("backing up", i, len(steps))
		if err := errors.Join(ctx.Err(), step()); err != nil {
			return nil, err
		}
	}
	info := &BackupInfo{Version: 1, Made: now.UTC(), Organisation: b.config.Organisation, Roles: b.config.Roles, Files: b.files}
	b.progress("backing up", len(steps), len(steps))
	return info, writeInfo(b.dir, info)
}

// writeInfo writes the list of files and its digest.
func writeInfo(dir string, info *BackupInfo) error {
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	digest := sha256.Sum256(text)
	return errors.Join(
		writePrivate(filepath.Join(dir, backupManifest), text),
		writePrivate(filepath.Join(dir, backupDigest), []byte(hex.EncodeToString(digest[:])+"\n")))
}

// backupConfigName is what the configuration is called in a backup.
const backupConfigName = configFile

// file copies one file and notes its digest.
func (b *backup) file(name string, to ...string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	path := filepath.Join(append([]string{b.dir}, to...)...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	n, digest, err := copyPrivate(path, in)
	if err != nil {
		return err
	}
	return b.note(path, n, digest)
}

func (b *backup) note(path string, n int64, digest string) error {
	rel, err := filepath.Rel(b.dir, path)
	b.files = append(b.files, BackupFile{filepath.ToSlash(rel), n, digest})
	return err
}

// copyPrivate writes a new private file durably and returns its length and digest.
func copyPrivate(name string, in io.Reader) (int64, string, error) {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), in)
	err = errors.Join(err, out.Sync(), out.Close())
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// folder copies a folder, if there is one.
func (b *backup) folder(ctx context.Context, dir string, to ...string) error {
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file, and cannot be backed up", name)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		err = b.file(name, append(slices.Clone(to), rel)...)
		if errors.Is(err, fs.ErrNotExist) { // it was replaced or has expired meanwhile
			return nil
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// namedFiles are the single files that the configuration names, in a fixed order.
func (c *Config) namedFiles() []string {
	return []string{c.Keys.PolicyFile, c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ClientCAFile, c.TLS.ClientCertFile, c.TLS.ClientKeyFile, c.TLS.PeerCAFile}
}

// named copies what the configuration names.
func (b *backup) named() error {
	for i, name := range b.config.Tasks.Bundles {
		if err := b.file(name, bundlesPart, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	for i, name := range b.config.namedFiles() {
		if name == "" {
			continue
		}
		if err := b.file(name, filesPart, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}

// role copies what a role keeps.
func (b *backup) role(ctx context.Context, r task.Role) error {
	switch r {
	case task.Analyzer:
		return b.tables(ctx, b.config.analyzerStore(), r)
	case task.Collector:
		return b.tables(ctx, b.config.collectorStore(), r)
	case task.Leader, task.Helper:
		return b.registry(ctx, r)
	}
	return nil // a shuffler's reports and batches are not to be kept anywhere else
}

// storeName is what a role's store is called in a backup.
func storeName(r task.Role) string { return r.String() + ".db" }

// tables copies the catalogue and the tables of a role that releases, until the
// catalogue is the same before and after: then the tables are those of it.
func (b *backup) tables(ctx context.Context, store string, r task.Role) error {
	if there, err := hasStore(store); err != nil || !there {
		return err // it has not run yet
	}
	to := filepath.Join(b.dir, storesPart, storeName(r))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	files := slices.Clone(b.files)
	const attempts = 5
	for range attempts {
		b.files = slices.Clone(files)
		folder := filepath.Join(b.dir, tablesPart, r.String())
		if err := errors.Join(removeFile(to), os.RemoveAll(folder), sqlite.Snapshot(ctx, store, to)); err != nil {
			return err
		}
		if err := b.folder(ctx, filepath.Join(b.config.Data, r.String()), tablesPart, r.String()); err != nil {
			return err
		}
		same, err := b.unchanged(ctx, store, to)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		n, digest, err := digestOf(to)
		if err != nil {
			return err
		}
		return b.note(to, n, digest)
	}
	return fmt.Errorf("the %s released results in each of %d attempts to copy them; try again, or stop the server first", r, attempts)
}

// unchanged reports whether a store is still equal to its copy.
func (b *backup) unchanged(ctx context.Context, store, copied string) (bool, error) {
	again := copied + ".again"
	defer os.Remove(again)
	if err := sqlite.Snapshot(ctx, store, again); err != nil {
		return false, err
	}
	_, x, err1 := digestOf(copied)
	_, y, err2 := digestOf(again)
	return x == y, errors.Join(err1, err2)
}

// registry copies the tasks and keys of an aggregator, from file or database, and
// nothing of what it counted.
func (b *backup) registry(ctx context.Context, r task.Role) error {
	to := filepath.Join(b.dir, storesPart, storeName(r))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	from := b.config
	if from.Aggregates.Postgres == "" {
		if there, err := hasStore(from.aggregatorStore(r)); err != nil || !there {
			return err // it has not run yet
		}
		// Of a copy, so that no newer program changes the file of a server that runs.
		from.Data = b.dir
		whole := from.aggregatorStore(r)
		if err := sqlite.Snapshot(ctx, b.config.aggregatorStore(r), whole); err != nil {
			return err
		}
		defer removeStore(whole)
	}
	source, err := openAggregatorStore(ctx, from, r)
	if err != nil {
		return err
	}
	defer source.Close()
	part := to + ".part"
	defer removeStore(part)
	only, err := openAggregatorFile(ctx, part, r)
	if err != nil {
		return err
	}
	if err := errors.Join(tasks.Copy(ctx, only, source), only.Close()); err != nil {
		return err
	}
	if err := sqlite.Snapshot(ctx, part, to); err != nil { // without a write-ahead log beside it
		return err
	}
	n, digest, err := digestOf(to)
	if err != nil {
		return err
	}
	return b.note(to, n, digest)
}

type aggregatorStore interface {
	tasks.Store
	io.Closer
}

func openAggregatorStore(ctx context.Context, c Config, r task.Role) (aggregatorStore, error) {
	if r == task.Leader {
		return openLeaderStore(ctx, c)
	}
	return openHelperStore(ctx, c)
}

func openAggregatorFile(ctx context.Context, name string, r task.Role) (aggregatorStore, error) {
	if r == task.Leader {
		return sqlite.OpenLeader(ctx, name)
	}
	return sqlite.OpenHelper(ctx, name)
}

// removeStore removes a database file and those beside it.
func removeStore(name string) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(name + suffix)
	}
}

func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func digestOf(name string) (int64, string, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

func damaged(what string) error {
	return fmt.Errorf("the backup is damaged: %s: nothing was restored; take another copy of it, or an older one", what)
}

// readInfo reads the list of files.
func readInfo(dir string) (*BackupInfo, error) {
	text, err := os.ReadFile(filepath.Join(dir, backupManifest))
	if err != nil {
		return nil, fmt.Errorf("reading a backup: %w", err)
	}
	want, err := os.ReadFile(filepath.Join(dir, backupDigest))
	if err != nil {
		return nil, fmt.Errorf("reading a backup: %w", err)
	}
	digest := sha256.Sum256(text)
	if hex.EncodeToString(digest[:]) != string(bytes.TrimSpace(want)) {
		return nil, damaged(backupManifest + " has another digest than " + backupDigest + " says")
	}
	var info BackupInfo
	if err := json.Unmarshal(text, &info); err != nil {
		return nil, damaged(backupManifest + ": " + err.Error())
	}
	if info.Version != 1 {
		return nil, fmt.Errorf("reading a backup: it has version %d, this program knows only 1: run a newer one", info.Version)
	}
	return &info, nil
}

// ReadBackup checks every file of a backup against its digest.
func ReadBackup(dir string, progress func(stage string, done, total int)) (*BackupInfo, error) {
	info, err := readInfo(dir)
	if err != nil {
		return nil, err
	}
	for i, f := range info.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return nil, damaged(fmt.Sprintf("%q leads out of it", f.Path))
		}
		n, have, err := digestOf(filepath.Join(dir, filepath.FromSlash(f.Path)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, damaged(f.Path + " is missing")
		case err != nil:
			return nil, fmt.Errorf("reading a backup: %w", err)
		case n != f.Bytes || have != f.SHA256:
			return nil, damaged(f.Path + " has another digest than " + backupManifest + " says")
		}
		progress("checking the backup", i+1, len(info.Files))
	}
	return info, nil
}
