// Package crashfs is a file system for tests of durability. It loses power at a
// chosen call, and then shows what a machine might find: everything that was
// synced, and an arbitrary part of what was not.
//
// A test runs the code under test once to count its calls, and again for each
// call to crash there:
//
//	for n := 1; n <= calls; n++ {
//		disk := crashfs.New(seed)
//		disk.CrashAt(n)
//		acknowledged := work(disk) // errors with crashfs.ErrCrashed at some point
//		for range 4 {
//			check(disk.Restart(), acknowledged) // each time another outcome
//		}
//	}
//
// What is modelled: the bytes of a file count as synced after Sync, its name
// after SyncDir of the directory, each independently of the other. Of unsynced
// writes none, all, the first ones with the last one torn (short, zero-filled
// or followed by rubbish), or any set of 512-byte sectors survive; of unsynced
// creations, renames and removals none, all, the first ones or any set. After
// a Sync that FailWith made fail, what it should have written is partly lost
// permanently, although readers see it until the restart and later calls succeed.
//
// What is not: damage to synced bytes, and time.
package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/disk"
)

// ErrCrashed is what every call returns from the crash on.
var ErrCrashed = errors.New("crashed")

// An FS is a durable.FS that can crash. It is safe for concurrent use.
type FS struct {
	disk *disk.Disk

	mu      sync.Mutex // guards all below
	rand    *rand.Rand
	calls   int
	crashAt int // number of the call that crashes; 0: none
	crashed bool
	fail    func(op, name string) error
}

var _ durable.FS = (*FS)(nil)

// New returns an empty file system. Equal seeds and equal calls give equal
// outcomes.
func New(seed uint64) *FS {
	return &FS{disk: disk.New(disk.Journaled), rand: rand.New(rand.NewPCG(seed, 0))}
}

// CrashAt makes the nth mutating call from now crash, n >= 1. It and all calls
// after it return ErrCrashed. What it was to do may be found done or not.
func (c *FS) CrashAt(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashAt = c.calls + n
}

// Calls returns the number of mutating calls so far: creations, writes,
// truncations, syncs, renames, removals, and two for each directory made.
func (c *FS) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Crashed reports whether the crash has happened.
func (c *FS) Crashed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crashed
}

// Restart cuts the power now, unless that has happened already, and returns the
// file system that is found afterwards. Each call draws another outcome.
func (c *FS) Restart() *FS {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashed = true
	return &FS{disk: c.disk.Crash(c.rand), rand: rand.New(rand.NewPCG(c.rand.Uint64(), 1))}
}

// FailWith makes calls fail: before each one fail is asked with its kind
// ("open", "create", "read", "write", "truncate", "sync", "rename", "remove",
// "mkdir", "readdir", "stat", "syncdir") and the name, and an error it returns
// is the result. A write that fails has written a random part; a sync that
// fails is described in the package comment; the others have done nothing. nil
// ends that. fail must not call the FS.
func (c *FS) FailWith(fail func(op, name string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// look is asked before calls that change nothing.
func (c *FS) look(op, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashed {
		return crashError(op, name)
	}
	return c.injected(op, name)
}

func (c *FS) injected(op, name string) error {
	if c.fail == nil {
		return nil
	}
	if err := c.fail(op, name); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func crashError(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: ErrCrashed} }

// verdict on a mutating call.
type verdict int

const (
	proceed verdict = iota
	crash           // do it, unsynced, and return the error
	fail            // the call fails without a crash
	dead            // the crash came before
)

func (c *FS) mutate(op, name string) (verdict, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashed {
		return dead, crashError(op, name)
	}
	c.calls++
	if c.calls == c.crashAt {
		c.crashed = true
		return crash, crashError(op, name)
	}
	if err := c.injected(op, name); err != nil {
		return fail, err
	}
	return proceed, nil
}

// do runs a change of names, which stays unsynced when the crash is now.
func (c *FS) do(op, name string, change func() error) error {
	v, err := c.mutate(op, name)
	switch v {
	case proceed:
		return change()
	case crash:
		_ = change() // the caller is dead
	}
	return err
}

// sync runs a sync, which is not carried out when the crash is now: among the
// outcomes is the one in which everything survives.
func (c *FS) sync(op, name string, sync func() error) error {
	if v, err := c.mutate(op, name); v != proceed {
		return err
	}
	return sync()
}

// random returns a generator of its own for one call.
func (c *FS) random() *rand.Rand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return rand.New(rand.NewPCG(c.rand.Uint64(), 2))
}

// OpenFile opens a file.
func (c *FS) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	var h *disk.Handle
	open := func() error {
		var err error
		h, err = c.disk.OpenFile(name, flag, perm)
		return err
	}
	var err error
	if c.changes(name, flag) {
		err = c.do("create", name, open)
	} else if err = c.look("open", name); err == nil {
		err = open()
	}
	if err != nil {
		return nil, err
	}
	return &file{Handle: h, fs: c}, nil
}

// changes reports whether opening the file changes something on the disk.
func (c *FS) changes(name string, flag int) bool {
	info, err := c.disk.Stat(name)
	if err != nil {
		return flag&os.O_CREATE != 0
	}
	return flag&os.O_TRUNC != 0 && info.Size() > 0
}

// Rename moves a file.
func (c *FS) Rename(oldname, newname string) error {
	return c.do("rename", newname, func() error { return c.disk.Rename(oldname, newname) })
}

// Remove removes a file or an empty directory.
func (c *FS) Remove(name string) error {
	return c.do("remove", name, func() error { return c.disk.Remove(name) })
}

// MkdirAll makes a directory and its missing parents.
func (c *FS) MkdirAll(name string, perm fs.FileMode) error {
	missing, err := c.disk.Missing(name)
	if err != nil {
		return err
	}
	for _, dir := range missing {
		err := c.do("mkdir", dir, func() error { return c.disk.Mkdir(dir, perm) })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := c.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return c.look("mkdir", name)
}

// ReadDir lists a directory.
func (c *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := c.look("readdir", name); err != nil {
		return nil, err
	}
	return c.disk.ReadDir(name)
}

// Stat describes a file.
func (c *FS) Stat(name string) (fs.FileInfo, error) {
	if err := c.look("stat", name); err != nil {
		return nil, err
	}
	return c.disk.Stat(name)
}

// SyncDir makes the entries of a directory durable.
func (c *FS) SyncDir(name string) error {
	return c.sync("syncdir", name, func() error { return c.disk.SyncDir(name) })
}

// String shows in failing tests where the crash was.
func (c *FS) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("crashfs: %d mutating calls, crash at %d", c.calls, c.crashAt)
}
