package vocab

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
	keyWidth   = 16 // decides the position of a report
	crowdWidth = len(esa.CrowdTag{})
	dropWidth  = 8
)

// A batch is the reports of one sample at the shuffler, after the outer layer:
// rows of a random key, a crowd's tag and a record, in datasets of an engine.
// Its steps are those of package internal/esa/shuffler, in the same order: count, decide,
// join, drop, permute.
type batch struct {
	engine engine.Engine
	seed   dp.Seed // of the thresholds' noise
	order  cipher.Block
	width  int // of a record, bytes
}

func newBatch(e engine.Engine, seed dp.Seed, width int) (*batch, error) {
	var key [32]byte
	if _, err := io.ReadFull(dp.NewStream(seed, "vocab order", nil), key[:]); err != nil {
		return nil, fmt.Errorf("deriving the order: %w", err)
	}
	order, err := aes.NewCipher(key[:])
	return &batch{engine: e, seed: seed, order: order, width: width}, err
}

func (b *batch) columns() []engine.Column {
	return []engine.Column{{Name: "key", Width: keyWidth}, {Name: "crowd", Width: crowdWidth}, {Name: "record", Width: b.width}}
}

// scan calls each with every row of a dataset.
func (b *batch) scan(ctx context.Context, name string, each func(row []byte) error) error {
	r, err := b.engine.Open(ctx, name)
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
func (b *batch) derive(ctx context.Context, in, out string, columns []engine.Column, each func(row []byte, out engine.Writer) error) error {
	w, err := b.engine.Create(ctx, out, columns)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := b.scan(ctx, in, func(row []byte) error { return each(row, w) }); err != nil {
		return err
	}
	return w.Close()
}

// count makes the dataset "crowds" from "reports".
func (b *batch) count(ctx context.Context) error {
	return b.engine.CountByKey(ctx, "reports", "crowd", "crowds")
}

// drop applies the threshold to "reports" by "crowds": small crowds go whole, of
// the others as many records as the noise requires. It makes "remaining".
func (b *batch) drop(ctx context.Context, threshold dp.Threshold) (esa.Counts, error) {
	var counts esa.Counts
	kept := []engine.Column{{Name: "crowd", Width: crowdWidth}, {Name: "drop", Width: dropWidth}}
	out := make([]byte, crowdWidth+dropWidth)
	err := b.derive(ctx, "crowds", "kept", kept, func(row []byte, w engine.Writer) error {
		crowd, n := row[:crowdWidth], uint64(engine.Count(row))
		keep := threshold.Keep(n, dp.NewStream(b.seed, "vocab crowd noise", crowd))
		if keep == 0 {
			counts.SuppressedCrowds++
			counts.SuppressedReports += n
			return nil
		}
		counts.Dropped += n - keep
		counts.Released += keep
		copy(out, crowd)
		binary.BigEndian.PutUint64(out[crowdWidth:], n-keep)
		return w.Write(out)
	})
	if err != nil {
		return counts, err
	}
	counts.Received = counts.SuppressedReports + counts.Dropped + counts.Released
	if err := b.engine.SemiJoin(ctx, "reports", "crowd", "kept", "survivors"); err != nil {
		return counts, err
	}
	if err := b.engine.SortBy(ctx, "survivors", []string{"crowd", "key"}, "grouped"); err != nil {
		return counts, err
	}
	if err := b.dropRecords(ctx); err != nil {
		return counts, err
	}
	return counts, b.engine.Remove(ctx, "kept", "survivors", "grouped")
}

// dropRecords walks through "grouped" and "kept" together, both sorted by crowd.
func (b *batch) dropRecords(ctx context.Context) error {
	crowds, err := b.engine.Open(ctx, "kept")
	if err != nil {
		return err
	}
	defer crowds.Close()
	var crowd []byte
	var drop uint64
	return b.derive(ctx, "grouped", "remaining", b.columns(), func(row []byte, w engine.Writer) error {
		if tag := row[keyWidth : keyWidth+crowdWidth]; !bytes.Equal(tag, crowd) {
			next, err := crowds.Next()
			if err != nil {
				return fmt.Errorf("reading the crowds: %w", err)
			}
			if !bytes.Equal(next[:crowdWidth], tag) {
				return errors.New("records of a crowd that was not kept")
			}
			crowd = append(crowd[:0], tag...)
			drop = binary.BigEndian.Uint64(next[crowdWidth:])
		}
		if drop > 0 {
			drop--
			return nil
		}
		return w.Write(row)
	})
}

// permute makes the dataset out, of columns "final" and "record", from in: in a
// random order that is independent of the one in which records were dropped.
func (b *batch) permute(ctx context.Context, in, out string) error {
	columns := []engine.Column{{Name: "final", Width: keyWidth}, {Name: "record", Width: b.width}}
	row := make([]byte, engine.RowWidth(columns))
	err := b.derive(ctx, in, "unsorted", columns, func(old []byte, w engine.Writer) error {
		b.order.Encrypt(row[:keyWidth], old[:keyWidth])
		copy(row[keyWidth:], old[keyWidth+crowdWidth:])
		return w.Write(row)
	})
	if err != nil {
		return err
	}
	if err := b.engine.SortBy(ctx, "unsorted", []string{"final"}, out); err != nil {
		return err
	}
	return b.engine.Remove(ctx, "unsorted")
}

// crowdOf is the tag of a word's crowd: the hash of the word.
func crowdOf(word string) esa.CrowdTag {
	return esa.SaltedTag([32]byte{}, 0, []byte(word))
}
