package vocab

import (
	"context"
	"fmt"
	"math/rand/v2"

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
		b, err := newBatch(e, r.seed("shuffler", len(s.ranks)), width)
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
func (r *runner) report(ctx context.Context, b *batch, s sample, shares bool) error {
	w, err := b.engine.Create(ctx, "reports", b.columns())
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
	row := make([]byte, 0, engine.RowWidth(b.columns()))
	for _, rank := range s.ranks {
		row = row[:keyWidth]
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
func (r *runner) noCrowd(ctx context.Context, b *batch, s sample, row *Row) error {
	if err := r.timed(&row.Seconds.NoCrowd, func() error { return b.permute(ctx, "reports", "all") }); err != nil {
		return err
	}
	var err error
	if row.NoCrowd, err = r.analyze(ctx, b, "all", s, row); err != nil {
		return err
	}
	return b.engine.Remove(ctx, "all")
}

// analyze returns how many words the records of a dataset give.
func (r *runner) analyze(ctx context.Context, b *batch, name string, s sample, row *Row) (int, error) {
	n := 0
	err := r.timed(&row.Seconds.Recover, func() error {
		a := r.newAnalysis(s, row.Shares)
		err := b.scan(ctx, name, func(record []byte) error { a.add(record[keyWidth:]); return nil })
		if err == nil {
			n, err = a.words()
		}
		return err
	})
	return n, err
}

// withCrowds counts the crowds once, for the paper's threshold and for our
// release.
func (r *runner) withCrowds(ctx context.Context, b *batch, s sample, row *Row) error {
	if err := r.timed(&row.Seconds.Threshold, func() error { return b.count(ctx) }); err != nil {
		return err
	}
	all := 0
	err := b.scan(ctx, "crowds", func(crowd []byte) error {
		all++
		_, released, err := r.ours.Release(uint64(engine.Count(crowd)), dp.NewStream(b.seed, "vocab count noise", crowd[:crowdWidth]))
		if released {
			row.Ours++
		}
		return err
	})
	if err != nil {
		return err
	}
	err = r.timed(&row.Seconds.Threshold, func() error {
		counts, err := b.drop(ctx, r.threshold)
		row.Crowd = all - int(counts.SuppressedCrowds)
		if err != nil {
			return err
		}
		return b.permute(ctx, "remaining", "released")
	})
	if err != nil {
		return err
	}
	row.SecretCrowd, err = r.analyze(ctx, b, "released", s, row)
	return err
}
