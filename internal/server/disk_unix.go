//go:build unix

package server

import "golang.org/x/sys/unix"

// diskFree returns the bytes that an unprivileged process may still write to
// the volume that holds dir.
func diskFree(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil //nolint:unconvert // Bavail is signed on some systems
}

// openFiles returns how many files this process may have open.
func openFiles() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return defaultFiles
	}
	return uint64(l.Cur) //nolint:unconvert // Cur is signed on some systems
}
