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
	return s.SealShowing(e, tag, payload, nil)
}

// A Presenter makes the presentations that hop i of a task asks for, bound to a digest:
// in the order of [task.Task.Presentations].
type Presenter func(i int, digest [sha256.Size]byte) ([][]byte, error)

// SealShowing is Seal for tasks that require credentials: present is called for each
// hop that asks for presentations, the last hop first.
func (s *Sealer) SealShowing(e task.Epoch, tag CrowdTag, payload []byte, present Presenter) ([]byte, error) {
	if s.task.Protection.Blinded {
		return nil, fmt.Errorf("sealing a report of %q: its crowds are blinded", s.task.Metric)
	}
	return s.seal(e, tag[:], payload, present)
}

// SealBlinded is SealShowing for tasks with blinded crowds: point is that of the crowd, see
// [CrowdPoint]. The first shuffler reads it blinded by a factor of this report alone.
func (s *Sealer) SealBlinded(e task.Epoch, point [blind.Size]byte, payload []byte, present Presenter) ([]byte, error) {
	if !s.task.Protection.Blinded {
		return nil, fmt.Errorf("sealing a report of %q: its crowds are not blinded", s.task.Metric)
	}
	return s.seal(e, point[:], payload, present)
}

func (s *Sealer) seal(e task.Epoch, crowd, payload []byte, present Presenter) ([]byte, error) {
	next, err := task.Pad(payload, s.layout.payload)
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", s.task.Metric, err)
	}
	senders := hpke.Senders(hpke.DefaultSuite(), s.inward...)
	for i := len(s.layout.hops) - 1; i >= 0; i-- {
		header := Header{Version: Version, Role: s.layout.hops[i].role, Key: s.keys[i].ID, Task: s.layout.id, Epoch: e}
		if next, crowd, err = s.layout.hops[i].seal(&senders[len(senders)-1-i], i, header, crowd, next, present); err != nil {
			return nil, fmt.Errorf("sealing a report of %q: %w", s.task.Metric, err)
		}
	}
	return next, nil
}

// seal seals the layer of hop i around the next one. It returns the crowd for the hop
// before: the same, or, where the layer exports a factor, the point that is blinded by it.
func (h *hopLayout) seal(to *hpke.Sender, i int, header Header, crowd, next []byte, present Presenter) (layer, before []byte, err error) {
	var material []byte
	if h.crowd > 0 {
		material = crowd
	}
	shown, err := h.present(i, header, material, next, present)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := h.appendPlaintext(make([]byte, 0, h.plaintextSize()), material, shown, next)
	if err != nil {
		return nil, nil, err
	}
	if !h.unblinds {
		layer, err = sealLayer(to, header, plaintext, nil)
		return layer, crowd, err
	}
	var exported [hpke.ExportSize]byte
	if layer, err = sealLayer(to, header, plaintext, &exported); err != nil {
		return nil, nil, err
	}
	blinded, err := blind.NewFactor(exported).Blind([blind.Size]byte(crowd))
	return layer, blinded[:], err
}

// present returns the extensions of hop i's layer.
func (h *hopLayout) present(i int, header Header, crowd, next []byte, present Presenter) ([]Extension, error) {
	if !h.presents() {
		return nil, nil
	}
	if present == nil {
		return nil, fmt.Errorf("the %v asks for credentials, and there are none", h.role)
	}
	shown, err := present(i, h.digest(header.append(nil), crowd, nil, next))
	if err != nil {
		return nil, err
	}
	if len(shown) != len(h.extensions) {
		return nil, fmt.Errorf("%d presentations for the %v, want %d", len(shown), h.role, len(h.extensions))
	}
	all := make([]Extension, len(shown))
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
