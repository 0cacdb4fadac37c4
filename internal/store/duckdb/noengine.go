//go:build !duckdb || !cgo

package duckdb

import "io"

// Built reports whether the engine is in this program.
const Built = false

// Work answers one request of a [Database] in another process. Without the
// engine it returns [ErrNotBuilt].
func Work(io.Reader, io.Writer) error { return ErrNotBuilt }
