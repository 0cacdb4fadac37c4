package admission_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/admission"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// TestHostileSDK covers a client with one credential of each aggregator that ignores every
// cap: it makes many reports of an epoch, in two signed versions of the metric, sends them to
// all servers of the leader at once, while answers of the helper get lost and all servers
// start again. It counts once, and once again in the next epoch.
func TestHostileSDK(t *testing.T) {
	w := newWorld(t, func(tk *task.Task) { tk.Consent = "In other words." })
	hostile := w.person(first)
	var honest [2][]person
	for i := range honest {
		for range minBatch {
			honest[i] = append(honest[i], w.person(first))
		}
	}
	n := 0
	w.lose = func() bool { n++; return n%3 == 1 }
	for round := range 3 {
		for i, v := range w.versions {
			for node := range w.leaders {
				w.upload(v, node, w.report(v, first, w.shows(v, first, hostile)))
				w.upload(v, node, w.report(v, first, w.shows(v, first, hostile)))
			}
			w.upload(v, round%2, w.report(v, first, w.shows(v, first, honest[i][round])))
		}
		if round == 1 {
			w.restart()
		}
		w.pass(6 * time.Hour)
	}
	v := w.versions[0]
	w.clock.Forward(time.Unix((first+1)*epochSeconds, 0).Add(time.Hour))
	for range 2 {
		w.upload(v, 0, w.report(v, first+1, w.shows(v, first+1, hostile)))
	}
	for _, p := range honest[0] {
		w.upload(v, 1, w.report(v, first+1, w.shows(v, first+1, p)))
	}
	w.restart()
	if got := w.collect(w.versions[0], first) + w.collect(w.versions[1], first); got != 2*minBatch+1 {
		t.Errorf("an epoch has %d reports of two versions, want those of %d people and one of the hostile client", got, 2*minBatch)
	}
	if got := w.collect(v, first+1); got != minBatch+1 {
		t.Errorf("the next epoch has %d reports, want %d", got, minBatch+1)
	}
}

// TestMixedCredentials covers two people that combine their credentials, each of the leader
// with each of the helper, to make the two aggregators count different reports, so that the
// batch is lost. They count twice at most, and the batch is collected.
func TestMixedCredentials(t *testing.T) {
	w := newWorld(t)
	v := w.versions[0]
	a, b := w.person(first), w.person(first)
	for round, mixed := range []person{
		{task.Leader: a[task.Leader], task.Helper: b[task.Helper]},
		a,
		{task.Leader: b[task.Leader], task.Helper: a[task.Helper]},
		b,
	} {
		for node := range w.leaders {
			w.upload(v, node, w.report(v, first, w.shows(v, first, mixed)))
		}
		if round%2 == 1 {
			w.pass(time.Hour)
		}
	}
	for range minBatch {
		w.upload(v, 0, w.report(v, first, w.shows(v, first, w.person(first))))
	}
	w.clock.Forward(time.Unix((first+1)*epochSeconds, 0))
	if got := w.collect(v, first); got < minBatch || got > minBatch+2 {
		t.Errorf("%d reports, want those of %d people and of the two at most", got, minBatch)
	}
}

// TestLeaderCountsOnce covers a client with one credential of the leader and several of the
// helper, whose gate is wider: the leader counts it once, before the helper sees the others,
// so that the two agree.
func TestLeaderCountsOnce(t *testing.T) {
	w := newWorld(t)
	v := w.versions[0]
	one := w.person(first)
	for node := range w.leaders {
		for range 2 {
			w.upload(v, node, w.report(v, first, w.shows(v, first, person{task.Leader: one[task.Leader], task.Helper: w.person(first)[task.Helper]})))
		}
	}
	for range minBatch {
		w.upload(v, 0, w.report(v, first, w.shows(v, first, w.person(first))))
	}
	w.clock.Forward(time.Unix((first+1)*epochSeconds, 0))
	if got := w.collect(v, first); got != minBatch+1 {
		t.Errorf("%d reports, want those of %d people and one", got, minBatch)
	}
}

// TestSameReportAgain covers a client whose upload is retried, with equal bytes, at another
// server of the leader, and a leader whose requests are answered while the answers get lost:
// the report is a repetition of itself, and counts.
func TestSameReportAgain(t *testing.T) {
	w := newWorld(t)
	v := w.versions[0]
	n := 0
	w.lose = func() bool { n++; return n < 6 }
	for range minBatch {
		r := w.report(v, first, w.shows(v, first, w.person(first)))
		for node := range w.leaders {
			w.upload(v, node, r)
		}
	}
	w.pass(time.Hour)
	w.restart()
	w.clock.Forward(time.Unix((first+1)*epochSeconds, 0))
	if got := w.collect(v, first); got != minBatch {
		t.Errorf("%d reports, want %d", got, minBatch)
	}
}

// verdict returns what leader and helper make of one report: of the first that refuses it.
func (w *world) verdict(v *version, r *dap.Report) (leader, helper dap.ReportError) {
	w.t.Helper()
	at := func(role task.Role) *dap.Aggregator {
		s, err := w.registries[role].Lookup(w.t.Context(), v.dap.ID())
		must(w.t, err)
		return s.Aggregator
	}
	job, req, err := at(task.Leader).LeaderInit(0, dap.BatchID{}, []dap.Report{*r}, w.clock.Now(), w.registries[task.Leader].Keyring())
	must(w.t, err)
	if rejected := job.Rejected(); len(rejected) > 0 {
		// The helper must not rely on the leader's judgement. The message to it is that
		// of another report, which it finds once it has admitted this one.
		leader = rejected[0].Error
		other := w.report(v, dapEpoch(r), w.shows(v, dapEpoch(r), w.person(first)))
		_, req, err = at(task.Leader).LeaderInit(0, dap.BatchID{}, []dap.Report{*other}, w.clock.Now(), w.registries[task.Leader].Keyring())
		must(w.t, err)
		req.VerifyInits[0].Share = dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: r.HelperShare}
	}
	done, err := at(task.Helper).HelperInit(req, w.clock.Now(), w.registries[task.Helper].Keyring())
	must(w.t, err)
	resp, err := done.Response(make([]dap.ReportError, len(done.Candidates())))
	must(w.t, err)
	return leader, resp.VerifyResps[0].Error
}

func dapEpoch(r *dap.Report) task.Epoch { return task.Epoch(r.Metadata.Time) }

// TestInvalidPresentations covers reports without a presentation, with one of another
// report, epoch, role or metric, and with one that is malformed: each aggregator refuses them
// by itself, as invalid messages.
func TestInvalidPresentations(t *testing.T) {
	w := newWorld(t)
	v := w.versions[0]
	one, other := w.person(first), w.person(first)
	real := w.shows(v, first, one)
	// change changes what is shown to one role.
	change := func(role dap.Role, f func(share *dap.Opened) (dap.Extensions, error)) client.Show {
		return func(to dap.Role, share *dap.Opened) (dap.Extensions, error) {
			if to == role {
				return f(share)
			}
			return real(to, share)
		}
	}
	stranger := *v
	strange := *v.task
	strange.Metric = "another"
	stranger.task = &strange
	for name, f := range map[string]func(role task.Role, share *dap.Opened) (dap.Extensions, error){
		"nothing": func(task.Role, *dap.Opened) (dap.Extensions, error) { return nil, nil },
		"of another report": func(role task.Role, share *dap.Opened) (dap.Extensions, error) {
			m := *share.Metadata
			m.ID[0] ^= 1
			return w.present(v, first, role, one[role], &dap.Opened{Metadata: &m, PublicShare: share.PublicShare, Payload: share.Payload})
		},
		"of another share": func(role task.Role, share *dap.Opened) (dap.Extensions, error) {
			payload := bytes.Clone(share.Payload)
			payload[0] ^= 1
			return w.present(v, first, role, one[role], &dap.Opened{Metadata: share.Metadata, PublicShare: share.PublicShare, Payload: payload})
		},
		"of another epoch": func(role task.Role, share *dap.Opened) (dap.Extensions, error) {
			return w.present(v, first+1, role, one[role], share)
		},
		"of another metric": func(role task.Role, share *dap.Opened) (dap.Extensions, error) {
			return w.present(&stranger, first, role, one[role], share)
		},
		"of the other role's credential": func(role task.Role, share *dap.Opened) (dap.Extensions, error) {
			by := map[task.Role]task.Role{task.Leader: task.Helper, task.Helper: task.Leader}[role]
			return w.present(v, first, role, other[by], share)
		},
		"cut": func(role task.Role, share *dap.Opened) (dap.Extensions, error) {
			b, err := w.present(v, first, role, one[role], share)
			if err != nil {
				return nil, err
			}
			return dap.NewExtensions(dap.Extension{Type: dap.ReportPresentation, Data: b[4 : len(b)-1]})
		},
		"zeros": func(task.Role, *dap.Opened) (dap.Extensions, error) {
			return dap.NewExtensions(dap.Extension{Type: dap.ReportPresentation, Data: make([]byte, arc.PresentationSize(1))})
		},
	} {
		r := w.report(v, first, change(dap.Leader, func(s *dap.Opened) (dap.Extensions, error) { return f(task.Leader, s) }))
		if leader, helper := w.verdict(v, r); leader != dap.InvalidMessage || helper != dap.VerifyError {
			t.Errorf("%s to the leader: %v, %v", name, leader, helper)
		}
		r = w.report(v, first, change(dap.Helper, func(s *dap.Opened) (dap.Extensions, error) { return f(task.Helper, s) }))
		if leader, helper := w.verdict(v, r); leader != 0 || helper != dap.InvalidMessage {
			t.Errorf("%s to the helper: %v, %v", name, leader, helper)
		}
	}
	if leader, helper := w.verdict(v, w.report(v, first, real)); leader != 0 || helper != 0 {
		t.Errorf("a report as it should be: %v, %v", leader, helper)
	}
}

// TestKeysThatCannotBeRead covers a disk that fails: while the key of a period cannot be
// read nothing is judged, so that no report is refused or counted unverified. A key that is
// lost for ever drops its reports, and is reported.
func TestKeysThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	v := w.versions[0]
	r := w.report(v, first, w.shows(v, first, w.person(first)))
	disk := crashfs.New(1)
	key := filepath.Join("credentials", "key")
	x, _ := w.restored(t, disk, v)
	broken := errors.New("broken")
	disk.FailWith(func(_, name string) error {
		if filepath.Base(name) == filepath.Base(key) {
			return broken
		}
		return nil
	})
	share := w.opened(v, r)
	if _, _, err := x.Admit([]dap.Opened{share}); !errors.Is(err, broken) {
		t.Errorf("a key that cannot be read now: %v", err)
	}
	disk.FailWith(nil)
	if _, errs, err := x.Admit([]dap.Opened{share}); err != nil || errs[0] != 0 {
		t.Errorf("afterwards: %v, %v", errs, err)
	}
	entries, err := disk.ReadDir("credentials")
	must(t, err)
	for _, e := range entries {
		if e.IsDir() {
			must(t, disk.Remove(filepath.Join("credentials", e.Name(), "key")))
		}
	}
	x, issuer := w.reopened(t, disk, v)
	if _, errs, err := x.Admit([]dap.Opened{share}); err != nil || errs[0] != dap.ReportDropped {
		t.Errorf("a key that is lost: %v, %v", errs, err)
	}
	if len(issuer.Lost()) != 1 {
		t.Errorf("lost %v", issuer.Lost())
	}
}

// restored copies the leader's issuer to another disk and opens it there.
func (w *world) restored(t *testing.T, to durable.FS, v *version) (*admission.Admission, *credential.Issuer) {
	t.Helper()
	from := w.disks[task.Leader]
	must(t, to.MkdirAll("credentials", 0o700))
	entries, err := from.ReadDir("credentials")
	must(t, err)
	copied := func(name string) {
		b, err := durable.ReadFile(from, name)
		must(t, err)
		must(t, durable.WriteFile(to, name, b, 0o600))
	}
	for _, e := range entries {
		name := filepath.Join("credentials", e.Name())
		if !e.IsDir() {
			copied(name)
			continue
		}
		must(t, to.MkdirAll(name, 0o700))
		copied(filepath.Join(name, "key"))
	}
	return w.reopened(t, to, v)
}

func (w *world) reopened(t *testing.T, disk durable.FS, v *version) (*admission.Admission, *credential.Issuer) {
	t.Helper()
	i, err := credential.NewIssuer(credential.IssuerConfig{
		FS: disk, Dir: "credentials", Role: task.Leader, Party: w.keys[task.Leader].Public(), Clock: w.clock,
		Gates: []credential.Gate{credential.Work(1)}, Sign: func(_ credential.Slot, b []byte) ([]byte, error) { return b, nil },
	})
	must(t, err)
	x, err := admission.New(i, v.task, v.dap.ID(), task.Leader)
	must(t, err)
	return x, i
}

// opened opens the leader's share of a report.
func (w *world) opened(v *version, r *dap.Report) dap.Opened {
	w.t.Helper()
	key := w.registries[task.Leader].Keyring().Find(r.LeaderShare.ConfigID, w.clock.Now())
	plain, err := v.dap.OpenInputShare(key, dap.Leader, &dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: r.LeaderShare})
	must(w.t, err)
	return dap.Opened{Metadata: &r.Metadata, PublicShare: r.PublicShare, PrivateExtensions: plain.PrivateExtensions, Payload: plain.Payload}
}

// TestSurroundedVictim covers a leader that makes up reports around that of one victim, to
// learn its value from the sum of a batch. It makes its own half of every report, so only the
// helper's credentials bound it: with fewer than the minimum batch less one of them the batch
// of an epoch is too small, however many reports it sends. With as many it succeeds: that is
// what the helper's gate bounds.
func TestSurroundedVictim(t *testing.T) {
	for c := range minBatch {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			w := newWorld(t)
			v := w.versions[0]
			victim := w.report(v, first, w.shows(v, first, w.person(first)))
			var all []*dap.Report
			for range c {
				own := person{task.Helper: w.person(first)[task.Helper]}
				for range 3 { // each credential more often than it counts
					all = append(all, w.report(v, first, w.shows(v, first, own)))
				}
			}
			for range 4 { // and without any
				all = append(all, w.report(v, first, w.shows(v, first, person{})))
			}
			total := w.forge(v, append([]*dap.Report{victim}, all...))
			if total.Count != uint64(1+c) {
				t.Fatalf("the helper has counted %d reports, want the victim's and one for each of %d credentials", total.Count, c)
			}
			req := &dap.AggregateShareReq{
				Job:      dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: first, Duration: 1})},
				Selector: dap.IntervalSelector(dap.Interval{Start: first, Duration: 1}), ReportCount: total.Count, Checksum: total.Checksum,
			}
			body, err := v.dap.Codec().Encode(req)
			must(t, err)
			a := w.answered("POST", "/tasks/"+v.dap.ID().String()+"/aggregate_shares", dap.TypeAggregateShareReq, body)
			if small := c < minBatch-1; small != (a.Code == 400 && bytes.Contains(a.Body.Bytes(), []byte("invalidBatchSize"))) {
				t.Errorf("with %d credentials of the helper: HTTP %d %s", c, a.Code, a.Body)
			}
		})
	}
}

// forge is the hostile leader: it aggregates reports in several jobs, whatever its own
// half shows, and returns what the helper has counted.
func (w *world) forge(v *version, reports []*dap.Report) *dap.Total {
	w.t.Helper()
	verify, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{7}, 32), v.dap.ID())
	must(w.t, err)
	forger, err := dap.NewAggregator(v.dap, dap.Leader, map[dap.VerificationKeyID]*vdaf.VerifyKey{0: verify}, time.Minute, dap.ReportPresentation)
	must(w.t, err)
	total := v.dap.NewTotal()
	for some := range slices.Chunk(reports, 4) {
		var batch []dap.Report
		for _, r := range some {
			batch = append(batch, *r)
		}
		job, req, err := forger.LeaderInit(0, dap.BatchID{}, batch, w.clock.Now(), w.registries[task.Leader].Keyring())
		must(w.t, err)
		body, err := v.dap.Codec().Encode(req)
		must(w.t, err)
		a := w.answered("POST", "/tasks/"+v.dap.ID().String()+"/aggregation_jobs", dap.TypeAggregationJobInitReq, body)
		var resp dap.AggregationJobResp
		must(w.t, v.dap.Codec().Decode(&resp, a.Body.Bytes()))
		for _, one := range resp.VerifyResps {
			if e := one.Error; e != 0 && e != dap.ReportReplayed && e != dap.InvalidMessage {
				w.t.Errorf("the helper says %v", e)
			}
		}
		result, err := forger.LeaderFinish(job, &resp)
		must(w.t, err)
		totals, err := result.Totals(make([]dap.ReportError, len(result.Candidates())))
		must(w.t, err)
		for _, one := range totals {
			must(w.t, total.Merge(one))
		}
	}
	return total
}

// TestListNames: lists of spent tags are apart by role, owner and metric, and those of all
// versions of a metric are one.
func TestListNames(t *testing.T) {
	w := newWorld(t)
	base := *w.versions[0].task
	again, other, stranger := base, base, base
	again.Consent, again.EpochSeconds = "Other words.", 2*epochSeconds
	other.Metric = "feature.use"
	stranger.Owner = w.keys[task.Leader].Public()
	name := admission.List(&base, task.Leader)
	if admission.List(&again, task.Leader) != name {
		t.Error("two versions of a metric have two lists")
	}
	for what, got := range map[string][32]byte{
		"another metric": admission.List(&other, task.Leader), "another owner": admission.List(&stranger, task.Leader), "another role": admission.List(&base, task.Helper),
	} {
		if got == name {
			t.Errorf("%s has the same list", what)
		}
	}
}

// BenchmarkAdmit is the verification of the presentations of a job of 1000 reports, on all
// processors.
func BenchmarkAdmit(b *testing.B) {
	const n = 1000
	w := newWorld(b)
	v := w.versions[0]
	x, err := admission.New(w.issuers[task.Leader], v.task, v.dap.ID(), task.Leader)
	must(b, err)
	var shares []dap.Opened
	show := w.shows(v, first, w.person(first)) // the tag makes no difference here
	for range n {
		var id dap.ReportID
		_, err := rand.Read(id[:])
		must(b, err)
		s := dap.Opened{Metadata: &dap.ReportMetadata{ID: id, Time: first}, Payload: make([]byte, 48)}
		s.PrivateExtensions, err = show(dap.Leader, &s)
		must(b, err)
		shares = append(shares, s)
	}
	for b.Loop() {
		_, errs, err := x.Admit(shares)
		must(b, err)
		if errs[0] != 0 {
			b.Fatal(errs[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())*float64(runtime.GOMAXPROCS(0))/float64(b.N)/n/1e6, "core-ms/report")
}
