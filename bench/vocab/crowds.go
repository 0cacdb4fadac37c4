package vocab

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/shoal-project/shoal/bench/stages"
	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
)

// crowds runs the experiments with a shuffler on one set of reports: Crowd and
// Secret-Crowd, whose released batch is the same; NoCrowd, whose batch is all
// reports; and our release of noisy counts.
func (r *runner) crowds(ctx context.Context, s sample, row *Row) error {
	return r.scratch(func(e *local.Engine, _ string) error {
		width := wordWidth
		if row.Shares {
			width = shareWidth
		}
		b, err := stages.NewBatch(e, r.seed("shuffler", len(s.ranks)), width)
		if err != nil {
			return err
		}
		if err := r.timed(&row.Seconds.Draw, func() error { return r.report(ctx, b, s, row.Shares) }); err != nil {
			return fmt.Errorf("making reports: %w", err)
		}
		if err := r.noCrowd(ctx, b, s, row); err != nil {
			return fmt.Errorf("experiment NoCrowd: %w", err)
		}
		if err := r.withCrowds(ctx, b, s, row); err != nil {
			return fmt.Errorf("experiment Crowd: %w", err)
		}
		return nil
	})
}

// report writes the reports of a sample to the dataset "reports".
func (r *runner) report(ctx context.Context, b *stages.Batch, s sample, shares bool) error {
	w, err := b.Engine.Create(ctx, "reports", b.Columns())
	if err != nil {
		return err
	}
	defer w.Abort()
	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, binding, quorum)
	if err != nil {
		return err
	}
	random := rand.NewChaCha8(r.seed("clients", len(s.ranks)))
	tags := make([]esa.CrowdTag, Words)
	for rank, c := range s.counts {
		if c > 0 {
			tags[rank] = crowdOf(r.words[rank])
		}
	}
	row := make([]byte, 0, engine.RowWidth(b.Columns()))
	for _, rank := range s.ranks {
		row = row[:stages.KeyWidth]
		_, _ = random.Read(row) // never fails
		row = append(row, tags[rank][:]...)
		if !shares {
			row = append(row, padded(r.words[rank])...)
		} else if row, err = appendShare(ctx, row, enc, r.words[rank], random); err != nil {
			return err
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	return w.Close()
}

// noCrowd hands all reports over, permuted: one crowd for all.
func (r *runner) noCrowd(ctx context.Context, b *stages.Batch, s sample, row *Row) error {
	if err := r.timed(&row.Seconds.NoCrowd, func() error { return b.Permute(ctx, "reports", "all") }); err != nil {
		return err
	}
	var err error
	if row.NoCrowd, err = r.analyze(ctx, b, "all", s, row); err != nil {
		return err
	}
	return b.Engine.Remove(ctx, "all")
}

// analyze returns how many words the records of a dataset give.
func (r *runner) analyze(ctx context.Context, b *stages.Batch, name string, s sample, row *Row) (int, error) {
	n := 0
	err := r.timed(&row.Seconds.Recover, func() error {
		a := r.newAnalysis(s, row.Shares)
		err := b.Scan(ctx, name, func(record []byte) error { a.add(record[stages.KeyWidth:]); return nil })
		if err == nil {
			n, err = a.words()
		}
		return err
	})
	return n, err
}

// withCrowds counts the crowds once, for the paper's threshold and for our
// release.
func (r *runner) withCrowds(ctx context.Context, b *stages.Batch, s sample, row *Row) error {
	if err := r.timed(&row.Seconds.Threshold, func() error { return b.Count(ctx) }); err != nil {
		return err
	}
	all := 0
	err := b.Scan(ctx, "crowds", func(crowd []byte) error {
		all++
		_, released, err := r.ours.Release(uint64(engine.Count(crowd)), dp.NewStream(b.Seed, "vocab count noise", crowd[:stages.CrowdWidth]))
		if released {
			row.Ours++
		}
		return err
	})
	if err != nil {
		return err
	}
	err = r.timed(&row.Seconds.Threshold, func() error {
		counts, err := b.Drop(ctx, r.threshold)
		row.Crowd = all - int(counts.SuppressedCrowds)
		if err != nil {
			return err
		}
		return b.Permute(ctx, "remaining", "released")
	})
	if err != nil {
		return err
	}
	row.SecretCrowd, err = r.analyze(ctx, b, "released", s, row)
	return err
}

// crowdOf is the tag of a word's crowd: the hash of the word.
func crowdOf(word string) esa.CrowdTag {
	return esa.SaltedTag([32]byte{}, 0, []byte(word))
}
