package witness

import "github.com/shoal-project/shoal/internal/durable"

// ParseRecord reads a record as a store has it.
var ParseRecord = parseRecord

// OpenFilesIn is OpenFiles in another file system than the machine's.
func OpenFilesIn(fsys durable.FS, dir string) (*Files, error) { return openFiles(fsys, dir) }
