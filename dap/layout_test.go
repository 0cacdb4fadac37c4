package dap_test

import (
	"encoding/hex"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/golden"
)

// A layout is a structure and its bytes, written down by hand: one line for each
// field of the draft's structure, in the draft's order, with the field's name
// behind it. They were compared with draft-ietf-ppm-dap-18 (the section is in the
// comment above each) and, where janus differs, with the messages that Janus had on
// 2026-08-20. The code under test had no part in them.
type layout struct {
	name     string
	variants string // in which it holds: space-separated
	value    dap.Structure
	lines    []string
}

const (
	id10  = "101112131415161718191a1b1c1d1e1f" // reportID(0x10)
	id20  = "202122232425262728292a2b2c2d2e2f"
	id32  = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" // batchID(0x40)
	sealA = "01 0002 e1e2 00000003 c1c2c3"                                     // ciphertext(1): config_id, enc, payload
	sealB = "02 0002 e1e2 00000003 c1c2c3"
	all   = "dap-18 dap-19 janus"
)

func metadata() dap.ReportMetadata {
	return dap.ReportMetadata{ID: reportID(0x10), Time: 0x0102030405060708, PublicExtensions: []byte{0x12, 0x34, 0, 1, 0xff}}
}

func verifyInit() dap.VerifyInit {
	return dap.VerifyInit{
		Share:   dap.ReportShare{Metadata: metadata(), PublicShare: []byte{0xaa}, InputShare: ciphertext(2)},
		Payload: []byte{0, 0, 0, 0, 1, 0xbb},
	}
}

var _ = []dap.Message{ // each message is a pointer
	(*dap.HpkeConfigList)(nil), (*dap.UploadRequest)(nil), (*dap.UploadErrors)(nil), (*dap.AggregationJobInitReq)(nil),
	(*dap.AggregationJobResp)(nil), (*dap.AggregationJobContinueReq)(nil), (*dap.AggregateShareReq)(nil),
	(*dap.AggregateShare)(nil), (*dap.CollectionJobReq)(nil), (*dap.CollectionJobResp)(nil),
}

func layouts() []layout {
	return append(uploadLayouts(), append(aggregationLayouts(), collectionLayouts()...)...)
}

func uploadLayouts() []layout {
	config := configuration()
	noisy := configuration()
	noisy.Extensions = append(noisy.Extensions, dap.Extension{Type: dap.TaskNoise, Data: []byte{1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2}})
	empty := configuration()
	empty.TaskInfo, empty.Extensions = nil, nil
	return []layout{
		// «HPKE Configuration Request»
		{"hpke-config-list", all, &dap.HpkeConfigList{
			{ID: 194, KEM: 0x0010, KDF: 1, AEAD: 1, PublicKey: []byte{1, 2, 3, 4}},
			{ID: 17, KEM: 0x0020, KDF: 1, AEAD: 3, PublicKey: []byte{4}},
		}, []string{
			"0017 // bytes of the list: 13 + 10",
			"c2 0010 0001 0001 0004 01020304 // id, kem_id, kdf_id, aead_id, public_key",
			"11 0020 0001 0003 0001 04",
		}},
		// «Upload Request»
		{"upload-req", all, &dap.UploadRequest{Reports: []dap.Report{
			{Metadata: metadata(), PublicShare: []byte{0xaa}, LeaderShare: ciphertext(1), HelperShare: ciphertext(2)},
			{Metadata: dap.ReportMetadata{ID: reportID(0x20)}, LeaderShare: ciphertext(2), HelperShare: ciphertext(1)},
		}}, []string{
			id10 + " // report_id",
			"0102030405060708 // time",
			"0005 1234 0001 ff // public_extensions: extension_type, extension_data",
			"00000001 aa // public_share",
			sealA + " // leader_encrypted_input_share",
			sealB + " // helper_encrypted_input_share",
			id20,
			"0000000000000000",
			"0000",
			"00000000",
			sealB,
			sealA,
		}},
		// «Leader Behavior»; codes of «Basic Type Definitions»
		{"upload-errors", "dap-18", &dap.UploadErrors{Status: []dap.ReportUploadStatus{
			{ID: reportID(0x10), Error: dap.OutdatedConfig}, {ID: reportID(0x20), Error: dap.InvalidMessage},
		}}, []string{id10 + "0b // id, error", id20 + "08"}},
		{"upload-errors", "dap-19", &dap.UploadErrors{Status: []dap.ReportUploadStatus{
			{ID: reportID(0x10), Error: dap.UnsupportedExtension}, {ID: reportID(0x20), Error: dap.InvalidMessage},
		}}, []string{id10 + "0a", id20 + "07"}},
		{"upload-errors", "janus", &dap.UploadErrors{Status: []dap.ReportUploadStatus{
			{ID: reportID(0x10), Error: dap.TaskNotStarted}, {ID: reportID(0x20), Error: dap.InvalidMessage},
		}}, []string{id10 + "0a", id20 + "08"}},
		// «Client Behavior»
		{"plaintext-input-share", all, &dap.PlaintextInputShare{
			PrivateExtensions: []byte{0, 9, 0, 0}, Payload: []byte{5, 6},
		}, []string{"0004 0009 0000 // private_extensions", "00000002 0506 // payload"}},
		// «Task Configuration», «VDAF Configuration Encodings», «Task Interval Task Extension»
		{"task-configuration", all, &config, []string{
			"04 696e666f // task_info",
			"0012 68747470733a2f2f612e6578616d706c652f // leader_aggregator_endpoint",
			"0015 68747470733a2f2f622e6578616d706c652f646170 // helper_aggregator_endpoint",
			"0000000000000e10 // time_precision",
			"0000000000000064 // min_batch_size",
			"01 // batch_mode",
			"0000 // batch_config",
			"00000004 // vdaf_type",
			"0008 0000000a 00000003 // vdaf_configuration: length, chunk_length",
			"0014 0001 0010 0000000000075300 0000000000000018 // extensions: task_interval: start, duration",
		}},
		// The extension of NoiseConfiguration
		{"task-configuration-noise", all, &noisy, []string{
			"04 696e666f",
			"0012 68747470733a2f2f612e6578616d706c652f",
			"0015 68747470733a2f2f622e6578616d706c652f646170",
			"0000000000000e10 0000000000000064 01 0000 00000004 0008 0000000a 00000003",
			"0029 0001 0010 0000000000075300 0000000000000018 // extensions: task_interval",
			"ff53 0011 01 00000001 00000002 0000000000000002 // noise: discrete Laplace, epsilon 1/2, sensitivity 2",
		}},
		{"task-configuration-empty-info", "dap-19 janus", &empty, []string{
			"00",
			"0012 68747470733a2f2f612e6578616d706c652f",
			"0015 68747470733a2f2f622e6578616d706c652f646170",
			"0000000000000e10 0000000000000064 01 0000 00000004 0008 0000000a 00000003 0000",
		}},
	}
}

func aggregationLayouts() []layout {
	batch := batchID(0x40)
	withBatch := dap.AggregationJobHeader{VerificationKey: 7, Extensions: []dap.Extension{{Type: dap.LeaderSelectedBatchID, Data: batch[:]}}}
	element := []string{
		id10 + " // report_share.report_metadata.report_id",
		"0102030405060708 // time",
		"0005 1234 0001 ff // public_extensions",
		"00000001 aa // public_share",
		sealB + " // encrypted_input_share",
		"00000006 0000000001bb // payload: initialize, one byte",
	}
	return []layout{
		// «Leader Initialization», «Aggregation Job Extensions»
		{
			"aggregation-job-init-req", "dap-18 dap-19", &dap.AggregationJobInitReq{AggregationJobHeader: withBatch, VerifyInits: []dap.VerifyInit{verifyInit()}},
			append([]string{
				"07 // verification_key_id",
				"00000000 // agg_param",
				"0024 0001 0020" + id32 + " // extensions: leader_selected_batch_id",
			}, element...),
		},
		{"aggregation-job-init-req", "janus", &dap.AggregationJobInitReq{
			AggregationJobHeader: dap.AggregationJobHeader{VerificationKey: 7, Selector: dap.PartialBatchSelector{Mode: dap.LeaderSelectedMode, Config: batch[:]}},
			VerifyInits:          []dap.VerifyInit{verifyInit()},
		}, append([]string{
			"07 // verification_key_id",
			"00000000 // agg_param",
			"02 0020" + id32 + " // partial batch selector: batch_mode, config",
			"0000003a // bytes of verify_inits: 16+8+2+5 + 4+1 + 1+2+2+4+3 + 4+6",
		}, element...)},
		// «Helper Initialization»
		{"aggregation-job-resp", "dap-18", &dap.AggregationJobResp{VerifyResps: resps(dap.TaskExpired)}, []string{
			id10 + "00 00000002 0506 // report_id, continue, payload",
			id20 + "01 // finish",
			id10 + "02 07 // reject, report_error",
		}},
		{"aggregation-job-resp", "dap-19", &dap.AggregationJobResp{VerifyResps: resps(dap.UnknownVerificationKey)}, []string{
			id10 + "00 00000002 0506", id20 + "01", id10 + "02 09",
		}},
		{"aggregation-job-resp", "janus", &dap.AggregationJobResp{VerifyResps: resps(dap.TaskExpired)}, []string{
			"0000003a // 16+1+4+2 + 16+1 + 16+1+1", id10 + "00 00000002 0506", id20 + "01", id10 + "02 07",
		}},
		// «Leader Continuation»
		{"aggregation-job-continue-req", "dap-18 dap-19", &dap.AggregationJobContinueReq{Step: 1, VerifyContinues: []dap.VerifyContinue{{ID: reportID(0x20), Payload: []byte{9}}}}, []string{
			"0001 // step", id20 + " // report_id", "00000001 09 // payload",
		}},
		{"aggregation-job-continue-req", "janus", &dap.AggregationJobContinueReq{Step: 1, VerifyContinues: []dap.VerifyContinue{{ID: reportID(0x20), Payload: []byte{9}}}}, []string{
			"0001", "00000015 // 16+4+1", id20, "00000001 09",
		}},
	}
}

func resps(reject dap.ReportError) []dap.VerifyResp {
	return []dap.VerifyResp{
		{ID: reportID(0x10), Type: dap.RespContinue, Payload: []byte{5, 6}},
		{ID: reportID(0x20), Type: dap.RespFinish},
		{ID: reportID(0x10), Type: dap.RespReject, Error: reject},
	}
}

func collectionLayouts() []layout {
	interval := dap.Interval{Start: 0x0a, Duration: 2}
	job := dap.CollectionJobReq{Query: dap.IntervalQuery(interval), AggParam: []byte{0xee}, Extensions: []dap.Extension{{Type: 3, Data: []byte{1}}}}
	next := dap.CollectionJobReq{Query: dap.NextBatchQuery()}
	return []layout{
		// «Collection Job Initialization», «Time Interval», «Collection Job Extensions»
		{"collection-job-req", all, &job, []string{
			"01 0010 000000000000000a 0000000000000002 // query: batch_mode, config: batch_interval",
			"00000001 ee // agg_param",
			"0005 0003 0001 01 // extensions",
		}},
		{"collection-job-req-next", all, &next, []string{"02 0000", "00000000", "0000"}},
		{"collection-job-resp", all, &dap.CollectionJobResp{ReportCount: 1000, Interval: interval, LeaderShare: ciphertext(1), HelperShare: ciphertext(2)}, []string{
			"00000000000003e8 // report_count",
			"000000000000000a 0000000000000002 // interval",
			sealA + " // leader_encrypted_agg_share",
			sealB + " // helper_encrypted_agg_share",
		}},
		// «Obtaining Aggregate Shares»
		{"aggregate-share-req", all, &dap.AggregateShareReq{Job: next, Selector: dap.BatchIDSelector(batchID(0x40)), ReportCount: 1000, Checksum: dap.Checksum(batchID(0x40))}, []string{
			"02 0000 00000000 0000 // collection_job_req",
			"02 0020 " + id32 + " // batch_selector: batch_mode, config: batch_id",
			"00000000000003e8 // report_count",
			id32 + " // checksum",
		}},
		{"aggregate-share-req-interval", all, &dap.AggregateShareReq{Job: job, Selector: dap.IntervalSelector(interval), ReportCount: 1}, []string{
			"01 0010 000000000000000a 0000000000000002 00000001 ee 0005 0003 0001 01",
			"01 0010 000000000000000a 0000000000000002",
			"0000000000000001",
			strings.Repeat("00", 32),
		}},
		{"aggregate-share", all, &dap.AggregateShare{Encrypted: ciphertext(1)}, []string{sealA + " // encrypted_aggregate_share"}},
	}
}

// bytes returns the bytes of the lines.
func (l *layout) bytes(t testing.TB) []byte {
	t.Helper()
	var text strings.Builder
	for _, line := range l.lines {
		field, _, _ := strings.Cut(line, "//")
		text.WriteString(strings.ReplaceAll(field, " ", ""))
	}
	b, err := hex.DecodeString(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forEachLayout runs a test for every structure in every variant that has it.
func forEachLayout(t *testing.T, test func(*testing.T, *dap.Variant, *layout)) {
	t.Helper()
	for _, l := range layouts() {
		for _, v := range variants() {
			if strings.Contains(" "+l.variants+" ", " "+v.String()+" ") {
				t.Run(v.String()+"/"+l.name, func(t *testing.T) { test(t, v, &l) })
			}
		}
	}
}

func fresh(m dap.Structure) dap.Structure {
	return reflect.New(reflect.TypeOf(m).Elem()).Interface().(dap.Structure)
}

func TestLayouts(t *testing.T) {
	forEachLayout(t, func(t *testing.T, v *dap.Variant, l *layout) {
		want := l.bytes(t)
		got := mustEncode(t, v, l.value)
		if !equal(got, want) {
			t.Errorf("encoding is\n%x, want\n%x", got, want)
		}
		back := fresh(l.value)
		if err := dap.NewCodec(v).Decode(back, want); err != nil {
			t.Fatal(err)
		}
		if again := mustEncode(t, v, back); !equal(again, want) {
			t.Errorf("decoded and encoded again it is\n%x", again)
		}
	})
}

// TestGolden holds the encodings of this version against the files that earlier
// ones committed: testdata/golden/VARIANT/NAME.hex. -update writes them,
// and the seeds of the fuzz targets; they come from our encoder, whose every
// field TestLayouts compares with lines that were written by hand.
func TestGolden(t *testing.T) {
	forEachLayout(t, func(t *testing.T, v *dap.Variant, l *layout) {
		file := filepath.Join("testdata", "golden", v.String(), l.name+".hex")
		got := mustEncode(t, v, l.value)
		golden.Equal(t, file, []byte(hex.EncodeToString(got)+"\n"))
		if golden.Updating() {
			writeSeeds(t, v, l, got)
		}
	})
}

// Threat: a message that is cut off, or to which something was added, must not
// pass for another. A message that the body ends may be cut between two elements
// and is then a shorter one, never the same.
func TestTruncatedAndTrailing(t *testing.T) {
	forEachLayout(t, func(t *testing.T, v *dap.Variant, l *layout) {
		whole := l.bytes(t)
		c := dap.NewCodec(v)
		for n := range whole {
			m := fresh(l.value)
			err := c.Decode(m, whole[:n])
			if err == nil && !openEnded(v, l.value) {
				t.Errorf("the first %d of %d bytes are accepted", n, len(whole))
			}
			if err == nil && !equal(mustEncode(t, v, m), whole[:n]) {
				t.Errorf("the first %d bytes are taken for another message", n)
			}
			if err != nil && !errors.Is(err, dap.ErrMalformed) {
				t.Errorf("the first %d bytes: %v, want ErrMalformed", n, err)
			}
		}
		for _, extra := range []byte{0, 1, 0xff} {
			if err := c.Decode(fresh(l.value), append(whole[:len(whole):len(whole)], extra)); !errors.Is(err, dap.ErrMalformed) {
				t.Errorf("with a byte %#x after the end: %v, want ErrMalformed", extra, err)
			}
		}
	})
}

// openEnded reports whether the body ends the message.
func openEnded(v *dap.Variant, m dap.Structure) bool {
	switch m.(type) {
	case *dap.UploadRequest, *dap.UploadErrors:
		return true
	case *dap.AggregationJobInitReq, *dap.AggregationJobResp, *dap.AggregationJobContinueReq:
		return v.String() != "janus"
	}
	return false
}
