//go:build unix

package leader

import (
	"fmt"
	"io/fs"
	"syscall"
)

// place returns what distinguishes a file from its copies, "" if the file system
// does not provide it.
func place(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" %d %d", s.Ino, info.ModTime().UnixNano())
}
