package durable

import (
	"os"
	"syscall"
)

// fdatasync writes content and, where it changed, the size; not the times.
func fdatasync(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) {
		for {
			result = syscall.Fdatasync(int(fd))
			if result != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if result != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: result}
	}
	return nil
}
