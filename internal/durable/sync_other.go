//go:build !linux

package durable

import "os"

// fdatasync is the full sync where there is no cheaper one; on Darwin it also
// empties the drive's cache.
func fdatasync(f *os.File) error { return f.Sync() }
