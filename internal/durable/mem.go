package durable

import (
	"io/fs"

	"github.com/shoal-project/shoal/internal/durable/disk"
)

// Mem returns an empty file system in memory. Relative and absolute names mean
// the same: both start at its root. Everything is lost with the process.
func Mem() FS { return memFS{disk.New(disk.Forgetful)} }

type memFS struct{ *disk.Disk }

func (m memFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := m.Disk.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}
