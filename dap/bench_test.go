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
