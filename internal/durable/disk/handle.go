package disk

import (
	"io"
	"io/fs"
	"os"
)

// A Handle is an open file. Its methods are those of durable.File.
type Handle struct {
	disk *Disk
	node *node
	name string
	flag int

	// guarded by disk.mu
	offset int64
	closed bool
}

// Name is the name the file was opened with.
func (h *Handle) Name() string { return h.name }

// check is called with the disk locked.
func (h *Handle) check(op string, write bool) error {
	if h.closed {
		return pathError(op, h.name, fs.ErrClosed)
	}
	writable := h.flag&(os.O_WRONLY|os.O_RDWR) != 0
	if write && !writable || !write && h.flag&os.O_WRONLY != 0 {
		return pathError(op, h.name, fs.ErrPermission)
	}
	return nil
}

// Read reads at the file's offset.
func (h *Handle) Read(p []byte) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	n, err := h.readAt(p, h.offset)
	h.offset += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt reads at off.
func (h *Handle) ReadAt(p []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return h.readAt(p, off)
}

func (h *Handle) readAt(p []byte, off int64) (int, error) {
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", h.name, fs.ErrInvalid)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write writes at the file's offset, or at the end of a file opened to append.
func (h *Handle) Write(p []byte) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.flag&os.O_APPEND != 0 {
		h.offset = int64(len(h.node.data))
	}
	n, err := h.writeAt(p, h.offset)
	h.offset += int64(n)
	return n, err
}

// WriteAt writes at off.
func (h *Handle) WriteAt(p []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if off < 0 || h.flag&os.O_APPEND != 0 {
		return 0, pathError("write", h.name, fs.ErrInvalid)
	}
	return h.writeAt(p, off)
}

func (h *Handle) writeAt(p []byte, off int64) (int, error) {
	if err := h.check("write", true); err != nil {
		return 0, err
	}
	if len(p) > 0 {
		h.disk.change(h.node, change{off: off, data: p})
	}
	return len(p), nil
}

// Seek sets the file's offset.
func (h *Handle) Seek(offset int64, whence int) (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return 0, pathError("seek", h.name, fs.ErrClosed)
	}
	switch whence {
	case io.SeekCurrent:
		offset += h.offset
	case io.SeekEnd:
		offset += int64(len(h.node.data))
	}
	if offset < 0 {
		return 0, pathError("seek", h.name, fs.ErrInvalid)
	}
	h.offset = offset
	return offset, nil
}

// Truncate sets the size.
func (h *Handle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.check("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", h.name, fs.ErrInvalid)
	}
	h.disk.change(h.node, change{truncate: true, off: size})
	return nil
}

// Sync makes the content durable.
func (h *Handle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return pathError("sync", h.name, fs.ErrClosed)
	}
	h.node.sync()
	return nil
}

// Stat describes the file.
func (h *Handle) Stat() (fs.FileInfo, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return nil, pathError("stat", h.name, fs.ErrClosed)
	}
	return h.node.info(h.name), nil
}

// Close ends the use of the handle; it syncs nothing.
func (h *Handle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return pathError("close", h.name, fs.ErrClosed)
	}
	h.closed = true
	return nil
}
