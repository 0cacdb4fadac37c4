// Package disk is a disk in memory. With [Journaled] it remembers for each file
// which writes, and for each directory which entries, came after the last sync,
// so that [Disk.Crash] can make the disk that a machine might find after losing
// power. Package durable builds its in-memory file system on it, package
// crashfs its test double.
//
// The model is stricter than common file systems: syncing a file does not make
// its name durable, unsynced entries of a directory survive in any combination,
// and so do the 512-byte sectors of unsynced writes.
package disk

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Mode selects what a Disk remembers.
type Mode int

const (
	// Forgetful disks know only their present state; they cannot crash.
	Forgetful Mode = iota
	// Journaled disks also know what was not synced.
	Journaled
)

// A Disk holds a tree of files. Its methods are those of durable.FS and safe
// for concurrent use.
type Disk struct {
	mode Mode

	mu    sync.Mutex // guards all below, and every node of the tree
	root  *node
	moves int // number of changes to directories so far
}

// node is a file or a directory.
type node struct {
	perm fs.FileMode // with fs.ModeDir for directories

	data   []byte   // file: content now
	synced []byte   // file, journaled: content at the last sync
	since  []change // file, journaled: what was done after it

	children map[string]*node // directory: entries now
	kept     map[string]*node // directory, journaled: entries at the last sync
	moved    []*move          // directory, journaled: what was done after it
}

// New returns an empty disk.
func New(mode Mode) *Disk { return &Disk{mode: mode, root: newDir(0o755)} }

func newDir(perm fs.FileMode) *node {
	return &node{perm: perm.Perm() | fs.ModeDir, children: map[string]*node{}, kept: map[string]*node{}}
}

func (n *node) isDir() bool { return n.perm.IsDir() }

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// split cuts a name into its components; the root has none.
func split(name string) []string {
	name = filepath.ToSlash(filepath.Clean(name[len(filepath.VolumeName(name)):]))
	return slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" || s == "." })
}

func (d *Disk) find(parts []string) (*node, error) {
	n := d.root
	for _, p := range parts {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		n = n.children[p]
		if n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// parent finds the directory that holds name, and name's last component.
func (d *Disk) parent(name string) (*node, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	dir, err := d.find(parts[:len(parts)-1])
	if err != nil {
		return nil, "", err
	}
	if !dir.isDir() {
		return nil, "", syscall.ENOTDIR
	}
	return dir, parts[len(parts)-1], nil
}

// OpenFile opens a file.
func (d *Disk) OpenFile(name string, flag int, perm fs.FileMode) (*Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.open(name, flag, perm)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &Handle{disk: d, node: n, name: name, flag: flag}, nil
}

func (d *Disk) open(name string, flag int, perm fs.FileMode) (*node, error) {
	n, err := d.find(split(name))
	if err == nil {
		return d.openExisting(n, flag)
	}
	if !errors.Is(err, fs.ErrNotExist) || flag&os.O_CREATE == 0 {
		return nil, err
	}
	dir, base, err := d.parent(name)
	if err != nil {
		return nil, err
	}
	n = &node{perm: perm.Perm()}
	d.apply(&move{to: dir, toName: base, what: n})
	return n, nil
}

func (d *Disk) openExisting(n *node, flag int) (*node, error) {
	if flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0 {
		return nil, fs.ErrExist
	}
	if n.isDir() && flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return nil, syscall.EISDIR
	}
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		d.change(n, change{truncate: true})
	}
	return n, nil
}

// Rename moves a file or directory and replaces a file of the new name.
func (d *Disk) Rename(oldname, newname string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, fromName, err := d.parent(oldname)
	if err != nil {
		return pathError("rename", oldname, err)
	}
	n := from.children[fromName]
	if n == nil {
		return pathError("rename", oldname, fs.ErrNotExist)
	}
	to, toName, err := d.parent(newname)
	if err != nil {
		return pathError("rename", newname, err)
	}
	if old := to.children[toName]; old != nil && old != n && (old.isDir() || n.isDir()) {
		return pathError("rename", newname, fs.ErrExist)
	}
	if from == to && fromName == toName {
		return nil
	}
	d.apply(&move{from: from, fromName: fromName, to: to, toName: toName, what: n})
	return nil
}

// Remove removes a file or an empty directory.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n := dir.children[base]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if len(n.children) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	d.apply(&move{from: dir, fromName: base, what: n})
	return nil
}

// Mkdir makes one directory; its name is durable after SyncDir of the parent.
func (d *Disk) Mkdir(name string, perm fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.parent(name)
	if err != nil {
		return pathError("mkdir", name, err)
	}
	if dir.children[base] != nil {
		return pathError("mkdir", name, fs.ErrExist)
	}
	d.apply(&move{to: dir, toName: base, what: newDir(perm)})
	return nil
}

// Missing returns the directories that MkdirAll of name would have to make,
// outermost first. A file in the way is an error.
func (d *Disk) Missing(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []string
	for {
		n, err := d.find(split(name))
		if err == nil && !n.isDir() {
			err = syscall.ENOTDIR
		}
		if err == nil {
			slices.Reverse(missing)
			return missing, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, pathError("mkdir", name, err)
		}
		missing = append(missing, name)
		name = filepath.Dir(name)
	}
}

// MkdirAll makes a directory and its missing parents, durably.
func (d *Disk) MkdirAll(name string, perm fs.FileMode) error {
	missing, err := d.Missing(name)
	if err != nil {
		return err
	}
	for _, dir := range missing {
		if err := d.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := d.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// ReadDir lists a directory, sorted by name.
func (d *Disk) ReadDir(name string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(split(name))
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	var entries []fs.DirEntry
	for _, child := range slices.Sorted(maps.Keys(n.children)) {
		entries = append(entries, fs.FileInfoToDirEntry(n.children[child].info(child)))
	}
	return entries, nil
}

// Stat describes a file.
func (d *Disk) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(split(name))
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return n.info(filepath.Base(name)), nil
}

func (n *node) info(name string) fs.FileInfo {
	return info{name: name, size: int64(len(n.data)), mode: n.perm}
}

type info struct {
	name string
	size int64
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
func (i info) ModTime() time.Time { return time.Time{} } // not kept
