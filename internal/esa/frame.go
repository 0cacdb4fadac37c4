package esa

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/metric/task"
)

// Version is the version of the report frame.
const Version = 1

// headerSize is the length of a layer's header: version, role, key ID, task ID
// and epoch.
const headerSize = 1 + 1 + 8 + 32 + 8

// A Header precedes each layer of a report in clear and is authenticated
// by the layer's seal.
type Header struct {
	Version uint8
	Role    task.Role
	Key     task.KeyID
	Task    task.ID
	Epoch   task.Epoch
}

// ParseHeader reads the header of a layer of this version. Nothing in it is
// authentic before the layer is open.
func ParseHeader(layer []byte) (Header, error) {
	if len(layer) < headerSize {
		return Header{}, refuse(CauseMalformed, "shorter than a header")
	}
	h := Header{
		Version: layer[0],
		Role:    task.Role(layer[1]),
		Key:     task.KeyID(layer[2:10]),
		Task:    task.ID(layer[10:42]),
		Epoch:   task.Epoch(binary.BigEndian.Uint64(layer[42:headerSize])),
	}
	if h.Version != Version {
		return Header{}, refuse(CauseMalformed, "not of this frame version")
	}
	return h, nil
}

// append adds the header's bytes to b.
func (h Header) append(b []byte) []byte {
	b = append(b, h.Version, uint8(h.Role))
	b = append(b, h.Key[:]...)
	b = append(b, h.Task[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(h.Epoch))
}

// An Extension is one typed extension of a layer.
type Extension struct {
	Type uint16
	Data []byte
}

// A Layer is what one hop reads of a report.
type Layer struct {
	// Crowd is the crowd's tag at the last shuffler, zero at the other hops. In tasks
	// with blinded crowds the frame has none; the last shuffler computes it.
	Crowd CrowdTag
	// Point is at the first shuffler of a task with blinded crowds the crowd's point
	// as the client blinded it, zero elsewhere.
	Point [blind.Size]byte
	// Factor is at the last shuffler of such a task what unblinds the point that the
	// first one sends along.
	Factor blind.Factor
	// Second is the same of the second crowd, in tasks that have one.
	Second Second
	// Extensions are exactly those that the task lists for this hop.
	Extensions []Extension
	// Next is the next hop's layer; at the analyzer the payload without its
	// padding. Crowd, extensions and Next are all that is left of the sender.
	Next []byte
	// Digest is what presentations in the layer are bound to, zero at hops that ask
	// for none.
	Digest [sha256.Size]byte
}

// A Second is what a hop reads of the second crowd of a report.
type Second struct {
	Crowd  CrowdTag
	Point  [blind.Size]byte
	Factor blind.Factor
}

// Presentation returns the presentation in the extension of a type, nil without one.
func (l *Layer) Presentation(kind uint16) []byte { return l.extension(kind) }

func (l *Layer) extension(kind uint16) []byte {
	for _, x := range l.Extensions {
		if x.Type == kind {
			return x.Data
		}
	}
	return nil
}

// MaxCrowds is in how many crowds a report is at most.
const MaxCrowds = 2

// The types of extensions.
const (
	ExtensionEpoch uint16 = 1 // presentation of a credential for the epoch
	ExtensionCrowd uint16 = 2 // presentation of a credential for the crowd, or for the quorum's tag
	// ExtensionSecond is the material of the second crowd, at the hop that has that of the first.
	ExtensionSecond uint16 = 3
)

// An extension is what a hop's layer has of one type. Data of one type have one
// length, so that reports of a task keep one size.
type extension struct {
	kind uint16
	size int
}

// presented returns the extensions that hold presentations for a hop.
func presented(t *task.Task, hop int) []extension {
	var all []extension
	for _, p := range t.Presentations(t.Hops[hop]) {
		kind := ExtensionEpoch
		if p.Kind != task.EpochPresentation {
			kind = ExtensionCrowd
		}
		all = append(all, extension{kind, arc.PresentationSize(p.Limit)})
	}
	return all
}

// A layout is the exact shape of the reports of one task.
type layout struct {
	id      task.ID
	hops    []hopLayout
	payload int
}

type hopLayout struct {
	role       task.Role
	crowd      int // bytes of crowd material: none, a tag, or a blinded point
	unblinds   int // the crowds of which the layer exports the factors: 0, 1 or 2
	extensions []extension
	next       int // length of the next layer or of the padded payload
}

// tagged reports whether the layer has a crowd's tag, and with it the hop counts crowds.
func (h *hopLayout) tagged() bool { return h.crowd == len(CrowdTag{}) }

func newLayout(t *task.Task, id task.ID) (*layout, error) {
	if len(t.Hops) == 0 {
		return nil, fmt.Errorf("task %q: no hops", t.Metric)
	}
	extensions := make([][]extension, len(t.Hops))
	for i := range t.Hops {
		extensions[i] = presented(t, i)
	}
	if len(t.Extensions) > 0 { // those of presentations follow from the task's protection
		return nil, fmt.Errorf("task %q: extension type %d is not known to this version; a newer program is needed", t.Metric, t.Extensions[0])
	}
	return layOut(t, id, extensions), nil
}

// layOut computes the shape from the innermost layer outwards. The crowd's tag
// goes to the last shuffler only: the first one, which sees where a report
// comes from, then does not see which crowd it is in.
func layOut(t *task.Task, id task.ID, extensions [][]extension) *layout {
	l := &layout{id: id, hops: make([]hopLayout, len(t.Hops)), payload: int(t.PayloadSize)}
	next := l.payload
	for i := len(t.Hops) - 1; i >= 0; i-- {
		h := &l.hops[i]
		h.role = t.Hops[i].Role
		last := h.role == task.Shuffler && i == len(t.Hops)-2
		switch {
		case t.Protection.Blinded:
			if last {
				h.unblinds = CrowdsOf(t)
			}
			if i == 0 {
				h.crowd = blind.Size
			}
		case last:
			h.crowd = len(CrowdTag{})
		}
		h.next = next
		h.extensions = extensions[i]
		if h.crowd > 0 && t.HasSecond() {
			h.extensions = append(h.extensions, extension{ExtensionSecond, h.crowd})
		}
		next = h.layerSize(X25519)
	}
	return l
}

// CrowdsOf returns in how many crowds each report of a task is.
func CrowdsOf(t *task.Task) int {
	if t.HasSecond() {
		return MaxCrowds
	}
	return 1
}

// plaintextSize returns the length of what is sealed in the layer.
func (h *hopLayout) plaintextSize() int {
	return 1 + h.crowd + 2 + h.extensionsSize() + h.next
}

func (h *hopLayout) extensionsSize() int {
	n := 0
	for _, x := range h.extensions {
		n += 2 + 2 + x.size
	}
	return n
}

// presents reports whether the layer has presentations of credentials.
func (h *hopLayout) presents() bool {
	return slices.ContainsFunc(h.extensions, func(x extension) bool { return isPresentation(x.kind) })
}

func isPresentation(kind uint16) bool { return kind == ExtensionEpoch || kind == ExtensionCrowd }

const digestDomain = "shoal report digest v1"

// digest returns what presentations are bound to: all of the layer but themselves.
//
//	SHA-256("shoal report digest v1" || header || len(crowd) u8 || crowd ||
//	        len(others) u16 || others || next)
//
// others are the extensions that are no presentations, encoded as in the layer.
func (h *hopLayout) digest(header, crowd []byte, extensions []Extension, next []byte) [sha256.Size]byte {
	sum := sha256.New()
	sum.Write([]byte(digestDomain))
	sum.Write(header)
	sum.Write([]byte{uint8(len(crowd))})
	sum.Write(crowd)
	var others []byte
	for _, x := range extensions {
		if !isPresentation(x.Type) {
			others = x.append(others)
		}
	}
	sum.Write(binary.BigEndian.AppendUint16(nil, uint16(len(others))))
	sum.Write(others)
	sum.Write(next)
	return [sha256.Size]byte(sum.Sum(nil))
}

func (x Extension) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, x.Type)
	b = binary.BigEndian.AppendUint16(b, uint16(len(x.Data)))
	return append(b, x.Data...)
}

func (h *hopLayout) layerSize(kem KEM) int {
	return headerSize + encapsulatedSize(kem) + h.plaintextSize() + tagSize
}

// material is the crowd material of a layer that has been read.
func (h *hopLayout) material(l *Layer) []byte {
	switch {
	case h.crowd == 0:
		return nil
	case h.tagged():
		return l.Crowd[:]
	}
	return l.Point[:]
}

// ReportSize returns the exact length, in bytes, of each report of t whose
// outermost layer is sealed by the given KEM. The inner layers' KEMs make no
// difference. It returns 0 if this version cannot make reports of t.
func ReportSize(t *task.Task, outermost KEM) int { return LayerSize(t, 0, outermost) }

// LayerSize returns the exact length of the layer that hop i of the task's
// hops opens, sealed by the given KEM, or 0 as [ReportSize] does. The rows that
// hop i-1 hands over have length LayerSize(t, i, X25519).
func LayerSize(t *task.Task, i int, kem KEM) int {
	l, err := newLayout(t, task.ID{})
	if err != nil || i < 0 || i >= len(l.hops) || encapsulatedSize(kem) == 0 {
		return 0
	}
	return l.hops[i].layerSize(kem)
}

// appendPlaintext adds to b what is sealed in a layer.
func (h *hopLayout) appendPlaintext(b, crowd []byte, extensions []Extension, next []byte) ([]byte, error) {
	if len(crowd) != h.crowd {
		return nil, fmt.Errorf("crowd material of %d bytes, want %d", len(crowd), h.crowd)
	}
	b = append(b, byte(len(crowd)))
	b = append(b, crowd...)
	if len(extensions) != len(h.extensions) {
		return nil, fmt.Errorf("%d extensions for a %s, want %d", len(extensions), h.role, len(h.extensions))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(h.extensionsSize()))
	for i, x := range extensions {
		want := h.extensions[i]
		if x.Type != want.kind || len(x.Data) != want.size {
			return nil, fmt.Errorf("extension %d with %d bytes, want %d with %d", x.Type, len(x.Data), want.kind, want.size)
		}
		b = x.append(b)
	}
	if len(next) != h.next {
		return nil, fmt.Errorf("next layer of %d bytes, want %d", len(next), h.next)
	}
	return append(b, next...), nil
}

// parsePlaintext reads what was sealed in a layer. The result aliases b.
func (h *hopLayout) parsePlaintext(b []byte) (Layer, error) {
	var l Layer
	if len(b) < 1+h.crowd+2 || int(b[0]) != h.crowd {
		return Layer{}, refuse(CauseMalformed, "crowd material of another length than the task's")
	}
	if h.tagged() {
		copy(l.Crowd[:], b[1:])
	} else {
		copy(l.Point[:h.crowd], b[1:])
	}
	b = b[1+h.crowd:]
	size := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if size != h.extensionsSize() || len(b) < size {
		return Layer{}, refuse(CauseExtension, "other extensions than the task's")
	}
	var err error
	if l.Extensions, err = h.parseExtensions(b[:size]); err != nil {
		return Layer{}, err
	}
	h.readSecond(&l)
	l.Next = b[size:]
	if len(l.Next) != h.next {
		return Layer{}, refuse(CauseMalformed, "next layer of another length than the task's")
	}
	return l, nil
}

// readSecond reads the material of the second crowd, if there is one.
func (h *hopLayout) readSecond(l *Layer) {
	if second := l.extension(ExtensionSecond); second == nil {
		return
	} else if h.tagged() {
		copy(l.Second.Crowd[:], second)
	} else {
		copy(l.Second.Point[:], second)
	}
}

// parseExtensions reads a list that must be exactly the expected one, whose
// types increase strictly.
func (h *hopLayout) parseExtensions(b []byte) ([]Extension, error) {
	if len(h.extensions) == 0 {
		return nil, nil
	}
	found := make([]Extension, len(h.extensions))
	for i, want := range h.extensions {
		if len(b) < 4+want.size ||
			binary.BigEndian.Uint16(b) != want.kind || int(binary.BigEndian.Uint16(b[2:])) != want.size {
			return nil, refuse(CauseExtension, "other extensions than the task's")
		}
		found[i] = Extension{Type: want.kind, Data: b[4 : 4+want.size]}
		b = b[4+want.size:]
	}
	return found, nil
}
