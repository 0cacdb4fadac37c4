package dap

import (
	"encoding/binary"
	"time"

	"github.com/shoal-project/shoal/vdaf"
)

// A sealedShare is what an aggregator opens of a report.
type sealedShare struct {
	metadata *ReportMetadata
	public   []byte
	sealed   *HpkeCiphertext
}

// openMany opens and validates the shares of several reports (sections "Input
// Share Decryption" and "Input Share Validation"). errs[i] is 0 if reports[i] can
// be verified. What is wrong with one share harms no other. The reports do not
// alias the ciphertexts, except for their public shares. It fails, with all else as
// it is then, if the [Admission] cannot decide now.
func (a *Aggregator) openMany(shares []sealedShare, now time.Time, keys Keys) (reports []vdaf.Report, tags []Tag, errs []ReportError, failed error) {
	reports, errs = make([]vdaf.Report, len(shares)), make([]ReportError, len(shares))
	latest, err := a.task.config.TimePrecision.Time(now.Add(a.leeway))
	for i := range shares {
		errs[i] = ReportTooEarly
		if err == nil {
			errs[i] = a.checkTime(shares[i].metadata.Time, latest)
		}
	}
	plaintexts := a.task.openShares(shares, errs, a.role, func(id HpkeConfigID) Opener { return keys.Find(id, now) })
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
	tags, failed = a.admit(shares, plaintexts, errs)
	return reports, tags, errs, failed
}

// openShares is [Task.OpenInputShare] for those shares whose error is 0 so far;
// it sets the errors of those that do not open. find returns the key of a
// configuration, nil for an unknown one.
func (t *Task) openShares(shares []sealedShare, errs []ReportError, role Role, find func(HpkeConfigID) Opener) []PlaintextInputShare {
	o := opening{task: t, role: role, shares: shares, errs: errs, plaintexts: make([]PlaintextInputShare, len(shares))}
	var keys [256]Opener
	var asked [256]bool
	groups := make(map[HpkeConfigID][]int)
	for i := range shares {
		if errs[i] != 0 {
			continue
		}
		id := shares[i].sealed.ConfigID
		if !asked[id] {
			asked[id], keys[id] = true, find(id)
		}
		if errs[i] = t.checkOpen(keys[id] != nil, role, &shares[i]); errs[i] == 0 {
			groups[id] = append(groups[id], i)
		}
	}
	for id, at := range groups {
		o.open(keys[id], at)
	}
	return o.plaintexts
}

// An opening opens the shares of one call.
type opening struct {
	task       *Task
	role       Role
	shares     []sealedShare
	errs       []ReportError
	plaintexts []PlaintextInputShare
}

// open opens the shares at these places, which are sealed to the key.
func (o *opening) open(key Opener, at []int) {
	messages, size := make([]*HpkeCiphertext, len(at)), 0
	for j, i := range at {
		messages[j] = o.shares[i].sealed
		size += len(messages[j].Payload)
	}
	aad := func(b []byte, j int) []byte {
		s := &o.shares[at[j]]
		return o.task.appendInputShareAAD(b, s.metadata, s.public)
	}
	opened := key.OpenMany(o.task.inputInfo(o.role), messages, aad, make([]byte, 0, size))
	for j, i := range at {
		if opened[j] == nil {
			o.errs[i] = DecryptError
			continue
		}
		o.errs[i] = o.task.readPlaintext(&o.plaintexts[i], opened[j])
	}
}

// checkOpen returns the error of a share that cannot be opened, 0 if the key that it
// names, if there is one, may open it.
func (t *Task) checkOpen(key bool, role Role, s *sealedShare) ReportError {
	switch {
	case !key:
		return t.codec.variant.openConfig
	case aggregator(role) != nil:
		return DecryptError
	case len(s.metadata.PublicExtensions) > 1<<16-1 || uint64(len(s.public)) > 1<<32-1: // without an encoding
		return InvalidMessage
	}
	return 0
}

// openInputShare is [Task.OpenInputShare].
func (t *Task) openInputShare(key Opener, role Role, s *sealedShare) (*PlaintextInputShare, ReportError) {
	if e := t.checkOpen(key != nil && key.Config().ID == s.sealed.ConfigID, role, s); e != 0 {
		return nil, e
	}
	plaintext, err := key.Open(t.inputInfo(role), t.appendInputShareAAD(nil, s.metadata, s.public), s.sealed)
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

// appendInputShareAAD appends the encoded InputShareAad of a report whose parts are
// not too long for it.
func (t *Task) appendInputShareAAD(b []byte, m *ReportMetadata, public []byte) []byte {
	b = append(b, t.bound...)
	b = append(b, m.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.PublicExtensions)))
	b = append(b, m.PublicExtensions...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(public)))
	return append(b, public...)
}
