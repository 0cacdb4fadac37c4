//go:build !unix

package leader

import "io/fs"

// place returns what distinguishes a file from its copies, "" if the file system
// does not provide it.
func place(fs.FileInfo) string { return "" }
