package esa

import (
	"encoding/binary"
	"fmt"

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
	// Crowd is the crowd's tag at the last shuffler, zero at the other hops.
	Crowd CrowdTag
	// Extensions are exactly those that the task lists for this hop.
	Extensions []Extension
	// Next is the next hop's layer; at the analyzer the payload without its
	// padding. Crowd, extensions and Next are all that is left of the sender.
	Next []byte
}

// An extension is an extension type known to this version. Data of one type
// have one length, so that reports of a task keep one size.
type extension struct {
	kind uint16
	role task.Role
	size int
}

// knownExtension returns what this version knows of an extension type. It
// knows none yet.
func knownExtension(uint16) (extension, bool) { return extension{}, false }

// A layout is the exact shape of the reports of one task.
type layout struct {
	id      task.ID
	hops    []hopLayout
	payload int
}

type hopLayout struct {
	role       task.Role
	crowd      bool // whether this layer has crowd material
	extensions []extension
	next       int // length of the next layer or of the padded payload
}

func newLayout(t *task.Task, id task.ID) (*layout, error) {
	if len(t.Hops) == 0 {
		return nil, fmt.Errorf("task %q: no hops", t.Metric)
	}
	extensions := make([]extension, len(t.Extensions))
	for i, kind := range t.Extensions {
		x, ok := knownExtension(kind)
		if !ok {
			return nil, fmt.Errorf("task %q: extension type %d is not known to this version; a newer program is needed", t.Metric, kind)
		}
		extensions[i] = x
	}
	return layOut(t, id, extensions), nil
}

// layOut computes the shape from the innermost layer outwards. The crowd's tag
// goes to the last shuffler only: the first one, which sees where a report
// comes from, then does not see which crowd it is in.
func layOut(t *task.Task, id task.ID, extensions []extension) *layout {
	l := &layout{id: id, hops: make([]hopLayout, len(t.Hops)), payload: int(t.PayloadSize)}
	next := l.payload
	for i := len(t.Hops) - 1; i >= 0; i-- {
		h := &l.hops[i]
		h.role = t.Hops[i].Role
		h.crowd = h.role == task.Shuffler && i == len(t.Hops)-2
		h.next = next
		for _, x := range extensions {
			if x.role == h.role {
				h.extensions = append(h.extensions, x)
			}
		}
		next = h.layerSize(X25519)
	}
	return l
}

// plaintextSize returns the length of what is sealed in the layer.
func (h *hopLayout) plaintextSize() int {
	n := 1 + 2 + h.extensionsSize() + h.next
	if h.crowd {
		n += len(CrowdTag{})
	}
	return n
}

func (h *hopLayout) extensionsSize() int {
	n := 0
	for _, x := range h.extensions {
		n += 2 + 2 + x.size
	}
	return n
}

func (h *hopLayout) layerSize(kem KEM) int {
	return headerSize + encapsulatedSize(kem) + h.plaintextSize() + tagSize
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
func (h *hopLayout) appendPlaintext(b []byte, tag CrowdTag, extensions []Extension, next []byte) ([]byte, error) {
	if h.crowd {
		b = append(b, byte(len(tag)))
		b = append(b, tag[:]...)
	} else {
		b = append(b, 0)
	}
	if len(extensions) != len(h.extensions) {
		return nil, fmt.Errorf("%d extensions for a %s, want %d", len(extensions), h.role, len(h.extensions))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(h.extensionsSize()))
	for i, x := range extensions {
		want := h.extensions[i]
		if x.Type != want.kind || len(x.Data) != want.size {
			return nil, fmt.Errorf("extension %d with %d bytes, want %d with %d", x.Type, len(x.Data), want.kind, want.size)
		}
		b = binary.BigEndian.AppendUint16(b, x.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(x.Data)))
		b = append(b, x.Data...)
	}
	if len(next) != h.next {
		return nil, fmt.Errorf("next layer of %d bytes, want %d", len(next), h.next)
	}
	return append(b, next...), nil
}

// parsePlaintext reads what was sealed in a layer. The result aliases b.
func (h *hopLayout) parsePlaintext(b []byte) (Layer, error) {
	var l Layer
	crowd := 0
	if h.crowd {
		crowd = len(l.Crowd)
	}
	if len(b) < 1+crowd+2 || int(b[0]) != crowd {
		return Layer{}, refuse(CauseMalformed, "crowd material of another length than the task's")
	}
	copy(l.Crowd[:], b[1:1+crowd])
	b = b[1+crowd:]
	size := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if size != h.extensionsSize() || len(b) < size {
		return Layer{}, refuse(CauseExtension, "other extensions than the task's")
	}
	var err error
	if l.Extensions, err = h.parseExtensions(b[:size]); err != nil {
		return Layer{}, err
	}
	l.Next = b[size:]
	if len(l.Next) != h.next {
		return Layer{}, refuse(CauseMalformed, "next layer of another length than the task's")
	}
	return l, nil
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
