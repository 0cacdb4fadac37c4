package helper_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// FuzzHandler: whatever is sent to whatever path, with the leader's token, the
// helper answers without a panic, never blames itself, and with a problem document
// or what the protocol has there.
func FuzzHandler(f *testing.F) {
	worlds := make([]*world, 0, 3)
	for _, v := range variants() {
		w := newWorld(f, v, dap.TimeIntervalMode)
		_, body := w.init(dap.BatchID{}, w.report(1), w.report(2))
		a := w.createJob(1, body)
		n := len(worlds)
		worlds = append(worlds, w)
		method, path := v.CreateAggregationJob(w.task.ID(), dap.AggregationJobID{1})
		f.Add(uint8(n), method, path, string(dap.TypeAggregationJobInitReq), body)
		f.Add(uint8(n), "GET", jobPath(f, a.Header().Get("Location"))+"?step=0", "", []byte{})
		f.Add(uint8(n), "POST", jobPath(f, a.Header().Get("Location")), string(dap.TypeAggregationJobContinueReq), []byte{0, 1})
		method, path = v.CreateAggregateShare(w.task.ID(), dap.AggregateShareID{1})
		f.Add(uint8(n), method, path, string(dap.TypeAggregateShareReq), w.shareBody(2))
		f.Add(uint8(n), "DELETE", dap.AggregateSharePath(w.task.ID(), dap.AggregateShareID{2}), "", []byte{})
	}
	f.Add(uint8(0), "GET", "hpke_config", "", []byte{})
	f.Fuzz(func(t *testing.T, n uint8, method, path, kind string, body []byte) {
		w := worlds[int(n)%len(worlds)]
		r, err := http.NewRequestWithContext(t.Context(), method, "http://b.example/"+path, bytes.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", dap.MessageType(kind).MediaType())
		w.token.SetBearer(r.Header)
		a := httptest.NewRecorder()
		w.handler.ServeHTTP(a, r)
		if a.Code >= 500 || len(w.errs) > 0 {
			t.Fatalf("%s %s: %d %s (%v)", method, path, a.Code, a.Body, w.errs)
		}
		if a.Code >= 400 && a.Header().Get("Content-Type") != dap.ProblemMediaType {
			t.Fatalf("%s %s: %d without a problem document", method, path, a.Code)
		}
		if a.Code >= 400 || a.Body.Len() == 0 {
			return
		}
		if a.Code >= 300 {
			return // the mux cleans paths
		}
		got, err := dap.ParseMediaType(a.Header().Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := dap.NewMessage(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.task.Codec().Decode(m, a.Body.Bytes()); err != nil {
			t.Fatalf("%s %s: a malformed answer: %v", method, path, err)
		}
	})
}

// FuzzJob: a job of which some bytes are changed is refused, or each of its reports
// is answered; the same request has the same answer; and nothing counts that a
// client has not sent.
func FuzzJob(f *testing.F) {
	w := newWorld(f, dap.DAP19(), dap.TimeIntervalMode)
	good := []dap.Report{w.report(1), w.report(2)}
	_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, good, w.clock.Now(), w.leaderRing)
	w.must(err)
	whole := w.encode(req)
	f.Add(uint16(0), byte(0), uint16(0), byte(0))
	f.Add(uint16(30), byte(1), uint16(200), byte(0x80))
	f.Fuzz(func(t *testing.T, i uint16, x byte, j uint16, y byte) {
		w := newWorld(t, dap.DAP19(), dap.TimeIntervalMode)
		body := bytes.Clone(whole)
		body[int(i)%len(body)] ^= x
		body[int(j)%len(body)] ^= y
		a := w.createJob(1, body)
		b := w.createJob(1, body)
		if a.Code >= 500 || len(w.errs) > 0 {
			t.Fatalf("%d %s (%v)", a.Code, a.Body, w.errs)
		}
		if !bytes.Equal(a.Body.Bytes(), b.Body.Bytes()) {
			t.Fatal("two answers to one request")
		}
		if a.Code >= 400 {
			return
		}
		counted := uint64(0)
		for _, r := range w.response(a).VerifyResps {
			if r.Type != dap.RespContinue {
				continue
			}
			counted++
			if r.ID != good[0].Metadata.ID && r.ID != good[1].Metadata.ID {
				t.Fatalf("report %v counts, which no client has sent", r.ID)
			}
		}
		if total := w.total(selectorOf(unit)); total.Count != counted {
			t.Fatalf("%d reports count, %d were answered so", total.Count, counted)
		}
	})
}
