package outbox_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

var errKilled = errors.New("killed")

// A mortal is the file system as one process sees it that is killed at a
// call: what it wrote before stays visible to others, whether synced or not.
type mortal struct {
	durable.FS
	left *int // calls that change something until the kill
}

func (m mortal) spend() error {
	*m.left--
	if *m.left < 0 {
		return errKilled
	}
	return nil
}

func (m mortal) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if err := m.spend(); err != nil {
		return nil, err
	}
	f, err := m.FS.OpenFile(name, flag, perm)
	return mortalFile{f, m}, err
}

func (m mortal) Rename(from, to string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.FS.Rename(from, to)
}

func (m mortal) SyncDir(name string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.FS.SyncDir(name)
}

func (m mortal) Remove(name string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.FS.Remove(name)
}

type mortalFile struct {
	durable.File
	m mortal
}

func (f mortalFile) Sync() error {
	if err := f.m.spend(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f mortalFile) Truncate(size int64) error {
	if err := f.m.spend(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f mortalFile) Write(p []byte) (int, error) {
	if err := f.m.spend(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f mortalFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.m.spend(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

// A process is killed at any call, the next one builds on what it left behind
// unsynced, and then power fails: what the second one acknowledged or sent must
// not rest on what is lost.
func TestKillThenPowerLoss(t *testing.T) {
	for n := 1; ; n++ {
		left := n
		for seed := range uint64(16) {
			l := newLife()
			disk := crashfs.New(seed)
			left = n
			if err := l.work(t.Context(), mortal{disk, &left}); err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("kill at call %d: %v", n, err)
			}
			disk.CrashAt([]int{1, 2, 3, 20}[seed%4])
			if err := l.work(t.Context(), disk); err != nil && !errors.Is(err, crashfs.ErrCrashed) {
				t.Fatalf("kill at call %d, then: %v", n, err)
			}
			if err := l.work(t.Context(), disk.Restart()); err != nil {
				t.Fatalf("kill at call %d, after the power loss: %v", n, err)
			}
			l.verify(t)
			if t.Failed() {
				t.Fatalf("kill at call %d, seed %d", n, seed)
			}
		}
		if left >= 0 { // it lived to the end
			return
		}
	}
}
