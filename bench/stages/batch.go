// Package stages has the steps that the repetitions of the Prochlo paper's evaluations share: clients
// that encode (randomised response, fragments, crowds, seals), and those of a shuffler, threshold
// and permutation, on the local engine.
//
// Noise and order are functions of a seed: the package evaluates mechanisms and must
// not be used to release anything.
//
// BUG(shoal): the steps of the shuffler are those of package internal/esa/shuffler
// written once more, since that keeps its own to itself.
package stages

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
)

const (
	// KeyWidth is the width of the key that decides the position of a report.
	KeyWidth = 16
	// CrowdWidth is the width of a crowd's tag.
	CrowdWidth = len(esa.CrowdTag{})

	dropWidth = 8
)

// A Batch is the reports of one sample at the shuffler, after the outer layer:
// rows of a random key, a crowd's tag and a record, in datasets of an engine.
// Its steps are those of package internal/esa/shuffler, in the same order: count, decide,
// join, drop, permute.
type Batch struct {
	Engine engine.Engine
	Seed   dp.Seed // of the thresholds' noise
	order  cipher.Block
	Width  int // of a record, bytes
}

// NewBatch returns a batch whose records have a width in bytes.
func NewBatch(e engine.Engine, seed dp.Seed, width int) (*Batch, error) {
	var key [32]byte
	if _, err := io.ReadFull(dp.NewStream(seed, "vocab order", nil), key[:]); err != nil {
		return nil, fmt.Errorf("deriving the order: %w", err)
	}
	order, err := aes.NewCipher(key[:])
	return &Batch{Engine: e, Seed: seed, order: order, Width: width}, err
}

// Columns are those of the dataset "reports".
func (b *Batch) Columns() []engine.Column {
	return []engine.Column{{Name: "key", Width: KeyWidth}, {Name: "crowd", Width: CrowdWidth}, {Name: "record", Width: b.Width}}
}

// Scan calls each with every row of a dataset.
func (b *Batch) Scan(ctx context.Context, name string, each func(row []byte) error) error {
	r, err := b.Engine.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		row, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(row)
		}
		if err != nil {
			return err
		}
	}
}

// derive makes the dataset out from in, row by row.
func (b *Batch) derive(ctx context.Context, in, out string, columns []engine.Column, each func(row []byte, out engine.Writer) error) error {
	w, err := b.Engine.Create(ctx, out, columns)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := b.Scan(ctx, in, func(row []byte) error { return each(row, w) }); err != nil {
		return err
	}
	return w.Close()
}

// Count makes the dataset "crowds" from "reports".
func (b *Batch) Count(ctx context.Context) error {
	return b.Engine.CountByKey(ctx, "reports", "crowd", "crowds")
}

// Drop applies the threshold to "reports" by "crowds": small crowds go whole, of
// the others as many records as the noise requires. It makes "remaining".
func (b *Batch) Drop(ctx context.Context, threshold dp.Threshold) (esa.Counts, error) {
	var counts esa.Counts
	kept := []engine.Column{{Name: "crowd", Width: CrowdWidth}, {Name: "drop", Width: dropWidth}}
	out := make([]byte, CrowdWidth+dropWidth)
	err := b.derive(ctx, "crowds", "kept", kept, func(row []byte, w engine.Writer) error {
		crowd, n := row[:CrowdWidth], uint64(engine.Count(row))
		keep := threshold.Keep(n, dp.NewStream(b.Seed, "vocab crowd noise", crowd))
		if keep == 0 {
			counts.SuppressedCrowds++
			counts.SuppressedReports += n
			return nil
		}
		counts.Dropped += n - keep
		counts.Released += keep
		copy(out, crowd)
		binary.BigEndian.PutUint64(out[CrowdWidth:], n-keep)
		return w.Write(out)
	})
	if err != nil {
		return counts, err
	}
	counts.Received = counts.SuppressedReports + counts.Dropped + counts.Released
	if err := b.Engine.SemiJoin(ctx, "reports", "crowd", "kept", "survivors"); err != nil {
		return counts, err
	}
	if err := b.Engine.SortBy(ctx, "survivors", []string{"crowd", "key"}, "grouped"); err != nil {
		return counts, err
	}
	if err := b.dropRecords(ctx); err != nil {
		return counts, err
	}
	return counts, b.Engine.Remove(ctx, "kept", "survivors", "grouped")
}

// dropRecords walks through "grouped" and "kept" together, both sorted by crowd.
func (b *Batch) dropRecords(ctx context.Context) error {
	crowds, err := b.Engine.Open(ctx, "kept")
	if err != nil {
		return err
	}
	defer crowds.Close()
	var crowd []byte
	var drop uint64
	return b.derive(ctx, "grouped", "remaining", b.Columns(), func(row []byte, w engine.Writer) error {
		if tag := row[KeyWidth : KeyWidth+CrowdWidth]; !bytes.Equal(tag, crowd) {
			next, err := crowds.Next()
			if err != nil {
				return fmt.Errorf("reading the crowds: %w", err)
			}
			if !bytes.Equal(next[:CrowdWidth], tag) {
				return errors.New("records of a crowd that was not kept")
			}
			crowd = append(crowd[:0], tag...)
			drop = binary.BigEndian.Uint64(next[CrowdWidth:])
		}
		if drop > 0 {
			drop--
			return nil
		}
		return w.Write(row)
	})
}

// Permute makes the dataset out, of columns "final" and "record", from in: in a
// random order that is independent of the one in which records were dropped.
func (b *Batch) Permute(ctx context.Context, in, out string) error {
	columns := []engine.Column{{Name: "final", Width: KeyWidth}, {Name: "record", Width: b.Width}}
	row := make([]byte, engine.RowWidth(columns))
	err := b.derive(ctx, in, "unsorted", columns, func(old []byte, w engine.Writer) error {
		b.order.Encrypt(row[:KeyWidth], old[:KeyWidth])
		copy(row[KeyWidth:], old[KeyWidth+CrowdWidth:])
		return w.Write(row)
	})
	if err != nil {
		return err
	}
	if err := b.Engine.SortBy(ctx, "unsorted", []string{"final"}, out); err != nil {
		return err
	}
	return b.Engine.Remove(ctx, "unsorted")
}

// Key encrypts the key of a row in place: equal ones stay equal.
func (b *Batch) Key(key []byte) { b.order.Encrypt(key, key) }
