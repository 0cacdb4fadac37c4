package helper

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// fresh is a response in which n reports are answered.
func fresh(n int) *dap.AggregationJobResp {
	resp := &dap.AggregationJobResp{}
	for i := range n {
		resp.VerifyResps = append(resp.VerifyResps, dap.VerifyResp{ID: dap.ReportID{byte(i), byte(i >> 8)}, Type: dap.RespContinue, Payload: []byte{7, byte(i)}})
	}
	return resp
}

// What is kept of a response makes it again, and is short.
func TestVerdicts(t *testing.T) {
	for _, v := range []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} {
		c := dap.NewCodec(v)
		want := fresh(1000)
		for i, e := range map[int]dap.ReportError{0: dap.DecryptError, 1: dap.DecryptError, 500: dap.ReportReplayed, 999: dap.BatchCollected} {
			r := &want.VerifyResps[i]
			*r = dap.VerifyResp{ID: r.ID, Type: dap.RespReject, Error: e}
		}
		kept, err := verdictsOf(c, want)
		if err != nil || len(kept) > 16 {
			t.Fatalf("%v: %d bytes, %v", v, len(kept), err)
		}
		got := fresh(1000)
		if err := apply(c, kept, got); err != nil {
			t.Fatal(err)
		}
		a, err1 := c.Encode(want)
		b, err2 := c.Encode(got)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%v: another response: %v, %v", v, err1, err2)
		}
		// A report that counted and cannot be answered any more.
		got = fresh(1000)
		got.VerifyResps[7] = dap.VerifyResp{Type: dap.RespReject, Error: dap.DecryptError}
		if apply(c, kept, got) == nil {
			t.Errorf("%v: a report that counted is answered as refused", v)
		}
		for _, n := range []int{999, 1001} {
			if apply(c, kept, fresh(n)) == nil {
				t.Errorf("%v: verdicts on 1000 reports fit %d", v, n)
			}
		}
	}
}

// FuzzVerdicts: whatever is on the disk, it fits the request or is refused,
// and what fits is what would be kept of the result.
func FuzzVerdicts(f *testing.F) {
	f.Add([]byte{0, 2, 5, 1}, uint8(3))
	f.Add([]byte{0, 0x80}, uint8(3))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, kept []byte, n uint8) {
		c := dap.NewCodec(dap.DAP18())
		resp := fresh(int(n))
		if apply(c, kept, resp) != nil {
			return
		}
		again, err := verdictsOf(c, resp)
		if err != nil {
			t.Fatal(err)
		}
		second := fresh(int(n))
		if err := apply(c, again, second); err != nil {
			t.Fatal(err)
		}
		a, err1 := c.Encode(resp)
		b, err2 := c.Encode(second)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("%x makes another response than %x (%v, %v)", again, kept, err1, err2)
		}
	})
}
