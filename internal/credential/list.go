package credential

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

// A row says which request of a client was answered.
type row struct {
	client  [16]byte // keyed hash of what the gates know the client by
	request [32]byte // digest
}

// rowSize is the bytes of a row in the file: client, request, checksum.
const rowSize = 16 + 32 + 4

var errDamaged = errors.New("the list of credentials that were issued is damaged")

// A list is the append-only list of the credentials that were issued for a slot. It is
// not safe for concurrent use. A row is in it when it is durable.
type list struct {
	fs   durable.FS
	name string
	by   map[[16]byte][32]byte
	file durable.File // nil after a failure: the file is written again
	end  int64
}

func openList(fsys durable.FS, name string) (*list, error) {
	f, err := appendTo(fsys, name)
	if err != nil {
		return nil, err
	}
	l := &list{fs: fsys, name: name, by: map[[16]byte][32]byte{}, file: f}
	if err := errors.Join(l.read(), fsys.SyncDir(filepath.Dir(name))); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// read reads all rows. A last row that is not whole was never acknowledged; any other
// is damage.
func (l *list) read() error {
	b, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	for len(b) >= rowSize {
		r, ok := parseRow(b[:rowSize])
		if !ok {
			if len(b) >= 2*rowSize {
				return fmt.Errorf("%w: at byte %d of %s", errDamaged, l.end, l.name)
			}
			break
		}
		l.by[r.client] = r.request
		b = b[rowSize:]
		l.end += rowSize
	}
	if err := l.file.Truncate(l.end); err != nil {
		return err
	}
	return l.file.Sync()
}

func (r row) append(b []byte) []byte {
	at := len(b)
	b = append(append(b, r.client[:]...), r.request[:]...)
	return journal.AppendSum(b, at, 0)
}

func parseRow(b []byte) (row, bool) {
	return row{[16]byte(b[:16]), [32]byte(b[16:48])}, journal.HasSum(b[:rowSize], 0)
}

// add makes a row durable. It returns errUsed if the client has another.
func (l *list) add(r row) error {
	if had, ok := l.by[r.client]; ok {
		if had != r.request {
			return errUsed
		}
		return nil
	}
	if l.file == nil {
		if err := l.rewrite(); err != nil {
			return err
		}
	}
	_, err := l.file.WriteAt(r.append(nil), l.end)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil { // the file's content is not known any more
		err = errors.Join(err, l.file.Close())
		l.file = nil
		return fmt.Errorf("noting a credential: %w", err)
	}
	l.by[r.client] = r.request
	l.end += rowSize
	return nil
}

// rewrite replaces the file by what is known to be durable. Rows that failed may have
// been in the old one: their clients got no answer.
func (l *list) rewrite() error {
	b := make([]byte, 0, len(l.by)*rowSize)
	for client, request := range l.by {
		b = row{client, request}.append(b)
	}
	if err := durable.WriteFile(l.fs, l.name, b, 0o600); err != nil {
		return err
	}
	f, err := appendTo(l.fs, l.name)
	if err != nil {
		return err
	}
	l.file, l.end = f, int64(len(b))
	return nil
}
