package esa

import (
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/metric/task"
)

// An Opener opens one hop's layer of the reports of one task. It is safe for
// use by several goroutines. Keys are fixed: after a rotation make a new one.
type Opener struct {
	task *task.Task
	hop  *hopLayout
	id   task.ID
	last bool
	keys map[task.KeyID]*PrivateKey
}

// NewOpener returns an opener for hop i of t.Hops, where t has the given ID,
// that holds the given keys.
func NewOpener(t *task.Task, id task.ID, i int, keys ...*PrivateKey) (*Opener, error) {
	l, err := newLayout(t, id)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(l.hops) {
		return nil, fmt.Errorf("task %q: hop index %d of %d", t.Metric, i, len(l.hops))
	}
	return newOpener(t, l, i, keys)
}

func newOpener(t *task.Task, l *layout, i int, keys []*PrivateKey) (*Opener, error) {
	o := &Opener{task: t, hop: &l.hops[i], id: l.id, last: i == len(l.hops)-1, keys: make(map[task.KeyID]*PrivateKey, len(keys))}
	for _, k := range keys {
		if kem := KEM(k.public.KEM); !allowed(kem, i) {
			return nil, fmt.Errorf("task %q: hop %d: %v is of %v, which is for the outermost layer only", t.Metric, i+1, k, kem)
		}
		o.keys[k.public.ID] = k
	}
	return o, nil
}

// MaxSize returns the length of the longest layer that the opener accepts: the
// limit for reading a report. It is that of a header for an opener without keys.
func (o *Opener) MaxSize() int {
	longest := headerSize
	for _, k := range o.keys {
		longest = max(longest, o.hop.layerSize(KEM(k.public.KEM)))
	}
	return longest
}

// NextSize returns the length of each [Layer].Next that a shuffler reads: the
// length of the rows it hands over. For the analyzer it is the payload's size
// class.
func (o *Opener) NextSize() int { return o.hop.next }

// Check reports whether layer can be a report of epoch e for this hop, without
// opening it: version, role, task, epoch, key and exact length. Its error is a
// [Refusal].
func (o *Opener) Check(layer []byte, e task.Epoch) error {
	_, _, err := o.check(layer, e)
	return err
}

func (o *Opener) check(layer []byte, e task.Epoch) (Header, *PrivateKey, error) {
	h, err := ParseHeader(layer)
	if err != nil {
		return Header{}, nil, err
	}
	if h.Role != o.hop.role {
		return Header{}, nil, refuse(CauseMalformed, "a layer for another role")
	}
	if h.Task != o.id {
		return Header{}, nil, refuse(CauseWrongTask, "made for another task")
	}
	if h.Epoch != e {
		return Header{}, nil, refuse(CauseWrongEpoch, "made for another epoch")
	}
	key := o.keys[h.Key]
	if key == nil || !key.covers(o.task.Start(e).Unix(), o.task.Closes(e).Unix()) {
		return Header{}, nil, refuse(CauseUnknownKey, "sealed to a key that is not known or not valid in this epoch")
	}
	if len(layer) != o.hop.layerSize(KEM(key.public.KEM)) {
		return Header{}, nil, refuse(CauseMalformed, "of another length than the task's reports")
	}
	return h, key, nil
}

// Open opens one layer of a report of epoch e. Its error is a [Refusal] and
// concerns this report alone. The result does not alias layer. Several layers
// open faster together: see [Opener.OpenMany].
func (o *Opener) Open(layer []byte, e task.Epoch) (Layer, error) {
	h, key, err := o.check(layer, e)
	if err != nil {
		return Layer{}, err
	}
	return o.open(&h, key, layer)
}

// open opens a layer that has been checked.
func (o *Opener) open(h *Header, key *PrivateKey, layer []byte) (Layer, error) {
	label := ""
	if o.hop.unblinds > 0 {
		label = o.hop.factorLabel()
	}
	plaintext, exported, err := openLayer(key.key, h, layer, label)
	if err != nil {
		return Layer{}, refuse(CauseDecrypt, err.Error())
	}
	l, err := o.read(layer[:headerSize], plaintext)
	if err == nil && o.hop.unblinds > 0 {
		o.hop.readFactors(&l, exported)
	}
	return l, err
}

// read reads what was sealed under a header. The result aliases plaintext.
func (o *Opener) read(header, plaintext []byte) (Layer, error) {
	l, err := o.hop.parsePlaintext(plaintext)
	if err == nil && len(o.hop.extensions) > 0 && o.hop.presents() {
		l.Digest = o.hop.digest(header, o.hop.material(&l), l.Extensions, l.Next)
	}
	if err != nil || !o.last {
		return l, err
	}
	if l.Next, err = task.Unpad(l.Next); err != nil {
		return Layer{}, refuse(CauseSchema, "the payload's padding is not in form")
	}
	return l, nil
}

// An Opened is the result of one report of a batch: a layer, or the cause why
// the report is refused.
type Opened struct {
	Layer
	Cause  Cause  // 0: the layer is open
	Report []byte // the report itself; valid until the next step only
}

// chunk is how many reports a worker's share of one round is. A round's reports
// are in memory at the same time. together is how many of them are opened by one
// call.
const (
	chunk    = 256
	together = 64
)

// OpenAll opens the layers of a batch of epoch e on the given number of
// goroutines, at least one, and yields the results in the order of the reports.
// The slices that reports yields need to be valid until its next step only. An
// error of reports ends the sequence; a report that is refused does not, it is
// yielded with its cause. Memory is bounded by a few hundred reports a worker.
func (o *Opener) OpenAll(reports iter.Seq2[[]byte, error], e task.Epoch, workers int) iter.Seq2[Opened, error] {
	return func(yield func(Opened, error) bool) {
		r := &round{opener: o, epoch: e, workers: max(1, workers), longest: o.MaxSize()}
		for report, err := range reports {
			if err != nil {
				if r.flush(yield) {
					yield(Opened{}, err)
				}
				return
			}
			r.add(report)
			if r.full() && !r.flush(yield) {
				return
			}
		}
		r.flush(yield)
	}
}

// A round is the reports that are opened at the same time.
type round struct {
	opener  *Opener
	epoch   task.Epoch
	workers int
	longest int // acceptable report
	bytes   []byte
	ends    []int // where each report ends in bytes
}

// add copies a report. One that is longer than any acceptable one is cut: it
// stays refused for its length, and memory stays bounded.
func (r *round) add(report []byte) {
	keep := min(len(report), r.longest+1)
	r.bytes = append(r.bytes, report[:keep]...)
	r.ends = append(r.ends, len(r.bytes))
}

func (r *round) full() bool { return len(r.ends) >= chunk*r.workers }

// flush opens and yields what has been added, and reports whether to go on.
func (r *round) flush(yield func(Opened, error) bool) bool {
	spans := make([][]Opened, (len(r.ends)+together-1)/together)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(r.workers, len(spans)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(spans); i = int(next.Add(1)) - 1 {
				spans[i] = r.open(i * together)
			}
		})
	}
	wg.Wait()
	for _, span := range spans {
		for _, result := range span {
			if !yield(result, nil) {
				return false
			}
		}
	}
	r.bytes, r.ends = r.bytes[:0], r.ends[:0]
	return true
}

// open opens the reports from first on that one call takes.
func (r *round) open(first int) []Opened {
	sealed := make([]Sealed, min(together, len(r.ends)-first))
	start := 0
	if first > 0 {
		start = r.ends[first-1]
	}
	for i := range sealed {
		end := r.ends[first+i]
		sealed[i] = Sealed{Layer: r.bytes[start:end:end], Epoch: r.epoch}
		start = end
	}
	return r.opener.OpenMany(sealed)
}
