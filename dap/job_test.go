package dap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
)

func TestRoundTrip(t *testing.T) {
	for _, v := range variants() {
		for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
			t.Run(fmt.Sprintf("%v/%v", v, mode), func(t *testing.T) { testRoundTrip(t, v, mode) })
		}
	}
}

func testRoundTrip(t *testing.T, v *dap.Variant, mode dap.BatchMode) {
	w := newWorld(t, v, mode)
	batch := batchID(1)
	w.aggregate(t, batch, w.report(t, 3), w.report(t, 3))
	later := w.draft(t, 9)
	later.md.Time = unit - 2
	w.aggregate(t, batch, w.seal(t, later))

	query, selector := dap.NextBatchQuery(), dap.BatchIDSelector(batch)
	if mode == dap.TimeIntervalMode {
		query = dap.IntervalQuery(dap.Interval{Start: unit - 5, Duration: 6})
		selector = dap.IntervalSelector(dap.Interval{Start: unit - 2, Duration: 3})
	}
	got, err := w.collect(t, query, selector)
	if want := []uint64{0, 0, 0, 2, 0, 0, 0, 0, 0, 1}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("result %v, %v, want %v", got, err, want)
	}
	if i := w.leaderLedger.batch(t, w, selector).Interval; i != (dap.Interval{Start: unit - 2, Duration: 3}) {
		t.Errorf("reports are of %v", i)
	}
	if _, err := w.collect(t, query, selector); dap.AbortOf(err) == nil || dap.AbortOf(err).Type != dap.ProblemBatchOverlap {
		t.Errorf("collected twice: %v", err)
	}
	late := w.report(t, 1)
	if got := w.aggregate(t, batch, late)[late.Metadata.ID]; got != "helper: batch_collected" {
		t.Errorf("a report of a collected batch: %s", got)
	}
}

// Threat: a replay must not count twice, within a job, across jobs, or when the
// leader repeats it on purpose.
func TestReplay(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	r := w.report(t, 2)
	if got := w.aggregate(t, dap.BatchID{}, r)[r.Metadata.ID]; got != "committed" {
		t.Fatal(got)
	}
	if got := w.aggregate(t, dap.BatchID{}, r)[r.Metadata.ID]; got != "helper: report_replayed" {
		t.Errorf("the second time: %s", got)
	}
	if _, _, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{r, r}, w.now, w.leaderRing); err == nil {
		t.Error("a leader's job has a report twice")
	}
	_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(t, 1)}, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	req.VerifyInits = append(req.VerifyInits, req.VerifyInits[0])
	if _, err := w.helper.HelperInit(req, w.now, w.helperRing); dap.AbortOf(err) == nil || dap.AbortOf(err).Type != dap.ProblemInvalidMessage {
		t.Errorf("a helper's job has a report twice: %v", err)
	}
	// Two jobs that were verified at the same time: the commit decides.
	fresh := w.report(t, 1)
	_, req, err = w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{fresh}, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	first, err1 := w.helper.HelperInit(req, w.now, w.helperRing)
	second, err2 := w.helper.HelperInit(req, w.now, w.helperRing)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if a, b := w.helperLedger.commit(t, &first.Outcome), w.helperLedger.commit(t, &second.Outcome); a[0] != 0 || b[0] != dap.ReportReplayed {
		t.Errorf("concurrent jobs: %v, %v", a, b)
	}
	if _, err := first.Response(nil); err == nil {
		t.Error("a response without verdicts")
	}
	if _, err := first.Totals(nil); err == nil {
		t.Error("totals without verdicts")
	}
}

func TestAdmit(t *testing.T) {
	b := newLedger()
	b.collected[dap.Bucket{Unit: 3}] = true
	b.seen[dap.ReportID{2}] = true
	b.watermark = 2
	got := dap.Admit([]dap.Candidate{
		{ID: dap.ReportID{1}, Time: 5, Bucket: dap.Bucket{Unit: 5}},
		{ID: dap.ReportID{1}, Time: 6, Bucket: dap.Bucket{Unit: 6}},
		{ID: dap.ReportID{2}, Time: 5, Bucket: dap.Bucket{Unit: 5}},
		{ID: dap.ReportID{2}, Time: 3, Bucket: dap.Bucket{Unit: 3}},
		{ID: dap.ReportID{4}, Time: 1, Bucket: dap.Bucket{Unit: 1}},
		{ID: dap.ReportID{4}, Time: 2, Bucket: dap.Bucket{Unit: 2}},
	}, b)
	want := []dap.ReportError{0, dap.ReportReplayed, dap.ReportReplayed, dap.BatchCollected, dap.ReportDropped, 0}
	if !slices.Equal(got, want) {
		t.Errorf("verdicts %v, want %v", got, want)
	}
}

// Threat: a client that sends what it should not. Only its own report is
// refused, with the error that the draft names; the good one beside it counts.
func TestBadClients(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(w *world, d *draft)
		after func(r *dap.Report)
		want  map[string]string // by variant; "" is any other
	}{
		{"good", nil, nil, map[string]string{"": "committed"}},
		{"known extension", func(_ *world, d *draft) { d.md.PublicExtensions = []byte{0, 21, 0, 0} }, nil, map[string]string{"": "committed"}},
		{"future", func(_ *world, d *draft) { d.md.Time = unit + 1 }, nil, map[string]string{"": "leader: report_too_early"}},
		{"before the task", func(_ *world, d *draft) { d.md.Time = 479_999 }, nil, map[string]string{"": "leader: task_not_started", "dap-19": "leader: report_dropped"}},
		{"old helper key", func(_ *world, d *draft) { d.helperKey.ID = 99 }, nil, map[string]string{"": "helper: hpke_unknown_config_id", "dap-18": "helper: hpke_decrypt_error"}},
		{"wrong helper key", func(_ *world, d *draft) { d.helperKey.PublicKey = d.leaderKey.PublicKey }, nil, map[string]string{"": "helper: hpke_decrypt_error"}},
		{"wrong leader key", func(_ *world, d *draft) { d.leaderKey.PublicKey = d.helperKey.PublicKey }, nil, map[string]string{"": "leader: hpke_decrypt_error"}},
		{"swapped shares", nil, func(r *dap.Report) { r.LeaderShare, r.HelperShare = r.HelperShare, r.LeaderShare }, map[string]string{"": "leader: hpke_decrypt_error"}},
		{"time changed", nil, func(r *dap.Report) { r.Metadata.Time-- }, map[string]string{"": "leader: hpke_decrypt_error"}},
		{"unknown public extension", func(_ *world, d *draft) { d.md.PublicExtensions = []byte{0, 22, 0, 0} }, nil, map[string]string{"": "leader: invalid_message", "dap-19": "leader: unsupported_extension"}},
		{"unknown extension for the helper", func(_ *world, d *draft) { d.helper.PrivateExtensions = []byte{0, 22, 0, 0} }, nil, map[string]string{"": "helper: invalid_message", "dap-19": "helper: unsupported_extension"}},
		{"malformed public extensions", func(_ *world, d *draft) { d.md.PublicExtensions = []byte{0, 21, 9} }, nil, map[string]string{"": "leader: invalid_message"}},
		{"extension in both lists", func(_ *world, d *draft) {
			d.md.PublicExtensions, d.helper.PrivateExtensions = []byte{0, 21, 0, 0}, []byte{0, 21, 0, 0}
		}, nil, map[string]string{"": "helper: invalid_message"}},
		{"oversized share", func(_ *world, d *draft) { d.leader.Payload = make([]byte, 4000) }, nil, map[string]string{"": "leader: invalid_message"}},
		{"short share for the helper", func(_ *world, d *draft) { d.helper.Payload = d.helper.Payload[1:] }, nil, map[string]string{"": "helper: invalid_message"}},
		{"oversized public share", func(_ *world, d *draft) { d.public = make([]byte, 4000) }, nil, map[string]string{"": "leader: invalid_message"}},
		{"not in the field", func(_ *world, d *draft) {
			for i := range 16 {
				d.leader.Payload[i] = 0xff
			}
		}, nil, map[string]string{"": "leader: invalid_message"}},
		{"invalid measurement", func(_ *world, d *draft) { d.leader.Payload[0] ^= 1 }, nil, map[string]string{"": "helper: vdaf_verify_error"}},
		{"invalid share for the helper", func(_ *world, d *draft) { d.helper.Payload[0] ^= 1 }, nil, map[string]string{"": "helper: vdaf_verify_error"}},
	}
	for _, v := range variants() {
		for _, tt := range tests {
			t.Run(v.String()+"/"+tt.name, func(t *testing.T) {
				w := newWorld(t, v, dap.TimeIntervalMode)
				d := w.draft(t, 1)
				if tt.spoil != nil {
					tt.spoil(w, &d)
				}
				r, good := w.seal(t, d), w.report(t, 2)
				if tt.after != nil {
					tt.after(&r)
				}
				fate := w.aggregate(t, dap.BatchID{}, r, good)
				want, ok := tt.want[v.String()]
				if !ok {
					want = tt.want[""]
				}
				if fate[d.md.ID] != want || fate[good.Metadata.ID] != "committed" {
					t.Errorf("the report: %s, want %s; the one beside it: %s", fate[d.md.ID], want, fate[good.Metadata.ID])
				}
				a, b := w.leaderLedger.batch(t, w, dap.IntervalSelector(unit.Bucket())), w.helperLedger.batch(t, w, dap.IntervalSelector(unit.Bucket()))
				if a.Count != b.Count || a.Checksum != b.Checksum {
					t.Errorf("leader has %d reports, helper %d", a.Count, b.Count)
				}
			})
		}
	}
}

func TestUploadChecks(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(r *dap.Report)
		want  map[string]string
	}{
		{"good", func(*dap.Report) {}, map[string]string{"": "none"}},
		{"future", func(r *dap.Report) { r.Metadata.Time++ }, map[string]string{"": "report_too_early"}},
		{"before the task", func(r *dap.Report) { r.Metadata.Time = 1 }, map[string]string{"": "report_dropped", "janus": "task_not_started"}},
		{"old key", func(r *dap.Report) { r.LeaderShare.ConfigID = 99 }, map[string]string{"": "hpke_unknown_config_id", "dap-18": "outdated_config"}},
		{"public share", func(r *dap.Report) { r.PublicShare = r.PublicShare[1:] }, map[string]string{"": "invalid_message"}},
		{"extension", func(r *dap.Report) { r.Metadata.PublicExtensions = []byte{0, 22, 0, 0} }, map[string]string{"": "invalid_message", "dap-19": "unsupported_extension"}},
	}
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		for _, tt := range tests {
			r := w.report(t, 1)
			tt.spoil(&r)
			want, ok := tt.want[v.String()]
			if !ok {
				want = tt.want[""]
			}
			if got := w.leader.CheckUpload(&r, w.now, w.leaderRing).String(); got != want {
				t.Errorf("%v, %s: %s, want %s", v, tt.name, got, want)
			}
		}
		// Within the leeway of five minutes.
		r := w.report(t, 1)
		r.Metadata.Time++
		if got := w.leader.CheckUpload(&r, w.now.Add(55*time.Minute), w.leaderRing); got != 0 {
			t.Errorf("%v: five minutes ahead: %v", v, got)
		}
	}
}

func TestJobChecks(t *testing.T) {
	id := batchID(1)
	named := dap.Extension{Type: dap.LeaderSelectedBatchID, Data: id[:]}
	selector := func(m dap.BatchMode, b []byte) dap.AggregationJobHeader {
		return dap.AggregationJobHeader{Selector: dap.PartialBatchSelector{Mode: m, Config: b}}
	}
	extensions := func(list ...dap.Extension) dap.AggregationJobHeader {
		return dap.AggregationJobHeader{Extensions: list}
	}
	tests := []struct {
		variant *dap.Variant
		mode    dap.BatchMode
		header  dap.AggregationJobHeader
		want    dap.ProblemType
	}{
		{dap.DAP18(), dap.TimeIntervalMode, extensions(), ""},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(named), ""},
		{dap.DAP18(), dap.TimeIntervalMode, extensions(named), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(dap.Extension{Type: 1, Data: id[1:]}), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(named, named), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(named, dap.Extension{Type: 2}), dap.ProblemUnsupportedExtension},
		{dap.DAP18(), dap.TimeIntervalMode, extensions(dap.Extension{Type: 2}), dap.ProblemUnsupportedExtension},
		{dap.DAP18(), dap.TimeIntervalMode, dap.AggregationJobHeader{AggParam: []byte{1}}, dap.ProblemInvalidAggregationParameter},
		{dap.Janus(), dap.TimeIntervalMode, selector(dap.TimeIntervalMode, nil), ""},
		{dap.Janus(), dap.LeaderSelectedMode, selector(dap.LeaderSelectedMode, id[:]), ""},
		{dap.Janus(), dap.LeaderSelectedMode, selector(dap.TimeIntervalMode, nil), dap.ProblemInvalidMessage},
		{dap.Janus(), dap.LeaderSelectedMode, selector(dap.LeaderSelectedMode, nil), dap.ProblemInvalidMessage},
		{dap.Janus(), dap.TimeIntervalMode, selector(dap.TimeIntervalMode, id[:]), dap.ProblemInvalidMessage},
	}
	for i, tt := range tests {
		config := configuration()
		config.BatchMode = tt.mode
		tsk := newTask(t, tt.variant, config)
		batch, err := tsk.CheckJob(&tt.header)
		abort := dap.AbortOf(err)
		if tt.want == "" && err != nil || tt.want != "" && (abort == nil || abort.Type != tt.want) {
			t.Errorf("case %d: %v, want %s", i, err, tt.want)
		}
		if tt.want == "" {
			header := tsk.JobHeader(0, id)
			if got := mustEncode(t, tt.variant, &header); !equal(got, mustEncode(t, tt.variant, &tt.header)) {
				t.Errorf("case %d: the leader writes %x", i, got)
			}
			if want := (tt.mode == dap.LeaderSelectedMode); (batch == id) != want || (tsk.Bucket(7, batch) == dap.Bucket{Batch: id}) != want {
				t.Errorf("case %d: batch %v", i, batch)
			}
		}
	}
}

func TestUnknownVerificationKey(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(t, 1), w.report(t, 2)}, w.now, w.leaderRing)
		if err != nil {
			t.Fatal(err)
		}
		req.VerificationKey = 5
		job, err := w.helper.HelperInit(req, w.now, w.helperRing)
		if v.String() != "dap-19" {
			if abort := dap.AbortOf(err); abort == nil || abort.Type != dap.ProblemInvalidMessage {
				t.Errorf("%v: %v", v, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		resp, err := job.Response(w.helperLedger.commit(t, &job.Outcome))
		if err != nil || len(resp.VerifyResps) != 2 || resp.VerifyResps[1].Error != dap.UnknownVerificationKey {
			t.Errorf("%v, %v", resp, err)
		}
		if _, _, err := w.leader.LeaderInit(5, dap.BatchID{}, nil, w.now, w.leaderRing); err == nil {
			t.Error("a leader begins a job with an unknown key")
		}
	}
}

// Threat: a helper that answers something else must not make the leader commit
// anything.
func TestAbandon(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	reports := []dap.Report{w.report(t, 1), w.report(t, 2)}
	job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, reports, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	good := w.help(t, req)
	for name, change := range map[string]func(*dap.AggregationJobResp){
		"fewer":       func(r *dap.AggregationJobResp) { r.VerifyResps = r.VerifyResps[:1] },
		"none":        func(r *dap.AggregationJobResp) { r.VerifyResps = nil },
		"more":        func(r *dap.AggregationJobResp) { r.VerifyResps = append(r.VerifyResps, r.VerifyResps[0]) },
		"other order": func(r *dap.AggregationJobResp) { slices.Reverse(r.VerifyResps) },
		"finish":      func(r *dap.AggregationJobResp) { r.VerifyResps[1].Type = dap.RespFinish },
	} {
		resp := dap.AggregationJobResp{VerifyResps: slices.Clone(good.VerifyResps)}
		change(&resp)
		if _, err := w.leader.LeaderFinish(job, &resp); !errors.Is(err, dap.ErrAbandon) {
			t.Errorf("%s: %v, want ErrAbandon", name, err)
		}
	}
	resp := dap.AggregationJobResp{VerifyResps: slices.Clone(good.VerifyResps)}
	resp.VerifyResps[0].Payload = flip(resp.VerifyResps[0].Payload)
	resp.VerifyResps[1] = dap.VerifyResp{ID: reports[1].Metadata.ID, Type: dap.RespReject, Error: dap.ReportTooEarly}
	result, err := w.leader.LeaderFinish(job, &resp)
	if err != nil || len(result.Candidates()) != 0 || len(result.Rejected) != 2 || result.Rejected[0].Error != dap.VerifyError || !result.Rejected[1].Error.Retryable() {
		t.Errorf("%v, %v", result, err)
	}
	if _, err := w.helper.LeaderFinish(job, good); err == nil {
		t.Error("the helper finishes the leader's job")
	}
	if _, err := w.leader.HelperInit(req, w.now, w.leaderRing); err == nil {
		t.Error("the leader is a helper")
	}
	if _, _, err := w.helper.LeaderInit(4, dap.BatchID{}, nil, w.now, w.helperRing); err == nil {
		t.Error("the helper is a leader")
	}
	other := newWorld(t, dap.DAP19(), dap.LeaderSelectedMode)
	if _, err := other.leader.LeaderFinish(job, good); err == nil {
		t.Error("another task's leader finishes the job")
	}
	if s := fmt.Sprintf("%v %+v %x", job, job, job); strings.Count(s, "redacted") != 3 {
		t.Errorf("the job prints as %s", s)
	}
}

func TestNoReports(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	if fate := w.aggregate(t, dap.BatchID{}); len(fate) != 0 {
		t.Errorf("%v", fate)
	}
}

// A helper does not rely on the leader's checks: what a leader lets through on
// purpose is refused again.
func TestLyingLeader(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(d *draft)
		want  dap.ReportError
	}{
		"good":         {func(*draft) {}, dap.VerifyError}, // the message is that of another report
		"public share": {func(d *draft) { d.public = make([]byte, 4000) }, dap.InvalidMessage},
		"future":       {func(d *draft) { d.md.Time = unit + 1 }, dap.ReportTooEarly},
		"extensions":   {func(d *draft) { d.md.PublicExtensions = []byte{0} }, dap.InvalidMessage},
	} {
		w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
		_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(t, 1)}, w.now, w.leaderRing)
		if err != nil {
			t.Fatal(err)
		}
		d := w.draft(t, 1)
		tt.spoil(&d)
		r := w.seal(t, d)
		req.VerifyInits[0].Share = dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: r.HelperShare}
		if got := w.help(t, req).VerifyResps[0]; got.Type != dap.RespReject || got.Error != tt.want {
			t.Errorf("%s: answer %d, %v, want %v", name, got.Type, got.Error, tt.want)
		}
	}
}
