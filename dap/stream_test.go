package dap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/shoal-project/shoal/dap"
)

// smallLimits are below what the layouts need in the field that a test changes.
func smallLimits() dap.Limits {
	return dap.Limits{Body: 1 << 16, Reports: 3, PublicShare: 8, Ciphertext: 8, Payload: 8, Extensions: 64}
}

// Threat: memory. What is beyond a limit is refused by its length alone, before
// its bytes are there.
func TestLimits(t *testing.T) {
	report := mustEncode(t, dap.DAP18(), &dap.UploadRequest{Reports: []dap.Report{
		{Metadata: metadata(), PublicShare: []byte{0xaa}, LeaderShare: ciphertext(1), HelperShare: ciphertext(2)},
	}})
	announce := func(at, width int, n uint32) []byte {
		b := bytes.Clone(report[:at+width])
		switch width {
		case 2:
			binary.BigEndian.PutUint16(b[at:], uint16(n))
		case 4:
			binary.BigEndian.PutUint32(b[at:], n)
		}
		return b
	}
	tests := []struct {
		name   string
		body   []byte
		change func(*dap.Limits)
	}{
		{"body", report, func(l *dap.Limits) { l.Body = int64(len(report)) - 1 }},
		{"reports", bytes.Repeat(report, 4), func(*dap.Limits) {}},
		{"extensions", announce(24, 2, 65), func(*dap.Limits) {}},
		{"public share", announce(31, 4, 9), func(*dap.Limits) {}},
		{"ciphertext", announce(41, 4, 1<<32-1), func(*dap.Limits) {}},
	}
	for _, tt := range tests {
		l := smallLimits()
		tt.change(&l)
		c := dap.NewCodec(dap.DAP18()).WithLimits(l)
		if err := c.Decode(new(dap.UploadRequest), tt.body); !errors.Is(err, dap.ErrLimit) {
			t.Errorf("%s: %v, want ErrLimit", tt.name, err)
		}
		// The reader would fail the test if the stream wanted more.
		more := iotest.ErrReader(errors.New("the stream waits for more"))
		if tt.name == "body" {
			more = strings.NewReader("")
		}
		_, _, err := restream(c, new(dap.UploadRequest), io.MultiReader(bytes.NewReader(tt.body), more))
		if !errors.Is(err, dap.ErrLimit) {
			t.Errorf("%s as a stream: %v, want ErrLimit", tt.name, err)
		}
	}
	if err := dap.NewCodec(dap.DAP18()).WithLimits(smallLimits()).Decode(new(dap.UploadRequest), bytes.Repeat(report, 3)); err != nil {
		t.Errorf("three reports within the limits: %v", err)
	}
}

// A stream of more than one chunk, with elements larger than a chunk.
func TestLongStream(t *testing.T) {
	for _, v := range variants() {
		c := dap.NewCodec(v)
		var req dap.AggregationJobInitReq
		for i := range 120 {
			e := verifyInit()
			e.Share.Metadata.ID[0] = byte(i)
			e.Payload = bytes.Repeat([]byte{byte(i)}, 1+i*i*8)
			req.VerifyInits = append(req.VerifyInits, e)
		}
		body := mustEncode(t, v, &req)
		for _, in := range []io.Reader{bytes.NewReader(body), iotest.HalfReader(bytes.NewReader(body)), iotest.DataErrReader(bytes.NewReader(body))} {
			got, _, err := restream(c, &req, in)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%v: %d bytes, %v, want %d", v, len(got), err, len(body))
			}
		}
		// Elements stay as they are while the stream goes on.
		_, s, err := c.ReadAggregationJobInitReq(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var kept []dap.VerifyInit
		for e, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, e)
		}
		req.VerifyInits = kept
		if again := mustEncode(t, v, &req); !bytes.Equal(again, body) {
			t.Errorf("%v: elements were overwritten", v)
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%v: after the end: %v", v, err)
		}
	}
}

// An error of the network is not an error of the message, and neither is the end
// of it.
func TestStreamErrors(t *testing.T) {
	broken := errors.New("connection reset")
	for _, v := range variants() {
		c := dap.NewCodec(v)
		for _, m := range []dap.Message{new(dap.UploadRequest), new(dap.UploadErrors), new(dap.AggregationJobInitReq), new(dap.AggregationJobResp), new(dap.AggregationJobContinueReq)} {
			if _, _, err := restream(c, m, iotest.ErrReader(broken)); !errors.Is(err, broken) {
				t.Errorf("%v, %s: %v, want the reader's error", v, m.Type(), err)
			}
			if _, _, err := restream(c, m, silent{}); !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("%v, %s: %v, want no progress", v, m.Type(), err)
			}
		}
		s := c.ReadUploadRequest(strings.NewReader("\x01"))
		_, first := s.Next()
		if _, again := s.Next(); !errors.Is(first, dap.ErrMalformed) || fmt.Sprint(again) != fmt.Sprint(first) {
			t.Errorf("%v: first %v, then %v", v, first, again)
		}
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestWriterErrors(t *testing.T) {
	c := dap.NewCodec(dap.DAP18())
	w := c.WriteUploadErrors(failing{})
	if err := w.Write(&dap.ReportUploadStatus{Error: dap.UnsupportedExtension}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("%v, want ErrMalformed", err)
	}
	if err := w.Close(); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("closed after an error: %v", err)
	}
	w = c.WriteUploadErrors(failing{})
	if err := w.Write(&dap.ReportUploadStatus{Error: dap.ReportDropped}); err != nil {
		t.Error(err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("closed on a broken pipe: %v", err)
	}
	ok := c.WriteAggregationJobResp(io.Discard)
	if err := ok.Close(); err != nil {
		t.Error(err)
	}
	if err := ok.Write(&dap.VerifyResp{}); err == nil {
		t.Error("written after Close")
	}
	if _, err := dap.NewCodec(dap.Janus()).WriteAggregationJobInitReq(io.Discard, &dap.AggregationJobHeader{Extensions: []dap.Extension{{Type: 1}}}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("extensions in janus: %v", err)
	}
	if _, err := c.WriteAggregationJobInitReq(io.Discard, &dap.AggregationJobHeader{Selector: dap.PartialBatchSelector{Mode: 1}}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("a selector in draft-18: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Values that no encoding has.
func TestNoEncoding(t *testing.T) {
	two := newKey(t, 1, 0x20).Config()
	empty := ciphertext(1)
	empty.Enc = nil
	noPayload := ciphertext(1)
	noPayload.Payload = nil
	config := configuration()
	config.Leader = ""
	long := configuration()
	long.Helper = strings.Repeat("x", 1<<16)
	for name, m := range map[string]dap.Structure{
		"no configurations":     &dap.HpkeConfigList{},
		"two of one ID":         &dap.HpkeConfigList{two, two},
		"no public key":         &dap.HpkeConfigList{{ID: 1}},
		"no encapsulated key":   &dap.AggregateShare{Encrypted: empty},
		"no ciphertext":         &dap.AggregateShare{Encrypted: noPayload},
		"no input share":        &dap.PlaintextInputShare{},
		"no ping-pong message":  &dap.AggregationJobContinueReq{VerifyContinues: []dap.VerifyContinue{{}}},
		"no message in resp":    &dap.AggregationJobResp{VerifyResps: []dap.VerifyResp{{Type: dap.RespContinue}}},
		"unknown response type": &dap.AggregationJobResp{VerifyResps: []dap.VerifyResp{{Type: 3}}},
		"no error":              &dap.AggregationJobResp{VerifyResps: []dap.VerifyResp{{Type: dap.RespReject}}},
		"no leader":             &config,
		"long URL":              &long,
		"long extensions":       &dap.CollectionJobReq{Extensions: []dap.Extension{{Type: 1, Data: make([]byte, 1<<16-1)}}},
		"long report extension": &dap.PlaintextInputShare{PrivateExtensions: make([]byte, 1<<16), Payload: []byte{1}},
	} {
		for _, v := range variants() {
			if _, err := dap.NewCodec(v).Encode(m); !errors.Is(err, dap.ErrMalformed) {
				t.Errorf("%v: %s: %v, want ErrMalformed", v, name, err)
			}
		}
	}
	// The same on the way in.
	for name, s := range map[string]string{
		"two of one ID":         "001a 01 0020 0001 0001 0004 01020304 01 0020 0001 0001 0004 01020304",
		"nine bytes":            "0009 01 0020 0001 0001 0000",
		"a part of an element":  "000c 01 0020 0001 0001 0004 010203",
		"too short an element":  "000e 01 0020 0001 0001 0004 01020304 01",
		"a list of no elements": "0000",
	} {
		if err := dap.NewCodec(dap.DAP18()).Decode(new(dap.HpkeConfigList), unhex(t, s)); !errors.Is(err, dap.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

// Threat: what one client writes must not spoil a message of many reports.
func TestReportExtensions(t *testing.T) {
	v := dap.DAP19()
	list := func(types ...uint16) dap.Extensions {
		var b []byte
		for _, n := range types {
			b = append(b, byte(n>>8), byte(n), 0, 1, 7)
		}
		return b
	}
	tests := []struct {
		name            string
		public, private dap.Extensions
		known           []uint16
		want            dap.ReportError
	}{
		{"none", nil, nil, nil, 0},
		{"known", list(5), list(6), []uint16{5, 6}, 0},
		{"unknown public", list(5, 7), list(6), []uint16{5, 6}, dap.UnsupportedExtension},
		{"unknown private", list(5), list(6, 7), []uint16{5, 6}, dap.UnsupportedExtension},
		{"same in both", list(5), list(5), []uint16{5}, dap.InvalidMessage},
		{"same in one", list(5, 5), nil, []uint16{5}, dap.InvalidMessage},
		{"out of order", list(6, 5), nil, []uint16{5, 6}, dap.InvalidMessage},
		{"out of order, private", nil, list(6, 5), []uint16{5, 6}, dap.InvalidMessage},
		{"reserved", list(0), nil, []uint16{0}, dap.InvalidMessage},
		{"cut off", list(5)[:4], nil, []uint16{5}, dap.InvalidMessage},
		{"cut off, private", nil, list(5)[:1], []uint16{5}, dap.InvalidMessage},
	}
	for _, tt := range tests {
		if got := v.CheckReportExtensions(tt.public, tt.private, tt.known...); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		md := dap.ReportMetadata{PublicExtensions: tt.public}
		req := dap.UploadRequest{Reports: []dap.Report{{Metadata: md, LeaderShare: ciphertext(1), HelperShare: ciphertext(2)}}}
		if err := dap.NewCodec(v).Decode(new(dap.UploadRequest), mustEncode(t, v, &req)); err != nil {
			t.Errorf("%s: the request is refused: %v", tt.name, err)
		}
	}
	if _, err := dap.NewExtensions(dap.Extension{Type: 2}, dap.Extension{Type: 1}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("extensions out of order: %v", err)
	}
	if _, err := dap.NewExtensions(dap.Extension{Type: 2, Data: make([]byte, 1<<16-4)}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("too long extensions: %v", err)
	}
}

func TestCollectionExtensions(t *testing.T) {
	for _, tt := range []struct {
		types []uint16
		want  dap.ProblemType
	}{
		{nil, ""}, {[]uint16{3, 9}, dap.ProblemUnsupportedExtension}, {[]uint16{9, 3}, dap.ProblemInvalidExtension}, {[]uint16{0}, dap.ProblemInvalidExtension},
	} {
		var list []dap.Extension
		for _, n := range tt.types {
			list = append(list, dap.Extension{Type: n})
		}
		err := dap.CheckCollectionExtensions(list)
		abort := dap.AbortOf(err)
		if tt.want == "" && err != nil || tt.want != "" && (abort == nil || abort.Type != tt.want) {
			t.Errorf("%v: %v, want %s", tt.types, err, tt.want)
		}
		if tt.want == dap.ProblemUnsupportedExtension && fmt.Sprint(abort.Unsupported) != "[3 9]" {
			t.Errorf("unsupported: %v", abort.Unsupported)
		}
	}
}
