package shuffler

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
)

// This file is what the stages of tasks with blinded crowds do besides (crypto/blind): the
// first shuffler multiplies the points of a batch by one exponent, the last one computes
// from them the tags by which it counts.

// openingOf returns how the stage of a batch opens reports.
func (h *hosted) openingOf(opener *esa.Opener, b Batch) (hop.Many, error) {
	open := hop.OpenMany(opener, h.task, b.Epoch)
	switch {
	case h.blinds():
		// A function of the seed, like noise and order: a stage that is repeated gives the
		// same rows. It is gone with the seed, when the hand-over file is durable.
		exponent, err := blind.NewExponent(dp.NewStream(b.Seed, "shoal blind exponent v1", nil))
		if err != nil {
			return nil, err
		}
		return hop.Blinding(open, exponent, esa.CrowdsOf(h.task)), nil
	case h.unblinds():
		return hop.Unblinding(open, esa.CrowdsOf(h.task)), nil
	}
	return open, nil
}

// blinds reports whether the shuffler is the one that multiplies the points of the crowds.
func (h *hosted) blinds() bool { return h.task.Protection.Blinded && h.hop == 0 }

// unblinds reports whether it is the one that counts them.
func (h *hosted) unblinds() bool { return h.task.Protection.Blinded && h.hop > 0 }

// sealedColumns are those of the dataset of encapsulated keys: the digest of the key, that of
// the row with its point, and the row's number.
func sealedColumns() []engine.Column {
	return []engine.Column{{Name: "key", Width: markWidth}, {Name: "row", Width: markWidth}, {Name: "number", Width: numberWidth}}
}

// createSealed begins the dataset of encapsulated keys, where it is needed.
func (s *stage) createSealed(ctx context.Context) (engine.Writer, error) {
	if !s.unblinds {
		return noRows{}, nil
	}
	return s.engine.CreateSorted(ctx, s.dataset("sealed"), sealedColumns(), []string{"key", "row"})
}

// addSealed adds the encapsulated key of a report.
func (r *openedReports) addSealed(number uint64, opened esa.Opened) {
	key := sha256.Sum256(esa.Encapsulated(opened.Report))
	// Rows of equal keys are the same report if layer and crowd are the same.
	sum := sha256.New()
	sum.Write(opened.Report)
	sum.Write(opened.Crowd[:])
	sum.Write(opened.Second.Crowd[:])
	row := sum.Sum(nil)
	r.sealed = append(append(r.sealed, key[:markWidth]...), row[:markWidth]...)
	r.sealed = appendNumber(r.sealed, number)
}

// findCopies finds the reports that repeat the encapsulated key of another, and
// differ from it: with a copy of one report under a second exponent the first
// shuffler could have what one client sent counted in two crowds. One of them stays. Reports that
// are equal count once anyway.
func (s *stage) findCopies(ctx context.Context, received uint64) error {
	if !s.unblinds {
		return nil
	}
	if s.spent == nil {
		s.spent = newNumbers(received)
	}
	var last, first []byte // a key, and the row that stays
	err := s.rows(ctx, s.dataset("sealed"), func(row []byte) error {
		key, about := row[:markWidth], row[markWidth:2*markWidth]
		if string(key) != string(last) {
			last, first = append(last[:0], key...), append(first[:0], about...)
			return nil
		}
		if string(about) != string(first) {
			s.spent.add(numberOf(row[2*markWidth:]))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finding copies: %w", err)
	}
	return nil
}
