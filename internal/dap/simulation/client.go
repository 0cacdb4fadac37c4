package simulation

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// A report is what became of one measurement, which has its bucket alone.
type report struct {
	bucket  int
	id      dap.ReportID
	time    dap.Time
	flaw    string // what is wrong with it; "" for an honest report
	body    []byte // as it was uploaded
	acked   bool
	ackedAt int             // step
	holders map[string]bool // nodes that have acknowledged it
	gone    bool            // all of them have lost their disks
	counted int             // results that hold it
}

// tooEarly is the flaw that time heals: a report that was refused for it may be
// uploaded again.
const tooEarly = "a time in the future"

// flaws are what hostile and broken clients do. A report with a flaw may be
// refused at any point, and must never be counted.
var flaws = []string{
	"another task's configuration", "a key that never was", tooEarly, "before the task", "unsorted extensions",
	"an unknown extension", "an extension twice", "two buckets", "a long public share", "a proof for another nonce",
	"no share", "a flipped bit for the leader", "a flipped bit for the helper", "shares swapped",
}

// makeReport makes a report for the next bucket, or none if an aggregator offers
// no key: its keys turn only while it works.
func (w *world) makeReport(flaw string) (*report, error) {
	now := w.clock.Now()
	l, h := w.leaders[w.random.IntN(len(w.leaders))], w.helpers[w.random.IntN(len(w.helpers))]
	if l.down() || h.down() {
		return nil, nil
	}
	leaderKeys, helperKeys := l.registry.Keyring().Configs(now), h.registry.Keyring().Configs(now)
	if len(w.reports) == buckets || len(leaderKeys) == 0 || len(helperKeys) == 0 {
		return nil, nil
	}
	r := &report{bucket: len(w.reports), flaw: flaw, time: w.now()}
	if back := dap.Time(w.random.IntN(4)); r.time-back >= w.firstUnit() {
		r.time -= back
	}
	switch flaw {
	case tooEarly:
		r.time = w.now() + 3
	case "before the task":
		if !w.setting.Interval {
			r.flaw, flaw = "", ""
			break
		}
		r.time = w.firstUnit() - 1
	}
	w.rand.Read(r.id[:])
	shares, err := w.shard(vdaf.Nonce(r.id), r.bucket)
	if err != nil {
		return nil, err
	}
	md := dap.ReportMetadata{ID: r.id, Time: r.time}
	public := shares.PublicShare
	leader, helper := dap.PlaintextInputShare{Payload: shares.InputShares[0]}, dap.PlaintextInputShare{Payload: shares.InputShares[1]}
	leaderKey, helperKey := leaderKeys[0], helperKeys[0]
	sealFor := w.task
	switch flaw {
	case "another task's configuration":
		if sealFor, err = w.otherTask(); err != nil {
			return nil, err
		}
	case "a key that never was":
		k, err := dapkey.Generate(helperKey.ID+100, hpke.X25519, w.rand)
		if err != nil {
			return nil, err
		}
		helperKey = k.Config()
	case "unsorted extensions":
		md.PublicExtensions = extensions(5, 4)
	case "an unknown extension":
		helper.PrivateExtensions = extensions(0x7777)
	case "an extension twice":
		md.PublicExtensions, leader.PrivateExtensions, helper.PrivateExtensions = extensions(6), extensions(6), extensions(6)
	case "two buckets":
		leader.Payload = bytes.Clone(leader.Payload)
		leader.Payload[0] ^= 1
	case "a long public share":
		public = append(bytes.Clone(public), 0)
	case "a proof for another nonce":
		other, err := w.shard(vdaf.Nonce{1}, r.bucket)
		if err != nil {
			return nil, err
		}
		public, leader.Payload, helper.Payload = other.PublicShare, other.InputShares[0], other.InputShares[1]
	case "no share":
		leader.Payload = leader.Payload[:1]
	case "shares swapped":
		leader.Payload, helper.Payload = helper.Payload, leader.Payload
	}
	up := dap.Report{Metadata: md, PublicShare: public}
	if up.LeaderShare, err = sealFor.SealInputShare(leaderKey, dap.Leader, &md, public, &leader); err != nil {
		return nil, err
	}
	if up.HelperShare, err = sealFor.SealInputShare(helperKey, dap.Helper, &md, public, &helper); err != nil {
		return nil, err
	}
	switch flaw {
	case "a flipped bit for the leader":
		up.LeaderShare.Payload[w.random.IntN(len(up.LeaderShare.Payload))] ^= 4
	case "a flipped bit for the helper":
		up.HelperShare.Payload[w.random.IntN(len(up.HelperShare.Payload))] ^= 4
	}
	if r.body, err = w.task.Codec().Encode(&dap.UploadRequest{Reports: []dap.Report{up}}); err != nil {
		return nil, err
	}
	w.reports = append(w.reports, r)
	return r, nil
}

// firstUnit is the first unit of time in which honest clients report.
func (w *world) firstUnit() dap.Time {
	if i, ok := w.task.Interval(); ok {
		return i.Start
	}
	return w.now() - 4
}

// extensions encodes empty report extensions of these types.
func extensions(types ...uint16) dap.Extensions {
	var b dap.Extensions
	for _, t := range types {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, t), 0)
	}
	return b
}

// otherTask is the task with another minimum batch size.
func (w *world) otherTask() (*dap.Task, error) {
	c := *w.task.Config()
	c.MinBatchSize++
	b, err := w.task.Codec().Encode(&c)
	if err != nil {
		return nil, err
	}
	return dap.NewTask(w.setting.Variant, w.task.ID(), b)
}

// upload sends reports in one request, and sees which the leader acknowledges.
func (w *world) upload(reports ...*report) error {
	var body []byte
	for _, r := range reports {
		body = append(body, r.body...)
	}
	w.stats.Uploaded += len(reports)
	p := &packet{method: http.MethodPost, url: dap.Resolve(leaderURL, dap.ReportsPath(w.task.ID())), body: body, header: http.Header{"Content-Type": {dap.TypeUploadRequest.MediaType()}}}
	before := w.disturbed
	a, err := w.net.send(p)
	if err != nil {
		return nil // nothing is known
	}
	if a.status/100 != 2 {
		if a.status/100 == 5 && w.disturbed == before && !w.mayBeUnavailable(a.status) {
			w.breaks("an upload was answered with %d: %s", a.status, a.body)
		}
		w.note("  upload refused with %d", a.status)
		return nil
	}
	refused := make(map[dap.ReportID]dap.ReportError)
	if len(a.body) > 0 {
		var list dap.UploadErrors
		if err := w.task.Codec().Decode(&list, a.body); err != nil {
			return fmt.Errorf("upload errors: %w", err)
		}
		for _, s := range list.Status {
			refused[s.ID] = s.Error
		}
	}
	for _, r := range reports {
		if e, ok := refused[r.id]; ok {
			w.note("  report %d refused: %v", r.bucket, e)
			if r.flaw == "" && e != dap.BatchCollected && e != dap.ReportReplayed && e != dap.ReportDropped {
				w.breaks("honest report %d was refused: %v", r.bucket, e)
			}
			continue
		}
		if !r.acked {
			r.acked, r.ackedAt = true, w.step
		}
		if r.holders == nil {
			r.holders = make(map[string]bool)
		}
		r.holders[a.from], r.gone = true, false
	}
	return nil
}

// mayBeUnavailable reports whether a status is that of a node which has not heard
// from its store for a while, as far as it knows.
func (w *world) mayBeUnavailable(status int) bool {
	return status == http.StatusServiceUnavailable && (w.setting.StoreError > 0 || w.setting.Claims)
}
