package durable

import "errors"

// ErrLocked is what [TryLock] returns while somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// Lock waits until it holds the exclusive lock on the file path, which it
// creates if it is missing and never removes. The lock ends with unlock or with
// the process. It holds between processes and between callers in one process.
// On systems without file locks the error is errors.ErrUnsupported.
func Lock(path string) (unlock func() error, err error) { return lock(path, true) }

// TryLock is [Lock] without the waiting: it returns [ErrLocked] at once.
func TryLock(path string) (unlock func() error, err error) { return lock(path, false) }
