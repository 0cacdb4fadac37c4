package dap_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// The codes of «Basic Type Definitions» of draft-18, of the changes of draft-19,
// and of Janus, as they are there.
func TestReportErrorCodes(t *testing.T) {
	tables := map[string]string{
		"dap-18": "1 batch_collected, 2 report_replayed, 3 report_dropped, 4 hpke_unknown_config_id, 5 hpke_decrypt_error, 6 vdaf_verify_error, " +
			"7 task_expired, 8 invalid_message, 9 report_too_early, 10 task_not_started, 11 outdated_config",
		"dap-19": "1 batch_collected, 2 report_replayed, 3 report_dropped, 4 hpke_unknown_config_id, 5 hpke_decrypt_error, 6 vdaf_verify_error, " +
			"7 invalid_message, 8 report_too_early, 9 unknown_verification_key_id, 10 unsupported_extension",
		"janus": "1 batch_collected, 2 report_replayed, 3 report_dropped, 4 hpke_unknown_config_id, 5 hpke_decrypt_error, 6 vdaf_verify_error, " +
			"7 task_expired, 8 invalid_message, 9 report_too_early, 10 task_not_started",
	}
	for _, v := range variants() {
		var got []string
		for code := range 256 {
			var e dap.ReportUploadStatus
			err := dap.NewCodec(v).Decode(&e, append(make([]byte, 16), byte(code)))
			if (err == nil) != (code > 0) {
				t.Errorf("%v: code %d: %v", v, code, err)
			}
			if err == nil && !strings.HasPrefix(e.Error.String(), "report error") {
				got = append(got, fmt.Sprintf("%d %v", code, e.Error))
			}
		}
		if want := tables[v.String()]; strings.Join(got, ", ") != want {
			t.Errorf("%v: codes\n%s, want\n%s", v, strings.Join(got, ", "), want)
		}
	}
	for v, e := range map[*dap.Variant]dap.ReportError{
		dap.DAP18(): dap.UnsupportedExtension, dap.DAP19(): dap.TaskExpired, dap.Janus(): dap.OutdatedConfig,
	} {
		for _, e := range []dap.ReportError{e, 0, 99} {
			if _, err := dap.NewCodec(v).Encode(&dap.ReportUploadStatus{Error: e}); !errors.Is(err, dap.ErrMalformed) {
				t.Errorf("%v: %v is encoded (%v)", v, e, err)
			}
		}
	}
	if !dap.ReportTooEarly.Retryable() || dap.ReportReplayed.Retryable() {
		t.Error("only report_too_early may be tried again")
	}
}

// The errors that the variants answer with («Leader Behavior», «Input Share
// Validation»).
func TestVariantErrors(t *testing.T) {
	interval := dap.Interval{Start: 10, Duration: 5}
	tests := map[string][]dap.ReportError{
		// upload config; upload before, in, after; aggregation before, in, after; unknown extension
		"dap-18": {dap.OutdatedConfig, dap.ReportDropped, 0, dap.ReportDropped, dap.TaskNotStarted, 0, dap.TaskExpired, dap.InvalidMessage},
		"dap-19": {dap.UnknownConfig, dap.ReportDropped, 0, dap.ReportDropped, dap.ReportDropped, 0, dap.ReportDropped, dap.UnsupportedExtension},
		"janus":  {dap.UnknownConfig, dap.TaskNotStarted, 0, dap.TaskExpired, dap.TaskNotStarted, 0, dap.TaskExpired, dap.InvalidMessage},
	}
	for _, v := range variants() {
		unknown, err := dap.NewExtensions(dap.Extension{Type: 42})
		if err != nil {
			t.Fatal(err)
		}
		got := []dap.ReportError{
			v.UploadConfigError(),
			v.UploadIntervalError(interval, 9), v.UploadIntervalError(interval, 14), v.UploadIntervalError(interval, 15),
			v.AggregateIntervalError(interval, 9), v.AggregateIntervalError(interval, 10), v.AggregateIntervalError(interval, 15),
			v.CheckReportExtensions(unknown, nil),
		}
		for i, want := range tests[v.String()] {
			if got[i] != want {
				t.Errorf("%v, case %d: %v, want %v", v, i, got[i], want)
			}
		}
		for _, e := range got {
			if e == 0 {
				continue
			}
			if _, err := dap.NewCodec(v).Encode(&dap.ReportUploadStatus{Error: e}); err != nil {
				t.Errorf("%v answers with an error that it cannot encode: %v", v, err)
			}
		}
	}
	if dap.DAP18().UnknownKeyRejectsReports() || !dap.DAP19().UnknownKeyRejectsReports() || dap.Janus().UnknownKeyRejectsReports() {
		t.Error("only draft-19 rejects the reports of an unknown verification key")
	}
}

func TestParseVariant(t *testing.T) {
	for _, v := range variants() {
		if got, err := dap.ParseVariant(v.String()); err != nil || got.String() != v.String() {
			t.Errorf("%v: %v, %v", v, got, err)
		}
	}
	if _, err := dap.ParseVariant("dap-17"); err == nil {
		t.Error("dap-17 is known")
	}
}

func TestPaths(t *testing.T) {
	// The example of «HTTP Usage».
	id := dap.TaskID(unhex(t, "f0163447364ccf1bc0e3affcca6873c9c381f64acdf9020662f83f46c07219e7"))
	job := dap.AggregationJobID(unhex(t, "95ceda51e1a9752368b0d961f9466128"))
	want := "https://example.com/api/dap/tasks/8BY0RzZMzxvA46_8ymhzycOB9krN-QIGYvg_RsByGec/aggregation_jobs/lc7aUeGpdSNosNlh-UZhKA"
	for _, endpoint := range []string{"https://example.com/api/dap", "https://example.com/api/dap/"} {
		if got := dap.Resolve(endpoint, dap.AggregationJobPath(id, job)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	prefix := "tasks/" + id.String() + "/"
	if got := dap.ReportsPath(id); got != prefix+"reports" {
		t.Error(got)
	}
	for _, v := range variants() {
		method, end := "POST", ""
		if v.ClientChoosesIDs() {
			method, end = "PUT", "/"+job.String()
		}
		check := func(kind, m, p string) {
			if m != method || p != prefix+kind+end {
				t.Errorf("%v: %s %s", v, m, p)
			}
		}
		m, p := v.CreateAggregationJob(id, job)
		check("aggregation_jobs", m, p)
		m, p = v.CreateCollectionJob(id, dap.CollectionJobID(job))
		check("collection_jobs", m, p)
		m, p = v.CreateAggregateShare(id, dap.AggregateShareID(job))
		check("aggregate_shares", m, p)
	}
	if got := dap.CollectionJobPath(id, dap.CollectionJobID(job)); got != prefix+"collection_jobs/"+job.String() {
		t.Error(got)
	}
	if got := dap.AggregateSharePath(id, dap.AggregateShareID(job)); got != prefix+"aggregate_shares/"+job.String() {
		t.Error(got)
	}
}

func TestIDTexts(t *testing.T) {
	const good = "lc7aUeGpdSNosNlh-UZhKA"
	collection, err1 := dap.ParseCollectionJobID(good)
	share, err2 := dap.ParseAggregateShareID(good)
	if err1 != nil || err2 != nil || collection.String() != good || share.String() != good {
		t.Errorf("%v %v, %v %v", collection, err1, share, err2)
	}
	if got := reportID(0).String() + batchID(0).String()[:4]; got != "AAECAwQFBgcICQoLDA0OD"+"wAAEC" {
		t.Error(got)
	}
	for _, bad := range []string{"", good + "=", good[1:], good[:21] + "B", "lc7aUeGpdSNosNlh+UZhKA", good[:11] + "\n" + good[11:], good[:20] + "\n\n"} {
		if _, err := dap.ParseAggregationJobID(bad); err == nil {
			t.Errorf("%q is an ID", bad)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	for _, name := range strings.Fields("hpke-config-list upload-req upload-errors aggregation-job-init-req aggregation-job-resp " +
		"aggregation-job-continue-req aggregate-share-req aggregate-share collection-job-req collection-job-resp") {
		m, err := dap.NewMessage(dap.MessageType(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Type().MediaType(); got != "application/ppm-dap;message="+name {
			t.Error(got)
		}
		for _, header := range []string{m.Type().MediaType(), "Application/PPM-DAP; message=" + name + "; version=09", `application/ppm-dap;message="` + name + `"`} {
			if got, err := dap.ParseMediaType(header); err != nil || string(got) != name {
				t.Errorf("%q: %q, %v", header, got, err)
			}
		}
	}
	for _, bad := range []string{"", "application/ppm-dap", "application/dap;message=upload-req", "application/ppm-dap;message", "application/ppm-dap;message="} {
		if _, err := dap.ParseMediaType(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := dap.NewMessage("report"); err == nil {
		t.Error("there is a message report")
	}
}

// The tokens of «Errors», in its order, and that of taskprov.
func TestProblems(t *testing.T) {
	for _, name := range strings.Fields("invalidMessage unrecognizedTask unrecognizedAggregationJob batchInvalid invalidBatchSize " +
		"invalidAggregationParameter batchMismatch stepMismatch batchOverlap unsupportedExtension invalidExtension invalidTask") {
		p, ok := dap.ParseProblemURI("urn:ietf:params:ppm:dap:error:" + name)
		if !ok || string(p) != name || p.URI() != "urn:ietf:params:ppm:dap:error:"+name {
			t.Errorf("%s: %v, %v", name, p, ok)
		}
	}
	for _, bad := range []string{"invalidMessage", "urn:ietf:params:ppm:dap:error:", "urn:ietf:params:ppm:dap:error:other", "about:blank"} {
		if _, ok := dap.ParseProblemURI(bad); ok {
			t.Errorf("%q is one of the draft's", bad)
		}
	}
	id := taskID(0)
	abort := &dap.Abort{Type: dap.ProblemUnsupportedExtension, Detail: "no", Unsupported: []uint16{23, 42}}
	b, err := abort.Document(400, &id)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"urn:ietf:params:ppm:dap:error:unsupportedExtension","title":"an extension is not known here","status":400,"detail":"no",` +
		`"taskid":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","unsupported_extensions":[23,42]}`
	if string(b) != want || !json.Valid(b) {
		t.Errorf("document\n%s, want\n%s", b, want)
	}
	again, err := dap.ParseDocument(b)
	if err != nil || again.Type != abort.Type || again.Detail != "no" || len(again.Unsupported) != 2 {
		t.Errorf("%v, %v", again, err)
	}
	if _, err := (&dap.Abort{Type: "own"}).Document(400, nil); err == nil {
		t.Error("a type of our own gets into the draft's namespace")
	}
	for _, bad := range []string{"", "[]", `{"type":"about:blank"}`} {
		if _, err := dap.ParseDocument([]byte(bad)); err == nil {
			t.Errorf("%q is a problem document", bad)
		}
	}
}

func TestAbortOf(t *testing.T) {
	abort := &dap.Abort{Type: dap.ProblemBatchInvalid}
	if got := dap.AbortOf(fmt.Errorf("x: %w", abort)); got != abort {
		t.Errorf("%v", got)
	}
	for _, err := range []error{dap.ErrMalformed, dap.ErrLimit} {
		if got := dap.AbortOf(fmt.Errorf("x: %w", err)); got == nil || got.Type != dap.ProblemInvalidMessage {
			t.Errorf("%v: %v", err, got)
		}
	}
	if got := dap.AbortOf(errors.New("disk full")); got != nil {
		t.Errorf("a fault of our own becomes %v", got)
	}
}
