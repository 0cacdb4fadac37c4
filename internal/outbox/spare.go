package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/durable"
)

// minSpare is the size of the smallest spare file.
const minSpare = 64 << 10

// The spare is a file of zeros at least as large as the journal. What a person
// drops must go from a full disk too, and the journal is only ever replaced as a
// whole: then the new one is written over the spare's blocks, which the disk has
// already given. Where the file system never overwrites in place (as btrfs, ZFS
// and APFS), this may fail like any other write.
func (j *journal) spareName() string { return filepath.Join(j.dir, "spare") }

// spareSize returns how large the spare of a journal is.
func spareSize(journal int64) int64 {
	if journal <= minSpare {
		return minSpare
	}
	return 1 << bits.Len64(uint64(journal-1))
}

// hasSpare reports whether there is a spare: it is made after the first journal.
func (j *journal) hasSpare() bool {
	_, err := j.fs.Stat(j.spareName())
	return err == nil
}

// ensureSpare makes or enlarges the spare. A failure is not one of the outbox:
// without a spare, dropping from a full disk fails.
func (j *journal) ensureSpare() {
	size := spareSize(j.end)
	if j.spare >= size {
		return
	}
	if info, err := j.fs.Stat(j.spareName()); err == nil && info.Size() >= size {
		j.spare = info.Size()
		return
	}
	if err := durable.WriteFile(j.fs, j.spareName(), make([]byte, size), 0o600); err == nil {
		j.spare = size
	}
}

// writeSpare replaces the journal by data, atomically and durably, without
// asking the disk for more room.
func (j *journal) writeSpare(data []byte) error {
	j.spare = 0
	err := j.overwriteSpare(data)
	if err == nil {
		err = j.fs.Rename(j.spareName(), j.name())
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return fmt.Errorf("writing the journal over its spare: %w", err)
	}
	return nil
}

func (j *journal) overwriteSpare(data []byte) error {
	f, err := j.fs.OpenFile(j.spareName(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no spare file: the disk was full before")
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < int64(len(data)) {
		err = fmt.Errorf("it has %d bytes, want %d", info.Size(), len(data))
	}
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
