package dap_test

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// benchReports is how many reports a job of the benchmarks has.
const benchReports = 100

func benchJob(b *testing.B) (*world, *dap.LeaderJob, []byte) {
	b.Helper()
	w := newWorld(b, dap.DAP18(), dap.TimeIntervalMode)
	var reports []dap.Report
	for range benchReports {
		reports = append(reports, w.report(b, 1))
	}
	job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, reports, w.now, w.leaderRing)
	if err != nil {
		b.Fatal(err)
	}
	return w, job, mustEncode(b, dap.DAP18(), req)
}

func perReport(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.N)*benchReports/b.Elapsed().Seconds(), "reports/s")
}

// BenchmarkHelperInit is the helper's whole work on a job but HTTP and storage:
// decode, open, verify, add up, encode. Histogram(10), X25519.
func BenchmarkHelperInit(b *testing.B) {
	w, _, body := benchJob(b)
	b.ReportAllocs()
	for b.Loop() {
		var req dap.AggregationJobInitReq
		if err := w.task.Codec().Decode(&req, body); err != nil {
			b.Fatal(err)
		}
		job, err := w.helper.HelperInit(&req, w.now, w.helperRing)
		if err != nil {
			b.Fatal(err)
		}
		verdicts := make([]dap.ReportError, len(job.Candidates()))
		if _, err := job.Totals(verdicts); err != nil {
			b.Fatal(err)
		}
		resp, err := job.Response(verdicts)
		if err != nil {
			b.Fatal(err)
		}
		mustEncode(b, dap.DAP18(), resp)
	}
	perReport(b)
}

// BenchmarkStreamOne reads a request of one report.
func BenchmarkStreamOne(b *testing.B) {
	w := newWorld(b, dap.DAP18(), dap.TimeIntervalMode)
	req := dap.UploadRequest{Reports: []dap.Report{w.report(b, 1)}}
	body := mustEncode(b, dap.DAP18(), &req)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range w.task.Codec().ReadUploadRequest(bytes.NewReader(body)).All() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkStreamUpload reads reports as they arrive, without opening them.
func BenchmarkStreamUpload(b *testing.B) {
	w := newWorld(b, dap.DAP18(), dap.TimeIntervalMode)
	var req dap.UploadRequest
	for range benchReports {
		req.Reports = append(req.Reports, w.report(b, 1))
	}
	body := mustEncode(b, dap.DAP18(), &req)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range w.task.Codec().ReadUploadRequest(bytes.NewReader(body)).All() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	perReport(b)
}

// bigReports are as large as those of a histogram of 100, and not sealed.
func bigReports(w *world, tb testing.TB) []dap.Report {
	var reports []dap.Report
	for range benchReports {
		r := w.report(tb, 1)
		r.LeaderShare.Payload = make([]byte, 2400)
		reports = append(reports, r)
	}
	return reports
}

// BenchmarkAppendReports encodes reports one after the other, as a leader keeps those
// of a request.
func BenchmarkAppendReports(b *testing.B) {
	w := newWorld(b, dap.DAP18(), dap.TimeIntervalMode)
	reports := bigReports(w, b)
	b.ReportAllocs()
	for b.Loop() {
		var mem []byte
		for i := range reports {
			var err error
			if mem, err = w.task.Codec().Append(mem, &reports[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	perReport(b)
}

// BenchmarkEncodeJob encodes the leader's request of a job.
func BenchmarkEncodeJob(b *testing.B) {
	w := newWorld(b, dap.DAP18(), dap.TimeIntervalMode)
	req := dap.AggregationJobInitReq{}
	for _, r := range bigReports(w, b) {
		req.VerifyInits = append(req.VerifyInits, dap.VerifyInit{
			Share:   dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: r.LeaderShare},
			Payload: r.HelperShare.Payload,
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		mustEncode(b, dap.DAP18(), &req)
	}
	perReport(b)
}

// Encoding reserves memory once: a report has few allocations, all of fixed size but
// that one.
func TestEncodeAllocations(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	report := bigReports(w, t)[0]
	codec := w.task.Codec()
	mem := make([]byte, 0, 1<<20)
	grown := testing.AllocsPerRun(100, func() {
		if _, err := codec.Append(mem, &report); err != nil {
			t.Fatal(err)
		}
	})
	fresh := testing.AllocsPerRun(100, func() {
		if _, err := codec.Append(nil, &report); err != nil {
			t.Fatal(err)
		}
	})
	if fresh > grown+1 {
		t.Errorf("encoding a report takes %v allocations, %v where there is room: want one more at most", fresh, grown)
	}
}
