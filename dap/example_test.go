package dap_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/vdaf"
)

// check represents the error handling of a real program.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A client makes a report, and the helper opens its share.
func Example() {
	hist, err := vdaf.Histogram(4, 0)
	check(err)
	config := dap.TaskConfiguration{
		TaskInfo:      []byte("breakfast"),
		Leader:        "https://leader.example/",
		Helper:        "https://helper.example/",
		TimePrecision: 3600,
		MinBatchSize:  100,
		BatchMode:     dap.TimeIntervalMode,
	}
	check(config.SetVDAF(hist))
	codec := dap.NewCodec(dap.DAP18())
	agreed, err := codec.Encode(&config)
	check(err)
	task, err := dap.NewTask(codec.Variant(), dap.TaskprovID(agreed), agreed)
	check(err)

	ring, err := dapkey.NewRing(dapkey.DefaultPlan())
	check(err)
	now := time.Date(2027, 1, 1, 12, 30, 0, 0, time.UTC)
	ring, _, err = ring.Rotate(now, false, nil, rand.Reader)
	check(err)

	// The client.
	helper, err := ring.Configs(now).Choose()
	check(err)
	var report dap.ReportMetadata
	_, err = rand.Read(report.ID[:])
	check(err)
	report.Time, err = config.TimePrecision.Time(now)
	check(err)
	shares, err := hist.Shard(rand.Reader, task.Context(), vdaf.Nonce(report.ID), 2)
	check(err)
	sealed, err := task.SealInputShare(helper, dap.Helper, &report, shares.PublicShare,
		&dap.PlaintextInputShare{Payload: shares.InputShares[1]})
	check(err)

	// The helper.
	opened, err := task.OpenInputShare(ring.Find(sealed.ConfigID, now), dap.Helper,
		&dap.ReportShare{Metadata: report, PublicShare: shares.PublicShare, InputShare: sealed})
	check(err)
	fmt.Println(report.Time, bytes.Equal(opened.Payload, shares.InputShares[1]))
	// Output: 499668 true
}

// A server reads an upload as it arrives, and answers with the reports that it
// refuses.
func ExampleCodec_ReadUploadRequest() {
	codec := dap.NewCodec(dap.DAP18())
	sealed := dap.HpkeCiphertext{ConfigID: 1, Enc: []byte{1}, Payload: []byte{2}}
	body, err := codec.Encode(&dap.UploadRequest{Reports: []dap.Report{
		{Metadata: dap.ReportMetadata{ID: dap.ReportID{1}, Time: 100}, LeaderShare: sealed, HelperShare: sealed},
		{Metadata: dap.ReportMetadata{ID: dap.ReportID{2}, Time: 900}, LeaderShare: sealed, HelperShare: sealed},
	}})
	check(err)

	var refused dap.UploadErrors
	for report, err := range codec.ReadUploadRequest(bytes.NewReader(body)).All() {
		check(err)
		if report.Metadata.Time > 500 {
			refused.Status = append(refused.Status, dap.ReportUploadStatus{ID: report.Metadata.ID, Error: dap.ReportTooEarly})
		}
	}
	answer, err := codec.Encode(&refused)
	check(err)
	fmt.Printf("%x\n", answer)
	// Output: 0200000000000000000000000000000009
}

func ExampleAbort_Document() {
	abort := &dap.Abort{Type: dap.ProblemBatchOverlap, Detail: "the batch was collected"}
	document, err := abort.Document(400, nil)
	check(err)
	fmt.Println(string(document))
	// Output: {"type":"urn:ietf:params:ppm:dap:error:batchOverlap","title":"reports of the batch were collected before","status":400,"detail":"the batch was collected"}
}
