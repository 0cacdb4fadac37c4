//go:build !unix

package leader

import "io/fs"

// place returns what tells a file from its copies, "" if the file system does not
// say.
func place(fs.FileInfo) string { return "" }
