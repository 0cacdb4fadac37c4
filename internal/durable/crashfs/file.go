package crashfs

import (
	"io/fs"

	"github.com/shoal-project/shoal/internal/durable/disk"
)

// file passes the calls of an open file through the FS's crash and failures.
type file struct {
	*disk.Handle
	fs *FS
}

func (f *file) Read(p []byte) (int, error) {
	if err := f.fs.look("read", f.Name()); err != nil {
		return 0, err
	}
	return f.Handle.Read(p)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.look("read", f.Name()); err != nil {
		return 0, err
	}
	return f.Handle.ReadAt(p, off)
}

func (f *file) Write(p []byte) (int, error) {
	return f.write(p, f.Handle.Write)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.Handle.WriteAt(p, off) })
}

func (f *file) write(p []byte, write func([]byte) (int, error)) (int, error) {
	v, err := f.fs.mutate("write", f.Name())
	switch v {
	case proceed:
		return write(p)
	case crash:
		_, _ = write(p) // the caller is dead
		return 0, err
	case fail:
		n, _ := write(p[:f.fs.random().IntN(len(p)+1)])
		return n, err
	}
	return 0, err
}

func (f *file) Truncate(size int64) error {
	return f.fs.do("truncate", f.Name(), func() error { return f.Handle.Truncate(size) })
}

func (f *file) Sync() error {
	v, err := f.fs.mutate("sync", f.Name())
	switch v {
	case proceed:
		return f.Handle.Sync()
	case fail:
		f.Handle.FailSync(f.fs.random())
	}
	return err
}

func (f *file) Stat() (fs.FileInfo, error) {
	if err := f.fs.look("stat", f.Name()); err != nil {
		return nil, err
	}
	return f.Handle.Stat()
}
