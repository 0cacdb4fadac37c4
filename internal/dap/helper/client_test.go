package helper_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

// byVariant is an error that the variants name differently.
type byVariant struct{ dap18, dap19, janus dap.ReportError }

func all(e dap.ReportError) byVariant { return byVariant{e, e, e} }

func (b byVariant) of(v *dap.Variant) dap.ReportError {
	switch v.String() {
	case "dap-18":
		return b.dap18
	case "dap-19":
		return b.dap19
	}
	return b.janus
}

func extensions(t testing.TB, list ...dap.Extension) dap.Extensions {
	t.Helper()
	x, err := dap.NewExtensions(list...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// badClients are reports that only a broken or hostile client makes.
func badClients(t testing.TB) []struct {
	name  string
	spoil func(w *world, d *draft)
	after func(r *dap.Report)
	want  byVariant
} {
	unknown := byVariant{dap.InvalidMessage, dap.UnsupportedExtension, dap.InvalidMessage}
	return []struct {
		name  string
		spoil func(w *world, d *draft)
		after func(r *dap.Report)
		want  byVariant
	}{
		{name: "another task's configuration", spoil: func(w *world, d *draft) {
			c := *w.task.Config()
			c.MinBatchSize++
			other, err := dap.NewTask(w.task.Variant(), w.task.ID(), w.encode(&c))
			w.must(err)
			d.task = other
		}, want: all(dap.DecryptError)},
		{name: "a key that is not the helper's", spoil: func(_ *world, d *draft) { d.helperKey.ID += 9 }, want: byVariant{dap.DecryptError, dap.UnknownConfig, dap.UnknownConfig}},
		{name: "a ciphertext with a bit flipped", after: func(r *dap.Report) { r.HelperShare.Payload[3] ^= 4 }, want: all(dap.DecryptError)},
		{name: "an encapsulated key with a bit flipped", after: func(r *dap.Report) { r.HelperShare.Enc[3] ^= 4 }, want: all(dap.DecryptError)},
		{name: "an encapsulated key of small order", after: func(r *dap.Report) { clear(r.HelperShare.Enc) }, want: all(dap.DecryptError)},
		{name: "no encapsulated key", after: func(r *dap.Report) { r.HelperShare.Enc = []byte{1} }, want: all(dap.DecryptError)},
		{name: "the future", spoil: func(_ *world, d *draft) { d.md.Time = unit + 1 }, want: all(dap.ReportTooEarly)},
		{name: "before the task", spoil: func(_ *world, d *draft) { d.md.Time = 479_999 }, want: byVariant{dap.TaskNotStarted, dap.ReportDropped, dap.TaskNotStarted}},
		{name: "an extension that is not known", spoil: func(_ *world, d *draft) { d.md.PublicExtensions = extensions(t, dap.Extension{Type: 99}) }, want: unknown},
		{name: "a private extension that is not known", spoil: func(_ *world, d *draft) { d.helper.PrivateExtensions = extensions(t, dap.Extension{Type: 99}) }, want: unknown},
		{name: "an extension twice", spoil: func(_ *world, d *draft) {
			d.md.PublicExtensions = extensions(t, dap.Extension{Type: 99})
			d.helper.PrivateExtensions = d.md.PublicExtensions
		}, want: all(dap.InvalidMessage)},
		{name: "extensions out of order", spoil: func(_ *world, d *draft) {
			d.helper.PrivateExtensions = slices.Concat(extensions(t, dap.Extension{Type: 99}), extensions(t, dap.Extension{Type: 98}))
		}, want: all(dap.InvalidMessage)},
		{name: "extensions that are none", spoil: func(_ *world, d *draft) { d.helper.PrivateExtensions = []byte{1} }, want: all(dap.InvalidMessage)},
		{name: "a share that is too short", spoil: func(_ *world, d *draft) { d.helper.Payload = d.helper.Payload[1:] }, want: all(dap.InvalidMessage)},
		{name: "a share that is too long", spoil: func(_ *world, d *draft) { d.helper.Payload = append(d.helper.Payload, 0) }, want: all(dap.InvalidMessage)},
		{name: "a share of another report", spoil: func(_ *world, d *draft) { d.helper.Payload[0] ^= 1 }, want: all(dap.VerifyError)},
	}
}

// Threat: a client that sends what it should not. Only its own report is refused,
// with the error that the draft names, and the good ones beside it count.
func TestBadClients(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		var results []*dap.LeaderResult
		for i, tt := range badClients(t) {
			d := w.draft(1)
			if tt.spoil != nil {
				tt.spoil(w, &d)
			}
			good, instead, better, bad := w.report(2), w.report(4), w.report(3), w.seal(d)
			if tt.after != nil {
				tt.after(&bad)
			}
			job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{good, bad, better}, w.clock.Now(), w.leaderRing)
			w.must(err)
			if len(req.VerifyInits) < 3 {
				// An honest leader refuses it. One that does not has to send something.
				job, req, err = w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{good, instead, better}, w.clock.Now(), w.leaderRing)
				w.must(err)
				req.VerifyInits[1].Share = dap.ReportShare{Metadata: bad.Metadata, PublicShare: bad.PublicShare, InputShare: bad.HelperShare}
				bad = instead
			}
			body := w.encode(req)
			a := w.createJob(byte(i), body)
			if got := w.fates(a); !slices.Equal(got, []dap.ReportError{0, tt.want.of(v), 0}) {
				t.Errorf("%v: %s: %v, want %v for the second", v, tt.name, got, tt.want.of(v))
				continue
			}
			if again := w.createJob(byte(i), body); !bytes.Equal(again.Body.Bytes(), a.Body.Bytes()) {
				t.Errorf("%v: %s: another answer to the same request", v, tt.name)
			}
			resp := w.response(a)
			resp.VerifyResps[1].ID = bad.Metadata.ID
			result, err := w.leader.LeaderFinish(job, resp)
			w.must(err)
			results = append(results, result)
		}
		query, selector := hour(unit)
		req, mine := w.shareReq(query, selector, results...)
		n := uint64(len(badClients(t)))
		if got := w.unshard(w.createShare(1, w.encode(req)), req, mine); got[2] != n || got[3] != n || got[1] != 0 || got[4] != 0 {
			t.Errorf("%v: result %v, want %d in 2 and in 3", v, got, n)
		}
	}
}

// A report counts once: within a job, in a later one, and after its batch was
// collected.
func TestReplays(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		r, other, late := w.report(1), w.report(1), w.report(1)
		_, body := w.init(dap.BatchID{}, r, other)
		wantFates(t, w.fates(w.createJob(1, body)), 0, 0)
		_, body = w.init(dap.BatchID{}, w.report(2), r)
		wantFates(t, w.fates(w.createJob(2, body)), 0, dap.ReportReplayed)

		_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(3)}, w.clock.Now(), w.leaderRing)
		w.must(err)
		req.VerifyInits = append(req.VerifyInits, req.VerifyInits[0])
		wantProblem(t, "a report twice in a job", w.createJob(3, w.encode(req)), 400, "invalidMessage")

		w.collectAll(2 + 1)
		_, body = w.init(dap.BatchID{}, late)
		wantFates(t, w.fates(w.createJob(4, body)), dap.BatchCollected)
	}
}

// collectAll collects the batch of this unit, in which the helper has n reports.
func (w *world) collectAll(n int) {
	w.t.Helper()
	if a := w.createShare(9, w.shareBody(n)); a.Code != 201 {
		w.t.Fatalf("collecting: %d %s", a.Code, a.Body)
	}
}

// A report beyond the expiry of its task is dropped: its ID may be forgotten.
func TestExpiry(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	w.update(func(e *entry) { e.Expiry = 3 * time.Hour })
	d := w.draft(1)
	d.md.Time = unit - 4
	old := w.seal(d)
	r := w.report(1)
	_, body := w.init(dap.BatchID{}, old, r)
	wantFates(t, w.fates(w.createJob(1, body)), dap.ReportDropped, 0)
	w.clock.Advance(5 * time.Hour)
	w.must(w.helper.Tick(t.Context()))
	_, body = w.init(dap.BatchID{}, r)
	wantFates(t, w.fates(w.createJob(2, body)), dap.ReportDropped)
	if s := w.helper.Status(); s.Err != nil || !s.Swept.Equal(w.clock.Now()) {
		t.Errorf("status %+v", s)
	}
}

// While the clock has jumped forward nothing is forgotten.
func TestClockJumps(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	w.update(func(e *entry) { e.Expiry = 3 * time.Hour })
	running := time.Duration(0)
	w.helper.SetGuard(clock.GuardOf(func() (time.Time, time.Duration) { return w.clock.Now(), running }, 10*time.Minute))
	began := w.clock.Now()
	_, body := w.init(dap.BatchID{}, w.report(1))
	wantFates(t, w.fates(w.createJob(1, body)), 0)
	w.clock.Advance(40 * 24 * time.Hour)
	w.must(w.helper.Tick(t.Context()))
	if s := w.helper.Status(); s.Err != nil || !s.Swept.IsZero() {
		t.Errorf("status %+v", s)
	}
	w.clock.Advance(began.Sub(w.clock.Now())) // it is put right
	w.must(w.helper.Tick(t.Context()))
	_, again := w.init(dap.BatchID{}, w.report(2))
	wantFates(t, w.fates(w.createJob(2, again)), 0)
	if s := w.helper.Status(); !s.Swept.Equal(began) {
		t.Errorf("status %+v", s)
	}
}

// Keys that are replaced open reports until they are gone; then the report is
// refused, and only it.
func TestKeyRotation(t *testing.T) {
	w := newWorld(t, dap.DAP19(), dap.TimeIntervalMode, func(_ *world, c *dap.TaskConfiguration, _ *helperConfig) {
		c.Extensions = nil
	})
	day := 24 * time.Hour
	r := w.report(1)
	w.clock.Advance(7*day + 2*time.Hour) // it is expired: opens, and is not offered
	w.must(w.registry.Rotate(t.Context()))
	young := w.report(2)
	if young.HelperShare.ConfigID == r.HelperShare.ConfigID {
		t.Fatal("the key was not replaced")
	}
	_, body := w.initAt(start(), r, w.report(3))
	wantFates(t, w.fates(w.createJob(1, body)), 0, 0)
	w.clock.Advance(9 * day) // a day in caches, and a week of grace
	w.must(w.registry.Rotate(t.Context()))
	_, body = w.initAt(start(), w.sealedTo(r.HelperShare.ConfigID), young)
	wantFates(t, w.fates(w.createJob(2, body)), dap.UnknownConfig, 0)
}

// sealedTo is a report that names a helper's key.
func (w *world) sealedTo(id dap.HpkeConfigID) dap.Report {
	d := w.draft(1)
	d.helperKey.ID = id
	return w.seal(d)
}

// A job whose verification key is not known fails in draft 18, and has its
// reports refused in draft 19.
func TestUnknownVerificationKey(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		r := w.report(1)
		_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{r, w.report(2)}, w.clock.Now(), w.leaderRing)
		w.must(err)
		req.VerificationKey = 7
		a := w.createJob(1, w.encode(req))
		if v.UnknownKeyRejectsReports() {
			wantFates(t, w.fates(a), dap.UnknownVerificationKey, dap.UnknownVerificationKey)
		} else {
			wantProblem(t, fmt.Sprint(v), a, 400, "invalidMessage")
		}
		_, body := w.init(dap.BatchID{}, r)
		wantFates(t, w.fates(w.createJob(2, body)), 0)
	}
}
