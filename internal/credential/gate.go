package credential

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// ErrRefused is wrapped by the errors of gates that refuse a client. Others mean that
// nothing is known: the client may ask again.
var ErrRefused = errors.New("the gate refuses")

// A Gate decides who gets credentials. It is implemented by [Invitations], [Work] and
// [CallOut].
type Gate interface {
	// admit returns what it knows the client by: of those with equal bytes one gets a
	// credential of a slot. It is empty if the gate does not tell clients apart.
	admit(ctx context.Context, a *application, now time.Time) ([]byte, error)
	announce(a *announcement)
}

// InvitationDomain is the domain of signatures of invitations.
const InvitationDomain task.Domain = "shoal invitation v1"

const (
	invitationPrefix = "shoal-invitation:"
	serialSize       = 16
	invitationSize   = serialSize + 8 + ed25519.SignatureSize
)

// Invite makes an invitation code: a random serial number and an expiry, signed by an
// organisation whose key the issuers list. One code serves all issuers of all tasks
// that list the key, and gets one credential of each of their policies and periods.
func Invite(by task.IdentityKey, notAfter time.Time, rand io.Reader) (string, error) {
	b := make([]byte, serialSize, invitationSize)
	if _, err := io.ReadFull(rand, b); err != nil {
		return "", fmt.Errorf("drawing an invitation: %w", err)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(notAfter.Unix()))
	b = append(b, by.Sign(InvitationDomain, b)...)
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// Invitations admits the holders of invitation codes that one of the keys has signed.
type Invitations []ed25519.PublicKey

func (g Invitations) admit(_ context.Context, a *application, now time.Time) ([]byte, error) {
	text, ok := strings.CutPrefix(string(a.admission), invitationPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != invitationSize {
		return nil, fmt.Errorf("%w: not an invitation code", ErrRefused)
	}
	body, sig := b[:serialSize+8], b[serialSize+8:]
	for _, key := range g {
		if !task.Verify(key, InvitationDomain, body, sig) {
			continue
		}
		if notAfter := binary.BigEndian.Uint64(body[serialSize:]); uint64(now.Unix()) > notAfter {
			return nil, fmt.Errorf("%w: the invitation has expired", ErrRefused)
		}
		return body[:serialSize], nil
	}
	return nil, fmt.Errorf("%w: the invitation is not signed by a key that is accepted here", ErrRefused)
}

func (Invitations) announce(a *announcement) { a.gates |= gateInvitation }

// Work admits those that have spent processor time: about 2^Work hashes, with Work
// from 1 to 30. It does not tell clients apart.
type Work uint8

func (g Work) admit(_ context.Context, a *application, _ time.Time) ([]byte, error) { //nolint:unparam // it implements Gate
	if !newWorkload(a).done(a.work, uint8(g)) {
		return nil, fmt.Errorf("%w: the proof of work is missing or for another request", ErrRefused)
	}
	return nil, nil
}

func (g Work) announce(a *announcement) { a.gates, a.workBits = a.gates|gateWork, uint8(g) }

const workDomain = "shoal credential work v1"

// A workload is what work is spent on: the policy, the party and the request.
type workload []byte

func newWorkload(a *application) workload {
	h := sha256.New()
	h.Write([]byte(workDomain))
	h.Write(a.slot.Party[:])
	h.Write(a.slot.RequestContext())
	h.Write(a.request)
	return h.Sum(make([]byte, 0, sha256.Size+8))
}

// done reports whether SHA-256(workload || nonce u64) begins with as many zero bits.
func (w workload) done(nonce uint64, want uint8) bool {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(w[:len(w):len(w)+8], nonce))
	zeros := bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:]))
	return zeros >= int(want)
}

// work finds the nonce of a proof of work.
func (a *application) findWork(ctx context.Context, want uint8) error {
	load := newWorkload(a)
	for nonce := uint64(0); ; nonce++ {
		if nonce%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if load.done(nonce, want) {
			a.work = nonce
			return nil
		}
	}
}
