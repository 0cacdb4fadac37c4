package stages

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// Sealed sends the reports of some clients through all layers: each is encoded and sealed, the
// shuffler opens its layer, and the analyzer that of what the threshold leaves. The engine has no
// datasets before or after.
func (r *Route) Sealed(ctx context.Context, e engine.Engine, seed [32]byte, threshold dp.Threshold, clients []task.Record, each func(task.Record)) (esa.Counts, error) {
	outer, err := esa.NewOpener(r.Task, r.ID, 0, r.keys[0])
	if err != nil {
		return esa.Counts{}, err
	}
	inner, err := esa.NewOpener(r.Task, r.ID, 1, r.keys[1])
	if err != nil {
		return esa.Counts{}, err
	}
	reports, err := r.seal(seed, clients) //nolint:contextcheck // sealing waits for nothing
	if err != nil {
		return esa.Counts{}, fmt.Errorf("sealing: %w", err)
	}
	b, err := NewBatch(e, seed, outer.NextSize())
	if err != nil {
		return esa.Counts{}, err
	}
	w, err := e.Create(ctx, "reports", b.Columns())
	if err != nil {
		return esa.Counts{}, err
	}
	defer w.Abort()
	row := make([]byte, 0, engine.RowWidth(b.Columns()))
	for opened, err := range outer.OpenAll(each2(reports), r.Epoch, runtime.GOMAXPROCS(0)) {
		if err == nil && opened.Cause != 0 {
			err = fmt.Errorf("a report of our own is refused: %v", opened.Cause)
		}
		if err != nil {
			return esa.Counts{}, err
		}
		digest := sha256.Sum256(opened.Report)
		row = append(row[:0], digest[:KeyWidth]...)
		b.Key(row)
		if err := w.Write(append(append(row, opened.Crowd[:]...), opened.Next...)); err != nil {
			return esa.Counts{}, err
		}
	}
	if err := w.Close(); err != nil {
		return esa.Counts{}, err
	}
	counts, err := r.Shuffle(ctx, b, threshold)
	if err != nil {
		return counts, err
	}
	for opened, err := range inner.OpenAll(layers(ctx, e, "released"), r.Epoch, runtime.GOMAXPROCS(0)) {
		if err == nil && opened.Cause != 0 {
			err = fmt.Errorf("a record of our own is refused: %v", opened.Cause)
		}
		if err != nil {
			return counts, err
		}
		record, err := r.Task.Decode(opened.Next)
		if err != nil {
			return counts, err
		}
		each(record)
	}
	return counts, e.Remove(ctx, "released", "reports")
}

// seal makes the reports of clients, on all cores.
func (r *Route) seal(seed [32]byte, clients []task.Record) ([][]byte, error) {
	var keys []task.Key
	for _, k := range r.keys {
		keys = append(keys, k.Public())
	}
	workers := runtime.GOMAXPROCS(0)
	made, errs := make([][][]byte, workers), make([]error, workers)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			random := streamOf(seed, worker)
			for i := worker; i < len(clients) && errs[worker] == nil; i += workers {
				made[worker], errs[worker] = r.sealOne(made[worker], random, keys, clients[i])
			}
		})
	}
	group.Wait()
	var all [][]byte
	for _, some := range made {
		all = append(all, some...)
	}
	return all, errors.Join(errs...)
}

func (r *Route) sealOne(reports [][]byte, random *rand.ChaCha8, keys []task.Key, client task.Record) ([][]byte, error) {
	fragments, err := r.encoder.Encode(client, random)
	for _, f := range fragments {
		var report []byte
		if report, err = r.encoder.Seal(f, r.Epoch, keys); err != nil {
			break
		}
		reports = append(reports, report)
	}
	return reports, err
}

func each2(rows [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// layers yields what follows the keys in the rows of a dataset.
func layers(ctx context.Context, e engine.Engine, name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		in, err := e.Open(ctx, name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer in.Close()
		for {
			row, err := in.Next()
			if err == io.EOF {
				return
			}
			if err == nil {
				row = row[KeyWidth:]
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}
