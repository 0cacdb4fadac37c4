//go:build !windows && !plan9

package durable

import (
	"errors"
	"syscall"
)

// IsFull reports whether err means that the disk or a quota is full.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
