package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// A Damage is a released file that is not the one that was released. The other epochs
// are not concerned.
type Damage struct {
	Metric string
	Epoch  task.Epoch
	Start  time.Time
	Table  string
	Err    error
}

// Error names the epoch.
func (d *Damage) Error() string {
	return fmt.Sprintf("epoch %d of %q (%s): table %s is damaged: %v", d.Epoch, d.Metric, d.Start.UTC().Format("2006-01-02 15:04"), d.Table, d.Err)
}

// Unwrap returns the reason.
func (d *Damage) Unwrap() error { return d.Err }

// A Partial error means that some epochs could not be read, and all others were.
type Partial struct{ Damaged []*Damage }

// Error names all damaged epochs.
func (p *Partial) Error() string {
	lines := make([]string, len(p.Damaged))
	for i, d := range p.Damaged {
		lines[i] = d.Error()
	}
	return strings.Join(lines, "\n")
}

// Brief checks without reading it that the file of a table is there and as long as it
// was when it was released.
func Brief(b Batch, t Table) *Damage {
	f, _, err := openAs(b, t)
	if err != nil {
		return damage(b, t, err)
	}
	if err := f.Close(); err != nil {
		return damage(b, t, err)
	}
	return nil
}

// Check reads the file of a table through and compares it with its digest.
func Check(b Batch, t Table) *Damage {
	f, _, err := openAs(b, t)
	if err != nil {
		return damage(b, t, err)
	}
	defer f.Close()
	if err := compare(f, t); err != nil {
		return damage(b, t, err)
	}
	return nil
}

func damage(b Batch, t Table, err error) *Damage {
	metric := b.Metric
	if metric == "" {
		metric = "task " + b.Task.String()
	}
	return &Damage{Metric: metric, Epoch: b.Epoch, Start: b.Start, Table: t.Name, Err: err}
}

// openAs opens the file of a table if it has the size that was released.
func openAs(b Batch, t Table) (durable.File, stamp, error) {
	if b.Damaged != nil {
		return nil, stamp{}, b.Damaged
	}
	f, err := b.Open(t.Name)
	if err != nil {
		return nil, stamp{}, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != t.Bytes {
		err = fmt.Errorf("%s has %d bytes, %d were released", filepath.Base(f.Name()), info.Size(), t.Bytes)
	}
	if err != nil {
		return nil, stamp{}, errors.Join(err, f.Close())
	}
	return f, stamp{t.SHA256, info.ModTime()}, nil
}

func compare(f durable.File, t Table) error {
	want, err := hex.DecodeString(t.SHA256)
	if err != nil {
		return fmt.Errorf("the manifest has no digest: %w", err)
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, io.NewSectionReader(f, 0, t.Bytes)); err != nil {
		return err
	}
	if !bytes.Equal(digest.Sum(nil), want) {
		return fmt.Errorf("%s is not what was released: its SHA-256 differs", filepath.Base(f.Name()))
	}
	return nil
}

// A Checker remembers which files were found whole, until they change. The zero value
// is ready. Its methods are safe for concurrent use.
type Checker struct {
	mu    sync.Mutex
	whole map[string]stamp // by file name
}

type stamp struct {
	digest   string
	modified time.Time
}

// maxWhole bounds what a Checker remembers.
const maxWhole = 1 << 16

// Check is [Check], which reads a file once.
func (c *Checker) Check(b Batch, t Table) *Damage {
	f, now, err := openAs(b, t)
	if err != nil {
		return damage(b, t, err)
	}
	defer f.Close()
	c.mu.Lock()
	known := c.whole[f.Name()] == now
	c.mu.Unlock()
	if known {
		return nil
	}
	if err := compare(f, t); err != nil {
		return damage(b, t, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.whole == nil || len(c.whole) >= maxWhole {
		c.whole = map[string]stamp{}
	}
	c.whole[f.Name()] = now
	return nil
}

// Whole returns the batches whose table of that name can be read, and the damage of
// the others.
func (c *Checker) Whole(batches []Batch, table string) (whole []Batch, damaged []*Damage) {
	for _, b := range batches {
		if b.Damaged != nil {
			damaged = append(damaged, c.Check(b, Table{Name: table}))
			continue
		}
		if t, ok := Find(b.Tables, table); ok {
			if d := c.Check(b, t); d != nil {
				damaged = append(damaged, d)
				continue
			}
		}
		whole = append(whole, b)
	}
	return whole, damaged
}

// CheckAll checks the files of all batches that are kept, as check does it, and
// returns how many there are and what is damaged.
func CheckAll(batches []Batch, check func(Batch, Table) *Damage) (files int, damaged []*Damage) {
	for _, b := range batches {
		if !b.Kept {
			continue
		}
		if b.Damaged != nil {
			files++
			damaged = append(damaged, damage(b, Table{Name: "manifest"}, b.Damaged))
			continue
		}
		for _, t := range b.Tables {
			files++
			if d := check(b, t); d != nil {
				damaged = append(damaged, d)
			}
		}
	}
	return files, damaged
}
