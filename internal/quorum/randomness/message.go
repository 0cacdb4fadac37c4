package randomness

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/metric/task"
)

// Media types.
const (
	KeyType     = "application/shoal-evaluation-key;v=1"
	RequestType = "application/shoal-evaluation-request;v=1"
	AnswerType  = "application/shoal-evaluation;v=1"
)

const (
	messageVersion = 1
	// Points is how many points every request has.
	Points = voprf.MaxBatch

	pointsSize      = Points * voprf.PublicKeySize
	maxPresentation = 8 << 10
	maxRequest      = 1 + 2 + maxPresentation + pointsSize

	// AnswerSize is the length of every answer: the evaluated points and their proof.
	AnswerSize = pointsSize + 64
)

// Announcement returns what is announced of a key, to be signed:
//
//	uint8 version = 1; opaque public[32];
func Announcement(k *voprf.PublicKey) []byte { return append([]byte{messageVersion}, k.Bytes()...) }

// ParseAnnouncement reads what [Announcement] writes.
func ParseAnnouncement(b []byte) (*voprf.PublicKey, error) {
	if len(b) != 1+voprf.PublicKeySize || b[0] != messageVersion {
		return nil, fmt.Errorf("evaluation key of %d bytes, want version %d and %d bytes", len(b), messageVersion, 1+voprf.PublicKeySize)
	}
	return voprf.ParsePublicKey(b[1:])
}

// A Request is what a client asks: one presentation, and exactly [Points] points.
type Request struct {
	Presentation []byte
	Points       []byte // of voprf.Request
}

// Encode returns the body:
//
//	uint8 version = 1; opaque presentation<0..8192>; opaque points[2048];
func (q *Request) Encode() ([]byte, error) {
	if len(q.Presentation) > maxPresentation || len(q.Points) != pointsSize {
		return nil, fmt.Errorf("evaluation request with a presentation of %d bytes and points of %d, want at most %d and %d", len(q.Presentation), len(q.Points), maxPresentation, pointsSize)
	}
	b := binary.BigEndian.AppendUint16([]byte{messageVersion}, uint16(len(q.Presentation)))
	return append(append(b, q.Presentation...), q.Points...), nil
}

// ParseRequest reads what [Request.Encode] writes. The result shares the memory of b.
func ParseRequest(b []byte) (*Request, error) {
	in := cryptobyte.String(b)
	var v uint8
	var p cryptobyte.String
	q := new(Request)
	if !in.ReadUint8(&v) || v != messageVersion || !in.ReadUint16LengthPrefixed(&p) || len(p) > maxPresentation || !in.ReadBytes(&q.Points, pointsSize) || !in.Empty() {
		return nil, fmt.Errorf("evaluation request of %d bytes is not in form", len(b))
	}
	q.Presentation = p
	return q, nil
}

// Digest returns what the presentation is bound to:
// SHA-256("shoal evaluation v1" || task ID || epoch u64 || points).
func (q *Request) Digest(id task.ID, e task.Epoch) [sha256.Size]byte {
	b := append([]byte("shoal evaluation v1"), id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e))
	return sha256.Sum256(append(b, q.Points...))
}
