package pairing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// invitation is what a leader sends to a helper or a collector.
type invitation struct {
	Version int    `json:"version"`
	From    string `json:"from"` // the leader's card, a line
	To      string `json:"to"`   // identity
	Created int64  `json:"created"`
	Enc     []byte `json:"enc"`
	Sealed  []byte `json:"sealed"` // secrets
}

// secrets are what an invitation seals.
type secrets struct {
	Seed           []byte `json:"seed,omitempty"`            // for a helper: of the verification keys
	HelperToken    string `json:"helper_token,omitempty"`    // by which the helper knows the leader
	CollectorToken string `json:"collector_token,omitempty"` // by which the leader knows the collector
}

const seedSize = 32

// info binds what is sealed to its sender, its recipient and the time.
func (v *invitation) info(from *Card) []byte {
	return fmt.Appendf(nil, "shoal pairing v1\n%s\n%s\n%d", from.Identity, v.To, v.Created)
}

// Invite pairs the leader me with the organisation of a card, as the helper, the
// collector or both, and returns the line that it must accept. What the two share
// already stays, except the tokens, which are new; the leader accepts the one
// before them of a collector, too, and keeps those before them for a helper that has
// not accepted the new one yet, see [Pairing.FormerTokens].
func (b *File) Invite(peer *Card, me Card, by task.IdentityKey, now time.Time, rand io.Reader) (string, error) {
	text, err := b.invite(peer, me, by, now, rand)
	if err != nil {
		return "", fmt.Errorf("inviting %s: %w", peer.Identity, err)
	}
	return text, nil
}

func (b *File) invite(peer *Card, me Card, by task.IdentityKey, now time.Time, rand io.Reader) (string, error) {
	if !me.Has(leaderRole) {
		return "", errors.New("only a leader invites: it makes the secrets; a helper and a collector accept")
	}
	if peer.Identity == me.Identity {
		return "", errors.New("the card is this organisation's own")
	}
	if !peer.Has(helperRole) && !peer.Has(collectorRole) {
		return "", errors.New("it is neither a helper nor a collector")
	}
	from, err := SignCard(me, by)
	if err != nil {
		return "", err
	}
	var made []Pairing
	var s secrets
	if peer.Has(helperRole) {
		p := Pairing{Peer: peer.Identity, Role: helperRole, Organisation: peer.Organisation, URL: peer.URL, Created: now.Unix()}
		if old, ok := b.find(peer.Identity, helperRole); ok {
			p.Seed = old.Seed
		} else {
			p.Seed = make([]byte, seedSize)
			if _, err := io.ReadFull(rand, p.Seed); err != nil {
				return "", err
			}
		}
		if p.Token, err = newToken(rand); err != nil {
			return "", err
		}
		s.Seed, s.HelperToken = p.Seed, p.Token.Reveal()
		made = append(made, p)
	}
	if peer.Has(collectorRole) {
		p, err := b.collector(peer, now)
		if err != nil {
			return "", err
		}
		if p.Token, err = newToken(rand); err != nil {
			return "", err
		}
		s.CollectorToken = p.Token.Reveal()
		made = append(made, p)
	}
	v := invitation{Version: invitationVersion, From: from, To: peer.Identity, Created: now.Unix()}
	if err := v.seal(&s, &me, peer); err != nil {
		return "", err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if err := b.put(made...); err != nil {
		return "", err
	}
	return line(invitePrefix, body, by.Sign(inviteDomain, body)), nil
}

func newToken(rand io.Reader) (auth.Token, error) { return auth.NewToken(rand) }

// suite is the algorithms that seal invitations, with X25519.
func suite() hpke.Suite { return hpke.Suite{KDF: hpke.HKDFSHA256, AEAD: hpke.AES256GCM} }

func (v *invitation) seal(s *secrets, from, to *Card) error {
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	defer clear(plain)
	public, err := hpke.NewPublicKey(hpke.X25519, to.Key)
	if err != nil {
		return err
	}
	v.Enc, v.Sealed, err = public.Seal(suite(), v.info(from), nil, plain)
	return err
}

// open checks an invitation for the organisation me and returns the leader's card
// and the secrets.
func open(text string, me *Card, key Key) (*invitation, *Card, *secrets, error) {
	body, signature, err := splitSigned(invitePrefix, text)
	if err != nil {
		return nil, nil, nil, err
	}
	var v invitation
	if err := json.Unmarshal(body, &v); err != nil || v.Version != invitationVersion {
		return nil, nil, nil, errors.New("the text is damaged, or of another version")
	}
	from, err := ParseCard(v.From)
	if err != nil {
		return nil, nil, nil, err
	}
	identity, err := task.ParsePublic(from.Identity)
	if err != nil {
		return nil, nil, nil, err
	}
	switch {
	case !task.Verify(identity, inviteDomain, body, signature):
		return nil, nil, nil, errors.New("the leader has not signed it: the text was changed on the way")
	case v.To != me.Identity:
		return nil, nil, nil, fmt.Errorf("it is for %s, this is %s", v.To, me.Identity)
	case !from.Has(leaderRole):
		return nil, nil, nil, errors.New("it comes from no leader")
	}
	private, err := key.private()
	if err != nil {
		return nil, nil, nil, err
	}
	plain, err := private.Open(suite(), v.Enc, v.info(from), nil, v.Sealed)
	if err != nil {
		return nil, nil, nil, errors.New("decryption failed: it was made for another card of this organisation: send the present one")
	}
	defer clear(plain)
	var s secrets
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, nil, nil, errors.New("what it seals is of another version")
	}
	return &v, from, &s, nil
}

// Accept takes an invitation, or the card of a collector, and returns what is new
// in the file: nothing if it was there already.
func (b *File) Accept(text string, me *Card, key Key, now time.Time) ([]Pairing, error) {
	made, err := b.accept(text, me, key, now)
	if err != nil {
		return nil, fmt.Errorf("accepting: %w", err)
	}
	return made, nil
}

func (b *File) accept(text string, me *Card, key Key, now time.Time) ([]Pairing, error) {
	if IsCard(text) {
		c, err := ParseCard(text)
		if err != nil {
			return nil, err
		}
		if !c.Has(collectorRole) {
			return nil, errors.New("the card of a collector can be accepted as it is; a leader must answer any other with an invitation")
		}
		p, err := b.collector(c, now)
		if err != nil {
			return nil, err
		}
		return []Pairing{p}, b.put(p)
	}
	v, from, s, err := open(text, me, key)
	if err != nil {
		return nil, err
	}
	made, err := v.pairings(from, s, me)
	if err != nil {
		return nil, err
	}
	for _, p := range made {
		old, ok := b.find(p.Peer, p.Role)
		if ok && old.Created > p.Created {
			return nil, errors.New("a newer invitation of this leader was accepted before")
		}
	}
	if from.Has(collectorRole) { // the leader's organisation collects, too
		p, err := b.collector(from, now)
		if err != nil {
			return nil, err
		}
		made = append(made, p)
	}
	return made, b.put(made...)
}

// pairings are what an invitation brings to the organisation me.
func (v *invitation) pairings(from *Card, s *secrets, me *Card) ([]Pairing, error) {
	var err error
	p := Pairing{Peer: from.Identity, Role: leaderRole, Organisation: from.Organisation, URL: from.URL, Created: v.Created}
	if me.Has(helperRole) && s.HelperToken != "" {
		if len(s.Seed) != seedSize {
			return nil, errors.New("it has no seed for the helper")
		}
		p.Seed = s.Seed
		if p.Token, err = parseToken(s.HelperToken); err != nil {
			return nil, err
		}
	}
	if me.Has(collectorRole) {
		if p.CollectorToken, err = parseToken(s.CollectorToken); err != nil {
			return nil, err
		}
	}
	if p.Token.IsZero() && p.CollectorToken.IsZero() {
		return nil, errors.New("it is for another role than this organisation plays")
	}
	return []Pairing{p}, nil
}

// collector makes the pairing with the collector of a card. A token that is there
// stays.
func (b *File) collector(c *Card, now time.Time) (Pairing, error) {
	if _, err := c.collectorKeys(now); err != nil {
		return Pairing{}, fmt.Errorf("the collector's keys: %w", err)
	}
	p := Pairing{
		Peer: c.Collector, Role: collectorRole, Organisation: c.Organisation, URL: c.URL, Keys: c.CollectorKeys, Created: c.Created,
	}
	if old, ok := b.find(c.Collector, collectorRole); ok {
		if old.Created > c.Created {
			return Pairing{}, errors.New("a newer card of this collector is known")
		}
		p.Token = old.Token
	}
	return p, nil
}
