package vocab

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/shoal-project/shoal/bench/stages"
	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/metric/task"
)

// Blinded is the Blinded-Crowd experiment: two shufflers, of which neither can name a crowd,
// with all layers of encryption, on files and all cores, without a network: seconds.
type Blinded struct {
	ReportBytes int     `json:"report_bytes"`
	Encode      float64 `json:"encode"`     // clients: share, blind, seal three times
	Shuffler1   float64 `json:"shuffler_1"` // open, multiply, permute
	Shuffler2   float64 `json:"shuffler_2"` // open, unblind, count, drop, permute, sign
	Crowds      int     `json:"crowds"`     // that shuffler 2 counted

	// What the crowd IDs alone cost in this construction, and in the paper's.
	XOnly   CrowdSeconds `json:"crowd_ids"`
	ElGamal CrowdSeconds `json:"crowd_ids_el_gamal"`
}

// CrowdSeconds are the seconds that crowd IDs take at each party.
type CrowdSeconds struct {
	Encode    float64 `json:"encode"`
	Shuffler1 float64 `json:"shuffler_1"`
	Shuffler2 float64 `json:"shuffler_2"`
}

// blinded sends a sample through two shufflers over blinded crowds.
func (r *runner) blinded(ctx context.Context, s sample) (*Blinded, error) {
	route, err := newRouteOf(task.Shuffler, task.Shuffler, task.Analyzer)
	if err != nil {
		return nil, err
	}
	out, cores := &Blinded{}, runtime.GOMAXPROCS(0)
	words := make([]string, len(s.ranks))
	for i, rank := range s.ranks {
		words[i] = r.words[rank]
	}
	err = r.scratch(func(e *local.Engine, dir string) error {
		if err := r.timed(&out.Encode, func() error { return r.sealBlinded(ctx, e, route, words, cores, out) }); err != nil {
			return fmt.Errorf("sealing reports: %w", err)
		}
		if err := r.timed(&out.Shuffler1, func() error { return route.blindAll(ctx, e, cores) }); err != nil {
			return fmt.Errorf("shuffler 1: %w", err)
		}
		if err := r.timed(&out.Shuffler2, func() error { return r.countBlinded(ctx, e, route, filepath.Join(dir, "batch"), cores, out) }); err != nil {
			return fmt.Errorf("shuffler 2: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := r.runXOnly(route, words, cores, &out.XOnly); err != nil {
		return nil, fmt.Errorf("crowd IDs: %w", err)
	}
	crowds, err := r.runElGamal(words, cores, &out.ElGamal)
	if err == nil && crowds != out.Crowds {
		err = fmt.Errorf("%d crowds, and %d over Curve25519", crowds, out.Crowds)
	}
	if err != nil {
		return nil, fmt.Errorf("crowd IDs by El Gamal: %w", err)
	}
	return out, nil
}

// sealBlinded writes the reports of all clients to the dataset "sealed", on all cores.
func (r *runner) sealBlinded(ctx context.Context, e engine.Engine, route *route, words []string, cores int, out *Blinded) error {
	sealer, err := esa.NewSealer(route.task, route.id, route.public())
	if err != nil {
		return err
	}
	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, binding, quorum)
	if err != nil {
		return err
	}
	out.ReportBytes = sealer.ReportSize()
	w, err := e.Create(ctx, "sealed", []engine.Column{{Name: "report", Width: out.ReportBytes}})
	if err != nil {
		return err
	}
	defer w.Abort()
	const block = 1024 // clients whose reports are made before they are written
	reports := make([][]byte, block)
	for from := 0; from < len(words); from += block {
		some := words[from:min(from+block, len(words))]
		err := onCores(len(some), cores, func(i int) error {
			payload, err := appendShare(ctx, nil, enc, some[i], rand.Reader)
			if err != nil {
				return err
			}
			point := esa.CrowdPoint(route.id, route.epoch, []byte(some[i]))
			reports[i], err = sealer.SealBlinded(route.epoch, [][blind.Size]byte{point}, payload, nil)
			return err
		})
		if err != nil {
			return err
		}
		for _, report := range reports[:len(some)] {
			if err := w.Write(report); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// blindAll is shuffler 1: the dataset "blinded" holds points and layers in a random order.
func (r *route) blindAll(ctx context.Context, e engine.Engine, cores int) error {
	opener, err := esa.NewOpener(r.task, r.id, 0, r.keys[0])
	if err != nil {
		return err
	}
	exponent, err := blind.NewExponent(rand.Reader)
	if err != nil {
		return err
	}
	b, err := stages.NewBatch(e, randomSeed(), blind.Size+opener.NextSize())
	if err != nil {
		return err
	}
	w, err := e.CreateSorted(ctx, "blinded", []engine.Column{{Name: "key", Width: stages.KeyWidth}, {Name: "row", Width: b.Width}}, []string{"key"})
	if err != nil {
		return err
	}
	defer w.Abort()
	open := hop.Blinding(hop.OpenMany(opener, r.task, r.epoch), exponent, 1)
	for row, err := range hop.Opened(rows(ctx, e, "sealed"), cores, open, func(o esa.Opened) []byte {
		return append(append(appendKey(nil, b, o.Report), o.Point[:]...), o.Next...)
	}) {
		if err == nil {
			err = w.Write(row)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return e.Remove(ctx, "sealed")
}

// appendKey adds the key that decides the position of a report.
func appendKey(to []byte, b *stages.Batch, report []byte) []byte {
	digest := sha256.Sum256(report)
	at := len(to)
	to = append(to, digest[:stages.KeyWidth]...)
	b.Key(to[at:])
	return to
}

func randomSeed() (seed [32]byte) {
	_, _ = rand.Read(seed[:])
	return seed
}

// countBlinded is shuffler 2, from the stored rows to its own signed file.
func (r *runner) countBlinded(ctx context.Context, e engine.Engine, route *route, file string, cores int, out *Blinded) error {
	opener, err := esa.NewOpener(route.task, route.id, 1, route.keys[1])
	if err != nil {
		return err
	}
	b, err := stages.NewBatch(e, randomSeed(), opener.NextSize())
	if err != nil {
		return err
	}
	w, err := e.Create(ctx, "reports", b.Columns())
	if err != nil {
		return err
	}
	defer w.Abort()
	inner := hop.Unblinding(hop.OpenMany(opener, route.task, route.epoch), 1)
	withoutKey := func(rows [][]byte) []esa.Opened {
		for i := range rows {
			rows[i] = rows[i][stages.KeyWidth:]
		}
		return inner(rows)
	}
	type opened struct {
		row   []byte
		cause esa.Cause
	}
	for o, err := range hop.Opened(rows(ctx, e, "blinded"), cores, withoutKey, func(o esa.Opened) opened {
		return opened{append(append(appendKey(nil, b, o.Report), o.Crowd[:]...), o.Next...), o.Cause}
	}) {
		if err == nil && o.cause != 0 {
			err = fmt.Errorf("a report of our own is refused: %v", o.cause)
		}
		if err == nil {
			err = w.Write(o.row)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := b.Count(ctx); err != nil {
		return err
	}
	crowds := 0
	if err := b.Scan(ctx, "crowds", func([]byte) error { crowds++; return nil }); err != nil {
		return err
	}
	out.Crowds = crowds
	counts, err := b.Drop(ctx, r.threshold)
	if err != nil {
		return err
	}
	if err := b.Permute(ctx, "remaining", "released"); err != nil {
		return err
	}
	defer os.Remove(file)
	return route.write(ctx, b, file, counts)
}

// runXOnly times the crowd IDs of all words alone.
func (r *runner) runXOnly(route *route, words []string, cores int, out *CrowdSeconds) error {
	factors, points := make([]blind.Factor, len(words)), make([][blind.Size]byte, len(words))
	err := r.timed(&out.Encode, func() error {
		return onCores(len(words), cores, func(i int) (err error) {
			factors[i] = blind.NewFactor(randomSeed()) // which the seal exports
			points[i], err = factors[i].Blind(esa.CrowdPoint(route.id, route.epoch, []byte(words[i])))
			return err
		})
	})
	if err != nil {
		return err
	}
	exponent, err := blind.NewExponent(rand.Reader)
	if err != nil {
		return err
	}
	const many = 512
	blocks := (len(points) + many - 1) / many
	err = r.timed(&out.Shuffler1, func() error {
		return onCores(blocks, cores, func(i int) error {
			some := points[i*many : min((i+1)*many, len(points))]
			for j, product := range exponent.Multiply(some) {
				some[j], _ = product.Secret()
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return r.timed(&out.Shuffler2, func() error {
		return onCores(blocks, cores, func(i int) error {
			from, to := i*many, min((i+1)*many, len(points))
			_, err := blind.Unblind(factors[from:to], points[from:to])
			return err
		})
	})
}
