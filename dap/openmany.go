package dap

import (
	"encoding/binary"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// A sealedShare is what an aggregator opens of a report.
type sealedShare struct {
	metadata *ReportMetadata
	public   []byte
	sealed   *HpkeCiphertext
}

// together is how many shares one call of crypto/hpke opens: as many as share
// one inversion.
const together = 64

// openMany opens and validates the shares of several reports (sections "Input
// Share Decryption" and "Input Share Validation"). errs[i] is 0 if reports[i] can
// be verified. What is wrong with one share harms no other. The reports do not
// alias the ciphertexts, except for their public shares.
func (a *Aggregator) openMany(shares []sealedShare, now time.Time, keys *Keyring) (reports []vdaf.Report, errs []ReportError) {
	reports, errs = make([]vdaf.Report, len(shares)), make([]ReportError, len(shares))
	latest, err := a.task.config.TimePrecision.Time(now.Add(a.leeway))
	for i := range shares {
		errs[i] = ReportTooEarly
		if err == nil {
			errs[i] = a.checkTime(shares[i].metadata.Time, latest)
		}
	}
	plaintexts := a.task.openShares(shares, errs, a.role, func(id HpkeConfigID) *PrivateKey { return keys.Find(id, now) })
	sizes := a.task.instance.Sizes()
	want := sizes.LeaderShare
	if a.role == Helper {
		want = sizes.HelperShare
	}
	for i := range shares {
		if errs[i] != 0 {
			continue
		}
		s, share := &shares[i], &plaintexts[i]
		if errs[i] = a.task.Variant().CheckReportExtensions(s.metadata.PublicExtensions, share.PrivateExtensions, a.known...); errs[i] != 0 {
			continue
		}
		if len(share.Payload) != want || len(s.public) != sizes.PublicShare {
			errs[i] = InvalidMessage
			continue
		}
		reports[i] = vdaf.Report{Nonce: vdaf.Nonce(s.metadata.ID), PublicShare: s.public, InputShare: share.Payload}
	}
	return reports, errs
}

// openShares is [Task.OpenInputShare] for those shares whose error is 0 so far;
// it sets the errors of those that do not open. find returns the key of a
// configuration, nil for an unknown one.
func (t *Task) openShares(shares []sealedShare, errs []ReportError, role Role, find func(HpkeConfigID) *PrivateKey) []PlaintextInputShare {
	plaintexts := make([]PlaintextInputShare, len(shares))
	var known [256]*PrivateKey
	var asked [256]bool
	groups := make(map[*PrivateKey][]int)
	size := 0
	for i := range shares {
		if errs[i] != 0 {
			continue
		}
		s := shares[i].sealed
		if !asked[s.ConfigID] {
			asked[s.ConfigID], known[s.ConfigID] = true, find(s.ConfigID)
		}
		key := known[s.ConfigID]
		if key != nil && key.many != nil && len(s.Enc) == hpke.Size {
			groups[key] = append(groups[key], i)
			size += len(s.Payload)
			continue
		}
		// Another suite, no key, or no point of the curve: one by one.
		opened, err := t.openInputShare(key, role, &shares[i])
		if err != 0 {
			errs[i] = err
			continue
		}
		plaintexts[i] = *opened
	}
	if len(groups) == 0 {
		return plaintexts
	}
	o := opening{task: t, role: role, shares: shares, errs: errs, plaintexts: plaintexts, arena: make([]byte, 0, size)}
	for key, at := range groups {
		o.open(key, at)
	}
	return plaintexts
}

// An opening opens the shares of one call that are sealed to keys of X25519.
type opening struct {
	task       *Task
	role       Role
	shares     []sealedShare
	errs       []ReportError
	plaintexts []PlaintextInputShare
	arena      []byte // room for all plaintexts
	aad        []byte
}

// open opens the shares at these places, which are sealed to the key.
func (o *opening) open(key *PrivateKey, at []int) {
	receiver := key.many.Receiver(o.task.inputInfo(o.role))
	points := make([][hpke.Size]byte, 0, together)
	for ; len(at) > 0; at = at[min(together, len(at)):] {
		some := at[:min(together, len(at))]
		points = points[:0]
		for _, i := range some {
			points = append(points, [hpke.Size]byte(o.shares[i].sealed.Enc))
		}
		keys := receiver.Derive(key.many.Agree(points), points)
		for j, i := range some {
			s := &o.shares[i]
			aad, err := o.task.appendInputShareAAD(o.aad[:0], s.metadata, s.public)
			if err != 0 {
				o.errs[i] = err
				continue
			}
			o.aad = aad
			room := len(o.arena)
			plaintext, openErr := keys[j].Open(o.arena[room:], aad, s.sealed.Payload)
			if openErr != nil {
				o.errs[i] = DecryptError
				continue
			}
			o.arena = o.arena[:room+len(plaintext)]
			o.errs[i] = o.task.readPlaintext(&o.plaintexts[i], plaintext[:len(plaintext):len(plaintext)])
		}
	}
}

// openInputShare is [Task.OpenInputShare].
func (t *Task) openInputShare(key *PrivateKey, role Role, s *sealedShare) (*PlaintextInputShare, ReportError) {
	if key == nil || key.config.ID != s.sealed.ConfigID {
		return nil, t.codec.variant.openConfig
	}
	if aggregator(role) != nil {
		return nil, DecryptError
	}
	aad, e := t.appendInputShareAAD(nil, s.metadata, s.public)
	if e != 0 {
		return nil, e
	}
	plaintext, err := key.open(t.inputInfo(role), aad, s.sealed)
	if err != nil {
		return nil, DecryptError
	}
	share := new(PlaintextInputShare)
	return share, t.readPlaintext(share, plaintext)
}

// readPlaintext decodes an opened share, which refers to b.
func (t *Task) readPlaintext(share *PlaintextInputShare, b []byte) ReportError {
	r := reader{s: b, codec: t.codec, size: len(b)}
	share.unmarshal(&r)
	r.end()
	if r.err != nil {
		return InvalidMessage
	}
	return 0
}

// appendInputShareAAD appends the encoded InputShareAad of a report. It fails
// with [InvalidMessage] if a part is too long to have an encoding.
func (t *Task) appendInputShareAAD(b []byte, m *ReportMetadata, public []byte) ([]byte, ReportError) {
	if len(m.PublicExtensions) > 1<<16-1 || uint64(len(public)) > 1<<32-1 {
		return nil, InvalidMessage
	}
	b = append(b, t.bound...)
	b = append(b, m.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.PublicExtensions)))
	b = append(b, m.PublicExtensions...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(public)))
	return append(b, public...), 0
}

// newMany returns what opens many messages of a key at once, nil if its suite is
// not the one of crypto/hpke.
func newMany(c *HpkeConfig, secret func() ([]byte, error)) (*hpke.Key, error) {
	if c.KEM != task.KEMX25519 || c.KDF != KDFHKDFSHA256 || c.AEAD != AEADAES128GCM {
		return nil, nil
	}
	b, err := secret()
	if err != nil {
		return nil, err
	}
	return hpke.NewKey(b, c.PublicKey)
}
