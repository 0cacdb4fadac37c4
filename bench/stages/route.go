package stages

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/metric/task"
)

// A Route is a task with its encoder and the keys of a shuffler and an analyzer.
type Route struct {
	Task  *task.Task
	ID    task.ID
	Epoch task.Epoch

	encoder *encoder.Encoder
	keys    []*esa.PrivateKey
}

// NewRoute completes a task (parties, times) and returns its route. The keys come of the
// seed.
func NewRoute(t *task.Task, seed [32]byte) (*Route, error) {
	random := rand.NewChaCha8(seed)
	begin := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.AddDate(0, 1, 0)
	owner, err := task.GenerateIdentityKey(random)
	if err != nil {
		return nil, err
	}
	r := &Route{Task: t}
	t.Owner, t.OwnedBy, t.Consent, t.Method = owner.Public(), "Benchmark", "An evaluation.", task.Crowd
	t.MinBatch, t.EpochSeconds, t.RetentionDays, t.NotBefore, t.Expires = 1, 86400, 30, begin.Unix(), end.Unix()
	for i, role := range []task.Role{task.Shuffler, task.Analyzer} {
		identity, err := task.GenerateIdentityKey(random)
		if err != nil {
			return nil, err
		}
		key, err := esa.GenerateKey(esa.X25519, begin, end, random)
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, key)
		t.Hops = append(t.Hops, task.Party{Role: role, URL: fmt.Sprintf("http://127.0.0.1:%d", 8001+i), Identity: identity.Public()})
	}
	r.Epoch = t.EpochAt(begin)
	if r.ID, err = t.ID(); err != nil {
		return nil, err
	}
	r.encoder, err = encoder.New(t, r.ID)
	return r, err
}

// lengthWidth is the width of the length of a payload within a row.
const lengthWidth = 2

// RowWidth is the width of the records in a batch of the route.
func (r *Route) RowWidth() int { return r.secondWidth() + lengthWidth + int(r.Task.PayloadSize) }

// secondWidth is the width of the second crowd's tag, with which a record begins.
func (r *Route) secondWidth() int {
	if r.Task.HasSecond() {
		return CrowdWidth
	}
	return 0
}

// block is how many clients' reports are made before they are written.
const block = 1 << 14

// Encode has clients encode their records, on all cores, and writes the fragments of all to
// the dataset "reports" of the batch, without seals. It returns how many there are. Client i
// draws its randomness from the seed and i / block.
func (r *Route) Encode(ctx context.Context, b *Batch, seed [32]byte, records iter.Seq[task.Record]) (int, error) {
	w, err := b.Engine.Create(ctx, "reports", b.Columns())
	if err != nil {
		return 0, err
	}
	defer w.Abort()
	width := engine.RowWidth(b.Columns())
	reports := 0
	workers := runtime.GOMAXPROCS(0)
	made, errs := make([][]byte, workers), make([]error, workers)
	flush := func(first int, blocks [][]task.Record) error {
		var group sync.WaitGroup
		for i, clients := range blocks {
			group.Go(func() { made[i], errs[i] = r.encode(made[i][:0], streamOf(seed, first+i), clients) })
		}
		group.Wait()
		for i := range blocks {
			if err := errors.Join(errs[i], ctx.Err()); err != nil {
				return err
			}
			reports += len(made[i]) / width
			if err := w.Write(made[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var blocks [][]task.Record
	now, first := make([]task.Record, 0, block), 0
	for record := range records {
		if now = append(now, record); len(now) < block {
			continue
		}
		if blocks, now = append(blocks, now), make([]task.Record, 0, block); len(blocks) == workers {
			if err := flush(first, blocks); err != nil {
				return 0, err
			}
			blocks, first = blocks[:0], first+workers
		}
	}
	if err := flush(first, append(blocks, now)[:min(workers, len(blocks)+1)]); err != nil {
		return 0, err
	}
	return reports, w.Close()
}

func streamOf(seed [32]byte, i int) *rand.ChaCha8 {
	binary.BigEndian.PutUint64(seed[24:], binary.BigEndian.Uint64(seed[24:])^uint64(i+1))
	return rand.NewChaCha8(seed)
}

// encode appends the rows of the fragments of clients.
func (r *Route) encode(rows []byte, random *rand.ChaCha8, clients []task.Record) ([]byte, error) {
	for _, record := range clients {
		fragments, err := r.encoder.Encode(record, random)
		if err != nil {
			return nil, err
		}
		for _, f := range fragments {
			n := len(rows)
			rows = append(rows, make([]byte, KeyWidth)...)
			_, _ = random.Read(rows[n:]) // never fails
			tag := r.encoder.Tag(f, r.Epoch)
			rows = append(rows, tag[:]...)
			if r.Task.HasSecond() {
				second := esa.CrowdTagOf(r.Task, r.ID, r.Epoch, f.Second)
				rows = append(rows, second[:]...)
			}
			rows = r.appendPayload(rows, f.Payload)
		}
	}
	return rows, nil
}

func (r *Route) appendPayload(row, payload []byte) []byte {
	row = append(binary.BigEndian.AppendUint16(row, uint16(len(payload))), payload...)
	return append(row, make([]byte, int(r.Task.PayloadSize)-len(payload))...)
}

// Shuffle applies the task's threshold to "reports" and makes the dataset "released".
func (r *Route) Shuffle(ctx context.Context, b *Batch, threshold dp.Threshold) (esa.Counts, error) {
	if err := b.Count(ctx); err != nil {
		return esa.Counts{}, err
	}
	counts, err := b.Drop(ctx, threshold)
	if err == nil {
		err = b.Permute(ctx, "remaining", "released")
	}
	if err == nil {
		err = b.Engine.Remove(ctx, "crowds", "remaining")
	}
	return counts, err
}

// Analyze decodes the records of the dataset "released", which it removes.
func (r *Route) Analyze(ctx context.Context, b *Batch, each func(task.Record)) error {
	err := b.Scan(ctx, "released", func(row []byte) error {
		record, err := r.decode(row[KeyWidth+r.secondWidth():])
		if err == nil {
			each(record)
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.Engine.Remove(ctx, "released")
}

func (r *Route) decode(row []byte) (task.Record, error) {
	n := int(binary.BigEndian.Uint16(row))
	if n > len(row)-lengthWidth {
		return nil, fmt.Errorf("a payload of %d bytes in a row of %d", n, len(row))
	}
	return r.Task.Decode(row[lengthWidth:][:n])
}
