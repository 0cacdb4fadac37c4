package credential

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/crypto/arc"
)

const announceVersion = 1

// A gateSet says which gates an issuer has, as clients have to know.
type gateSet uint8

const (
	gateInvitation gateSet = 1 << iota
	gateWork
	gateCallOut

	gatesKnown = gateInvitation | gateWork | gateCallOut
)

// MaxWork bounds the bits of the proof of work that a client makes: some minutes of one
// processor.
const MaxWork = 30

// An announcement is what an issuer announces for a slot: what the party signs, and
// the witness too where there is one.
type announcement struct {
	public   *arc.PublicKey
	gates    gateSet
	workBits uint8
}

// encode returns the announcement's bytes:
//
//	uint8 version = 1; opaque public[99]; uint8 gates; uint8 work_bits;
func (a *announcement) encode() []byte {
	b := append(make([]byte, 0, 3+arc.PublicKeySize), announceVersion)
	b = append(b, a.public.Bytes()...)
	return append(b, uint8(a.gates), a.workBits)
}

func parseAnnouncement(b []byte) (*announcement, error) {
	in := cryptobyte.String(b)
	var v, gates uint8
	var public []byte
	a := new(announcement)
	if !in.ReadUint8(&v) || !in.ReadBytes(&public, arc.PublicKeySize) || !in.ReadUint8(&gates) || !in.ReadUint8(&a.workBits) || !in.Empty() {
		return nil, fmt.Errorf("credential key of %d bytes, want %d", len(b), 3+arc.PublicKeySize)
	}
	a.gates = gateSet(gates)
	switch {
	case v != announceVersion:
		return nil, fmt.Errorf("credential key of version %d, want %d", v, announceVersion)
	case a.gates == 0 || a.gates&^gatesKnown != 0:
		return nil, fmt.Errorf("credential key: gates %#x, want some of %#x; a newer program may be needed", gates, uint8(gatesKnown))
	case a.workBits > MaxWork || (a.workBits > 0) != (a.gates&gateWork != 0):
		return nil, fmt.Errorf("credential key: a proof of work of %d bits, want at most %d and some only where it is asked for", a.workBits, MaxWork)
	}
	var err error
	a.public, err = arc.ParsePublicKey(public)
	return a, err
}

const (
	issueVersion = 1
	// maxAdmission bounds what a client shows to gates.
	maxAdmission = 4 << 10
	maxIssue     = 1 + arc.RequestSize + 8 + 2 + maxAdmission
)

// An application is a client's request for a credential, with what the gates ask for.
type application struct {
	slot      Slot
	request   []byte // of crypto/arc, encoded
	work      uint64 // the nonce of the proof of work; 0 without one
	admission []byte // an invitation, or what the call-out wants
}

// encode returns the body of the request:
//
//	uint8 version = 1; opaque request[226]; uint64 work; opaque admission<0..4096>;
func (a *application) encode() []byte {
	var b cryptobyte.Builder
	b.AddUint8(issueVersion)
	b.AddBytes(a.request)
	b.AddUint64(a.work)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(a.admission) })
	return b.BytesOrPanic() // an admission is bounded by maxAdmission where it comes in
}

func parseApplication(slot Slot, body []byte) (*application, error) {
	in := cryptobyte.String(body)
	a := &application{slot: slot}
	var v uint8
	var admission cryptobyte.String
	if !in.ReadUint8(&v) || v != issueVersion || !in.ReadBytes(&a.request, arc.RequestSize) || !in.ReadUint64(&a.work) ||
		!in.ReadUint16LengthPrefixed(&admission) || len(admission) > maxAdmission || !in.Empty() {
		return nil, fmt.Errorf("a request of %d bytes is not in form", len(body))
	}
	a.admission = admission
	return a, nil
}
