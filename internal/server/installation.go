package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// installationFile is the marker beside the keys that lists the stores and folders
// that the organisation has created, and the file in each folder with its ID.
const installationFile = "installation.json"

func (c Config) installationPath() string { return filepath.Join(c.Keys.Dir, installationFile) }

// errMissing means that data which the organisation has created is not there.
var errMissing = errors.New("missing data")

// An installation is what an organisation knows of its own data: the random ID of
// each store and folder. Without it a server whose disk is not mounted would start
// as a new one: an aggregator would forget which reports counted, and reports of
// clients would be neither counted nor destroyed.
type installation struct {
	path    string
	newData bool // take what is there for the data, whatever the marker lists
	known   map[string]string
	changed bool

	replaced bool // a store is another one than before, and that was accepted
}

type installationDocument struct {
	Version int               `json:"version"`
	Data    map[string]string `json:"data"` // by the name of a holding
}

// openInstallation reads the marker. An organisation without one has not run yet,
// or only with a version that wrote none: its data is taken as it is.
func openInstallation(c Config, newData bool) (*installation, error) {
	i := &installation{path: c.installationPath(), newData: newData, known: map[string]string{}}
	b, err := os.ReadFile(i.path)
	if errors.Is(err, fs.ErrNotExist) {
		i.changed = true
		return i, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of data: %w", err)
	}
	var d installationDocument
	if err := json.Unmarshal(b, &d); err != nil || d.Version != 1 {
		return nil, fmt.Errorf("reading the list of data: %s is damaged or of a newer version: restore it from a backup", i.path)
	}
	if d.Data != nil {
		i.known = d.Data
	}
	return i, nil
}

// save makes the marker durable, if it has changed.
func (i *installation) save() error {
	if !i.changed {
		return nil
	}
	b, err := json.MarshalIndent(installationDocument{1, i.known}, "", "  ")
	if err != nil {
		return err
	}
	if err := writePrivate(i.path, append(b, '\n')); err != nil {
		return fmt.Errorf("writing the list of data: %w", err)
	}
	i.changed = false
	return nil
}

// A holding is a store or a folder of an organisation.
type holding struct {
	name string    // in the marker
	role task.Role // 0: it is not that of a role
	path string    // "": a store that is no file
	fs   durable.FS
	dir  bool
}

func leaderFolder(node string) string { return "folder of leader " + node }

func storeHolding(r task.Role) string { return "store of " + r.String() }

// holdings lists the stores and folders of the configured roles.
func (c Config) holdings(fsys durable.FS) []holding {
	all := []holding{{name: "folder of tasks", path: c.tasksDir(), fs: durable.OS(), dir: true}}
	for _, r := range c.Roles {
		if r == task.Relay || r == task.Randomness { // it has a folder alone
			where := durable.OS() // of the relay, whatever fsys is
			if r == task.Randomness {
				where = fsys
			}
			all = append(all, holding{name: "folder of " + r.String(), role: r, path: filepath.Join(c.Data, r.String()), fs: where, dir: true})
			continue
		}
		store := holding{name: storeHolding(r), role: r, path: filepath.Join(c.Data, r.String()+".db"), fs: durable.OS()}
		if c.Aggregates.Postgres != "" && (r == task.Leader || r == task.Helper) {
			store.path = ""
		}
		all = append(all, store)
		if r == task.Helper {
			continue
		}
		folder := holding{name: "folder of " + r.String(), role: r, path: filepath.Join(c.Data, r.String()), fs: fsys, dir: true}
		if r == task.Leader { // each server of a leader has one
			folder.name = leaderFolder(c.Aggregates.Node)
		}
		all = append(all, folder)
	}
	return all
}

// id returns the ID of a folder, "" if it has none.
func (h holding) id() (string, error) {
	b, err := durable.ReadFile(h.fs, filepath.Join(h.path, installationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// missing describes what of a holding is not there that the marker lists, or "".
func (i *installation) missing(h holding) (string, error) {
	want, known := i.known[h.name]
	switch {
	case !known || h.path == "":
		return "", nil
	case h.dir:
		have, err := h.id()
		if err != nil || have == want {
			return "", err
		}
		if have == "" {
			return h.path, nil
		}
		return h.path + " (another folder is there)", nil
	}
	info, err := h.fs.Stat(h.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return h.path, nil
	}
	return "", err
}

// A missingHolding is one that is not there, and its description.
type missingHolding struct {
	holding
	what string
}

// check returns what is missing. It refuses a start without it, before anything is
// created, unless it is given up.
func (i *installation) check(all []holding) ([]missingHolding, error) {
	var gone []missingHolding
	var names []string
	for _, h := range all {
		what, err := i.missing(h)
		if err != nil {
			return nil, err
		}
		if what != "" {
			gone, names = append(gone, missingHolding{h, what}), append(names, what)
		}
	}
	if len(gone) > 0 && !i.newData {
		return gone, i.refuse(strings.Join(names, ", "))
	}
	return gone, nil
}

func (i *installation) refuse(what string) error {
	return fmt.Errorf("%w: %s: this organisation has had it (%s). Mount the volume that holds it or restore a backup; "+
		"if it is lost, \"shoal serve --new-data\" starts without it once, and its reports are not counted", errMissing, what, i.path)
}

// establish gives the folders that are new their IDs, durably.
func (i *installation) establish(all []holding) error {
	for _, h := range all {
		if !h.dir {
			continue
		}
		have, err := h.id()
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		if have == "" {
			have = strings.ToLower(rand.Text())
			if err := h.fs.MkdirAll(h.path, 0o700); err != nil {
				return fmt.Errorf("data: %w", err)
			}
			if err := durable.WriteFile(h.fs, filepath.Join(h.path, installationFile), []byte(have+"\n"), 0o600); err != nil {
				return fmt.Errorf("data: %w", err)
			}
		}
		i.learn(h.name, have)
	}
	return nil
}

func (i *installation) learn(name, id string) {
	if i.known[name] != id {
		i.known[name], i.changed = id, true
	}
}

// identified is a store that has an ID.
type identified interface {
	Installation(context.Context) (string, error)
}

// confirm checks that an opened store is the one that the organisation has had, or
// learns that there is one now. It reports whether it is another one.
func (i *installation) confirm(ctx context.Context, r task.Role, store identified) (other bool, err error) {
	id, err := store.Installation(ctx)
	if err != nil {
		return false, err
	}
	name := storeHolding(r)
	want, known := i.known[name]
	other = known && want != id
	if other && !i.newData {
		return true, fmt.Errorf("data: %w", i.refuse("the "+name+" is another one, or an empty one"))
	}
	i.replaced = i.replaced || other
	i.learn(name, id)
	return other, nil
}
