// Package durable is the boundary between Shoal and the disk: the few file
// operations whose order decides what survives a crash, and the helpers that
// get that order right.
//
// A write is not on the disk before [File] Sync has returned nil, and a name
// (created, renamed, removed) is not on the disk before [FS] SyncDir of its
// directory has. Code that promises durability is written against FS, runs on
// [OS] in production and on the crashfs double in tests, which forgets all that
// was not synced. [Mem] is a disk for simulations that need no durability.
//
//	err := durable.WriteFile(durable.OS(), "state/epoch", data, 0o600)
//	if durable.IsFull(err) {
//		// nothing changed; try again when there is space
//	}
//
// Limits: a disk that lies about its write cache cannot be found out from here.
// On Windows directories cannot be synced and SyncDir does nothing, so a rename
// there is as durable as the file system's journal makes it. Removing a file
// does not overwrite its blocks.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An FS holds files. Names are paths of the operating system; errors satisfy
// errors.Is for fs.ErrNotExist, fs.ErrExist and the like. Implementations are
// safe for concurrent use.
type FS interface {
	// OpenFile opens name with the flags of package os. A file it creates is
	// durable under its name only after SyncDir of the directory.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename moves a file, replacing newname atomically: a crash leaves either
	// the old state or the new one. The new one is certain after SyncDir of
	// both directories, that of newname first.
	Rename(oldname, newname string) error
	// Remove removes a file or an empty directory, durably after SyncDir.
	Remove(name string) error
	// MkdirAll makes a directory and its missing parents. It is durable when
	// it returns: the parents it changed have been synced.
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the present entries of a directory durable.
	SyncDir(name string) error
}

// A File is an open file. Calls that use the file's own offset (Read, Write,
// Seek) must not run concurrently; the others may.
type File interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.WriterAt
	io.Seeker
	io.Closer
	// Truncate changes the size, durably after Sync.
	Truncate(size int64) error
	// Sync makes the content and size durable (fdatasync). After an error the
	// state of all that was written since the last success is unknown, and a
	// later success proves nothing about it: go on in another file.
	Sync() error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
	// Name is the name the file was opened with.
	Name() string
}

// WriteFile replaces the file name by data, atomically and durably: after a
// crash the file is the old one or the new one, and the new one once WriteFile
// has returned nil. It writes name+".tmp" first, which a crash may leave
// behind; calls for one name must not overlap.
func WriteFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	tmp := name + ".tmp"
	err := writeSynced(fsys, tmp, data, perm)
	if err == nil {
		err = fsys.Rename(tmp, name)
	}
	if err != nil {
		_ = fsys.Remove(tmp) // the error that matters is the first one
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("writing %s: syncing its directory: %w", name, err)
	}
	return nil
}

// Create replaces the file name by what write writes, atomically and durably
// like [WriteFile], for content that should not be in memory. The file can be
// read by its owner only.
func Create(fsys FS, name string, write func(io.Writer) error) (err error) {
	tmp := name + ".tmp"
	f, err := fsys.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = fsys.Remove(tmp) // the first error is the one to return
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, data []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// ReadFile returns the whole content of a file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// RemoveAll removes name and all below it, durably. A crash in between may
// leave any part; calling it again removes the rest. That name does not exist
// is not an error.
func RemoveAll(fsys FS, name string) error {
	if err := removeTree(fsys, name); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	// Also when nothing was there: an earlier call may have failed just here.
	err := fsys.SyncDir(filepath.Dir(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: syncing its directory: %w", name, err)
	}
	return nil
}

func removeTree(fsys FS, name string) error {
	info, err := fsys.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := fsys.ReadDir(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := removeTree(fsys, filepath.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	err = fsys.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
