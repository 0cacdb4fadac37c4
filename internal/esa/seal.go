package esa

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// A Sealer makes reports of one task for given keys. It is safe for use by
// several goroutines. The randomness of seals is crypto/rand's.
type Sealer struct {
	layout *layout
	task   *task.Task
	keys   []task.Key
	inward []*hpke.PublicKey // of the hops, the last one first: the order of sealing
}

// NewSealer returns a sealer for reports of t, whose ID is id, with one key a
// hop in the order of t.Hops. The keys must come from each hop's signed
// [task.KeyConfig]; see [ChooseKeys].
func NewSealer(t *task.Task, id task.ID, keys []task.Key) (*Sealer, error) {
	l, err := newLayout(t, id)
	if err != nil {
		return nil, err
	}
	if len(keys) != len(t.Hops) {
		return nil, fmt.Errorf("task %q: %d keys for %d hops", t.Metric, len(keys), len(t.Hops))
	}
	s := &Sealer{layout: l, task: t, keys: keys, inward: make([]*hpke.PublicKey, len(keys))}
	for i := range keys {
		if s.inward[len(keys)-1-i], err = parsePublic(&keys[i], i); err != nil {
			return nil, fmt.Errorf("task %q: %w", t.Metric, err)
		}
	}
	return s, nil
}

// ReportSize returns the exact length of the reports that the sealer makes.
func (s *Sealer) ReportSize() int { return s.layout.hops[0].layerSize(KEM(s.keys[0].KEM)) }

// Seal returns one report of epoch e: the payload, padded to the task's size
// class, and the crowd's tag in one layer a hop. Two reports of equal payload
// have nothing in common that a hop before the analyzer could see, but the
// crowd's tag at the last shuffler.
func (s *Sealer) Seal(e task.Epoch, tag CrowdTag, payload []byte) ([]byte, error) {
	return s.SealShowing(e, []CrowdTag{tag}, payload, nil)
}

// A Presenter makes the presentations that hop i of a task asks for, bound to a digest:
// in the order of [task.Task.Presentations].
type Presenter func(i int, digest [sha256.Size]byte) ([][]byte, error)

// SealShowing is Seal for tasks that require credentials: present is called for each
// hop that asks for presentations, the last hop first. A second tag is that of the second
// crowd, in tasks that have one.
func (s *Sealer) SealShowing(e task.Epoch, tags []CrowdTag, payload []byte, present Presenter) ([]byte, error) {
	if s.task.Protection.Blinded {
		return nil, fmt.Errorf("sealing a report of %q: its crowds are blinded", s.task.Metric)
	}
	crowds := make([][]byte, len(tags))
	for i := range tags {
		crowds[i] = tags[i][:]
	}
	return s.seal(e, crowds, payload, present)
}

// SealBlinded is SealShowing for tasks with blinded crowds: points are those of the crowds,
// see [CrowdPoint]. The first shuffler reads each blinded by a factor of its own, of this
// report alone.
func (s *Sealer) SealBlinded(e task.Epoch, points [][blind.Size]byte, payload []byte, present Presenter) ([]byte, error) {
	if !s.task.Protection.Blinded {
		return nil, fmt.Errorf("sealing a report of %q: its crowds are not blinded", s.task.Metric)
	}
	crowds := make([][]byte, len(points))
	for i := range points {
		crowds[i] = points[i][:]
	}
	return s.seal(e, crowds, payload, present)
}

func (s *Sealer) seal(e task.Epoch, crowds [][]byte, payload []byte, present Presenter) ([]byte, error) {
	if want := CrowdsOf(s.task); len(crowds) != want {
		return nil, fmt.Errorf("sealing a report of %q: %d crowds, want %d", s.task.Metric, len(crowds), want)
	}
	next, err := task.Pad(payload, s.layout.payload)
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", s.task.Metric, err)
	}
	senders := hpke.Senders(hpke.DefaultSuite(), s.inward...)
	for i := len(s.layout.hops) - 1; i >= 0; i-- {
		header := Header{Version: Version, Role: s.layout.hops[i].role, Key: s.keys[i].ID, Task: s.layout.id, Epoch: e}
		if next, crowds, err = s.layout.hops[i].seal(&senders[len(senders)-1-i], i, header, crowds, next, present); err != nil {
			return nil, fmt.Errorf("sealing a report of %q: %w", s.task.Metric, err)
		}
	}
	return next, nil
}

// seal seals the layer of hop i around the next one. It returns the crowds for the hop
// before: the same, or, where the layer exports factors, the points that are blinded by them.
func (h *hopLayout) seal(to *hpke.Sender, i int, header Header, crowds [][]byte, next []byte, present Presenter) (layer []byte, before [][]byte, err error) {
	var material []byte
	var second []Extension
	if h.crowd > 0 {
		material = crowds[0]
		for _, crowd := range crowds[1:] {
			second = append(second, Extension{Type: ExtensionSecond, Data: crowd})
		}
	}
	shown, err := h.present(i, header, material, second, next, present)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := h.appendPlaintext(make([]byte, 0, h.plaintextSize()), material, append(shown, second...), next)
	if err != nil {
		return nil, nil, err
	}
	if h.unblinds == 0 {
		layer, err = sealLayer(to, header, plaintext, "", nil)
		return layer, crowds, err
	}
	var exported [hpke.ExportSize]byte
	if layer, err = sealLayer(to, header, plaintext, h.factorLabel(), &exported); err != nil {
		return nil, nil, err
	}
	before = make([][]byte, len(crowds))
	for j, f := range h.factors(exported) {
		if j == len(crowds) {
			break
		}
		blinded, err := f.Blind([blind.Size]byte(crowds[j]))
		if err != nil {
			return nil, nil, err
		}
		before[j] = blinded[:]
	}
	return layer, before, nil
}

// present returns the presentations in hop i's layer, bound to its other extensions.
func (h *hopLayout) present(i int, header Header, crowd []byte, others []Extension, next []byte, present Presenter) ([]Extension, error) {
	if !h.presents() {
		return nil, nil
	}
	if present == nil {
		return nil, fmt.Errorf("the %v asks for credentials, and there are none", h.role)
	}
	shown, err := present(i, h.digest(header.append(nil), crowd, others, next))
	if err != nil {
		return nil, err
	}
	if len(shown)+len(others) != len(h.extensions) {
		return nil, fmt.Errorf("%d presentations for the %v, want %d", len(shown), h.role, len(h.extensions)-len(others))
	}
	all := make([]Extension, len(shown), len(h.extensions))
	for j, b := range shown {
		all[j] = Extension{Type: h.extensions[j].kind, Data: b}
	}
	return all, nil
}

// ChooseKeys returns for each hop the first key of its config that is valid at
// now and of a KEM that this version has for that hop. The configs must be
// authentic, as [task.KeyConfigList.Open] returns them. A hop without such a key is an error: there is no weaker way.
func ChooseKeys(t *task.Task, configs []*task.KeyConfig, now time.Time) ([]task.Key, error) {
	if len(configs) != len(t.Hops) {
		return nil, fmt.Errorf("task %q: key configs of %d hops, want %d", t.Metric, len(configs), len(t.Hops))
	}
	keys := make([]task.Key, 0, len(configs))
	for i := range t.Hops {
		k, ok := firstUsable(configs[i].Current(now), i)
		if !ok {
			return nil, fmt.Errorf("task %q: hop %d offers no key that is valid now and of a known kind", t.Metric, i+1)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func firstUsable(keys []task.Key, hop int) (task.Key, bool) {
	for _, k := range keys {
		if allowed(KEM(k.KEM), hop) {
			return k, true
		}
	}
	return task.Key{}, false
}
