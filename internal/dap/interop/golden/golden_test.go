package golden_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/collector"
	collectortest "github.com/shoal-project/shoal/internal/dap/collector/storetest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/interop/golden"
	"github.com/shoal-project/shoal/internal/durable"
)

// structure is an empty message of a media type.
func structure(mediaType string) dap.Structure {
	kind, err := dap.ParseMediaType(mediaType)
	if err != nil {
		return nil
	}
	switch kind {
	case dap.TypeHpkeConfigList:
		return new(dap.HpkeConfigList)
	case dap.TypeUploadRequest:
		return new(dap.UploadRequest)
	case dap.TypeUploadErrors:
		return new(dap.UploadErrors)
	case dap.TypeAggregationJobInitReq:
		return new(dap.AggregationJobInitReq)
	case dap.TypeAggregationJobResp:
		return new(dap.AggregationJobResp)
	case dap.TypeCollectionJobReq:
		return new(dap.CollectionJobReq)
	case dap.TypeCollectionJobResp:
		return new(dap.CollectionJobResp)
	case dap.TypeAggregateShareReq:
		return new(dap.AggregateShareReq)
	case dap.TypeAggregateShare:
		return new(dap.AggregateShare)
	}
	return nil
}

// TestEncodings: our codec reads every message of the records, and writes the same
// bytes again. Every kind of message is among them, in both directions.
func TestEncodings(t *testing.T) {
	codec := dap.NewCodec(dap.Janus())
	seen := map[string]int{} // by message and writer
	for name, f := range files(t) {
		parts := map[string]string{
			"client": f.Pairing.Client, "collector": f.Pairing.Collector, "leader": f.Pairing.Leader, "helper": f.Pairing.Helper,
		}
		check := func(mediaType string, body []byte, by string) {
			if len(body) == 0 {
				return
			}
			if mediaType == dap.ProblemMediaType {
				if _, err := dap.ParseDocument(body); err != nil {
					t.Errorf("%s: %s: %v", name, body, err)
				}
				return
			}
			m := structure(mediaType)
			if m == nil {
				t.Errorf("%s: a body of media type %q", name, mediaType)
				return
			}
			if err := codec.Decode(m, body); err != nil {
				t.Errorf("%s: %s: %v", name, mediaType, err)
				return
			}
			if again, err := codec.Encode(m); err != nil || !bytes.Equal(again, body) {
				t.Errorf("%s: %s: encoded again it is another message (%v)", name, mediaType, err)
			}
			seen[mediaType+" by "+by]++
		}
		for _, e := range f.Exchanges {
			check(e.Type, e.Body, parts[e.From])
			check(e.AnswerType, e.Answer, parts[e.To])
		}
	}
	for _, kind := range []dap.MessageType{
		dap.TypeHpkeConfigList, dap.TypeUploadRequest, dap.TypeAggregationJobInitReq, dap.TypeAggregationJobResp, dap.TypeCollectionJobReq,
		dap.TypeCollectionJobResp, dap.TypeAggregateShareReq, dap.TypeAggregateShare,
	} {
		for _, by := range []string{golden.Janus, golden.Ours} {
			if seen[kind.MediaType()+" by "+by] == 0 {
				t.Errorf("no record has a %s by %s", kind, by)
			}
		}
	}
}

// TestPairings: each pairing with Janus has a record, and those in which it plays one
// part have all settings.
func TestPairings(t *testing.T) {
	have := map[string]int{}
	for _, f := range files(t) {
		have[f.Pairing.String()]++
	}
	for _, cl := range []string{golden.Ours, golden.Janus} {
		for _, co := range []string{golden.Ours, golden.Janus} {
			for _, le := range []string{golden.Ours, golden.Janus} {
				for _, he := range []string{golden.Ours, golden.Janus} {
					for _, async := range []bool{false, true} {
						p := golden.Pairing{Client: cl, Collector: co, Leader: le, Helper: he, Async: async}
						foreign := strings.Count(p.String(), golden.Janus)
						if n := have[p.String()]; foreign > 0 && n == 0 || foreign == 1 && !async && n != 12 {
							t.Errorf("%v: %d records", p, n)
						}
					}
				}
			}
		}
	}
}

// TestOurLeader: our leader takes what clients and collectors have sent, asks the
// helper with the bytes that it took, and comes to the result.
func TestOurLeader(t *testing.T) {
	for name, f := range files(t) {
		if f.Pairing.Leader == golden.Ours {
			t.Run(name, func(t *testing.T) { newWorld(t, f).playLeader() })
		}
	}
}

func (w *world) playLeader() {
	collected := false
	for i := range w.file.Exchanges {
		e := &w.file.Exchanges[i]
		switch {
		case e.To == "leader" && kind(e.Path) == "collection_jobs" && e.Method == http.MethodGet && len(e.Answer) > 0:
			w.awaitResult(e)
			collected = true
		case e.To == "leader":
			w.sameAnswer(w.leader.Handler(), e)
		case e.To == "helper" && e.From == "client" && w.helper != nil:
			w.sameAnswer(w.helper.Handler(), e)
		}
	}
	if !collected {
		w.t.Error("the record has no result")
	}
}

// sameAnswer sends a request of the record to one of our roles, and holds the answer
// against that of the record, which the peer took.
func (w *world) sameAnswer(h http.Handler, e *golden.Exchange) {
	w.t.Helper()
	rec := w.do(h, e)
	if rec.Code != e.Status || rec.Header().Get("Content-Type") != e.AnswerType || rec.Header().Get("Location") != e.Location {
		w.t.Errorf("%s %s: %d %q %q %s, in the record %d %q %q", e.Method, e.Path, rec.Code, rec.Header().Get("Content-Type"), rec.Header().Get("Location"),
			rec.Body, e.Status, e.AnswerType, e.Location)
	}
	if (rec.Header().Get("Retry-After") == "") != (e.RetryAfter == "") {
		w.t.Errorf("%s %s: Retry-After %q, in the record %q", e.Method, e.Path, rec.Header().Get("Retry-After"), e.RetryAfter)
	}
	if !bytes.Equal(rec.Body.Bytes(), e.Answer) {
		w.t.Errorf("%s %s: an answer of %d bytes that differs from the %d of the record", e.Method, e.Path, rec.Body.Len(), len(e.Answer))
	}
}

// awaitResult works until our leader has the result of a collection, and holds it
// against that of the record.
func (w *world) awaitResult(e *golden.Exchange) {
	w.t.Helper()
	rec := w.do(w.leader.Handler(), e)
	for range 100 {
		if rec.Code/100 != 2 || rec.Body.Len() > 0 {
			break
		}
		w.clock.Forward(w.clock.Now().Add(15 * time.Second))
		w.must(w.leader.Tick(w.t.Context()))
		if w.helper != nil {
			w.must(w.helper.Finish(w.t.Context()))
		}
		rec = w.do(w.leader.Handler(), e)
	}
	if rec.Code != e.Status || rec.Header().Get("Content-Type") != e.AnswerType {
		w.t.Fatalf("the result is answered %d %q %s, in the record %d %q", rec.Code, rec.Header().Get("Content-Type"), rec.Body, e.Status, e.AnswerType)
	}
	have, want := w.decode(rec.Body.Bytes()), w.decode(e.Answer)
	if have.ReportCount != want.ReportCount || have.Interval != want.Interval {
		w.t.Errorf("%d reports of %v, in the record %d of %v", have.ReportCount, have.Interval, want.ReportCount, want.Interval)
	}
	if w.helper != nil {
		w.wantResult(have)
		return
	}
	if share := w.recorded("helper", http.MethodPut, "aggregate_shares"); share != nil {
		var sealed dap.AggregateShare
		w.must(w.task.Codec().Decode(&sealed, share.Answer))
		if !bytes.Equal(sealed.Encrypted.Payload, have.HelperShare.Payload) {
			w.t.Error("the helper's share does not reach the collector as it was")
		}
	}
	if w.file.CollectorKey != "" {
		w.wantResult(have)
	} else if _, err := w.task.OpenAggregateShare(w.collector, dap.Leader, w.request(), &have.LeaderShare); err != nil {
		w.t.Error(err)
	}
}

func (w *world) decode(body []byte) *dap.CollectionJobResp {
	w.t.Helper()
	resp := new(dap.CollectionJobResp)
	w.must(w.task.Codec().Decode(resp, body))
	return resp
}

// recorded returns the last exchange with a party, nil if none was recorded.
func (w *world) recorded(to, method, resource string) *golden.Exchange {
	for i := len(w.file.Exchanges) - 1; i >= 0; i-- {
		if e := &w.file.Exchanges[i]; e.To == to && e.Method == method && kind(e.Path) == resource {
			return e
		}
	}
	return nil
}

// request is what the collector asked for.
func (w *world) request() *dap.CollectionJobReq {
	w.t.Helper()
	req := new(dap.CollectionJobReq)
	w.must(w.task.Codec().Decode(req, w.recorded("leader", http.MethodPut, "collection_jobs").Body))
	return req
}

// wantResult opens a result and holds it against what the measurements add up to.
func (w *world) wantResult(resp *dap.CollectionJobResp) {
	w.t.Helper()
	shares, err := w.task.OpenCollection(w.collector, w.collector, w.request(), resp)
	w.must(err)
	have, err := w.task.Unshard(shares, resp.ReportCount)
	w.must(err)
	want, err := json.Marshal(w.file.Setting.Result)
	w.must(err)
	if !bytes.Equal(have, want) {
		w.t.Errorf("result %s, want %s", have, want)
	}
}

// TestOurHelper: our helper gives Janus' leader the bytes that it gave, and the same
// aggregate share.
func TestOurHelper(t *testing.T) {
	for name, f := range files(t) {
		if f.Pairing.Helper == golden.Ours && f.Pairing.Leader == golden.Janus {
			t.Run(name, func(t *testing.T) { newWorld(t, f).playHelper() })
		}
	}
}

func (w *world) playHelper() {
	shares := 0
	for i := range w.file.Exchanges {
		e := &w.file.Exchanges[i]
		if e.To != "helper" {
			continue
		}
		if e.Method == http.MethodGet && kind(e.Path) == "aggregation_jobs" && len(e.Answer) > 0 {
			w.must(w.helper.Finish(w.t.Context()))
		}
		if kind(e.Path) != "aggregate_shares" || len(e.Answer) == 0 {
			w.sameAnswer(w.helper.Handler(), e)
			continue
		}
		shares++
		rec := w.do(w.helper.Handler(), e)
		if rec.Code != e.Status || rec.Header().Get("Content-Type") != e.AnswerType {
			w.t.Fatalf("the share is answered %d %q %s, in the record %d %q", rec.Code, rec.Header().Get("Content-Type"), rec.Body, e.Status, e.AnswerType)
		}
		var have, want dap.AggregateShare
		w.must(w.task.Codec().Decode(&have, rec.Body.Bytes()))
		w.must(w.task.Codec().Decode(&want, e.Answer))
		share, err := w.task.OpenAggregateShare(w.collector, dap.Helper, w.request(), &have.Encrypted)
		w.must(err)
		if w.file.CollectorKey == "" {
			continue
		}
		before, err := w.task.OpenAggregateShare(w.collector, dap.Helper, w.request(), &want.Encrypted)
		w.must(err)
		if !bytes.Equal(share, before) {
			w.t.Error("the aggregate share is not that of the record")
		}
	}
	if shares == 0 {
		w.t.Error("the record has no aggregate share")
	}
}

// TestOurCollector: our collector asks Janus' leader with the bytes that it took, and
// releases the result that it has sent.
func TestOurCollector(t *testing.T) {
	for name, f := range files(t) {
		if f.Pairing.Collector == golden.Ours && f.Pairing.Leader == golden.Janus {
			t.Run(name, func(t *testing.T) { newWorld(t, f).playCollector() })
		}
	}
}

func (w *world) playCollector() {
	w.wantResult(w.decode(w.recorded("leader", http.MethodGet, "collection_jobs").Answer))
	store := collectortest.NewModel()
	c, err := collector.New(collector.Config{
		Store: store, FS: durable.Mem(), Dir: "collector", Clock: w.clock, Keys: []*dapkey.PrivateKey{w.collector},
		HTTP: &http.Client{Transport: newScript(w.t, w.file, "collector", "leader")},
	})
	w.must(err)
	w.must(c.Serve(w.t.Context(), collector.Question{Task: w.task.Task, Leader: w.token}))
	begin := time.Unix(int64(w.file.Start), 0)
	_, err = c.Collect(w.t.Context(), w.task.ID(), begin, begin.Add(time.Duration(w.task.Config().TimePrecision)*time.Second))
	w.must(err)
	for range 30 {
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		w.must(c.Tick(w.t.Context()))
	}
	asks, err := store.Asks(w.t.Context())
	w.must(err)
	if len(asks) == 0 || asks[0].State != collector.Released {
		w.t.Fatalf("asks: %+v, want one that is released", asks)
	}
}

// TestOurClient: our client seals to the keys of Janus' aggregators, and uploads what
// has the form of the reports that Janus' leader took.
func TestOurClient(t *testing.T) {
	for name, f := range files(t) {
		if f.Pairing.Client == golden.Ours && f.Pairing.Leader == golden.Janus {
			t.Run(name, func(t *testing.T) { newWorld(t, f).playClient() })
		}
	}
}

func (w *world) playClient() {
	leader, helper := newScript(w.t, w.file, "client", "leader"), newScript(w.t, w.file, "client", "helper")
	leader.free = true
	if w.helper != nil {
		key, err := dapkey.Parse(w.file.HelperKey)
		w.must(err)
		list, err := w.task.Codec().Encode(&dap.HpkeConfigList{key.Config()})
		w.must(err)
		helper.misc[dap.HpkeConfigPath] = golden.Exchange{Status: 200, AnswerType: dap.TypeHpkeConfigList.MediaType(), Answer: list}
	}
	c := client.New(w.task.Task, client.Options{Clock: w.clock, Transport: byAddress{w.task.Config().Leader: leader, w.task.Config().Helper: helper}})
	for _, m := range w.file.Setting.Measurements {
		raw, err := json.Marshal(m)
		w.must(err)
		measurement, err := w.task.Measurement(raw)
		w.must(err)
		w.must(c.Upload(w.t.Context(), measurement, time.Unix(int64(w.file.Start), 0)))
	}
	for i, used := range leader.used {
		if !used {
			w.t.Errorf("the client does not ask %s %s", leader.all[i].Method, leader.all[i].Path)
		}
	}
}

// byAddress carries requests to the server whose endpoint their URL begins with.
type byAddress map[string]http.RoundTripper

func (b byAddress) RoundTrip(r *http.Request) (*http.Response, error) {
	for endpoint, to := range b {
		if strings.HasPrefix(r.URL.String(), endpoint) {
			return to.RoundTrip(r)
		}
	}
	return nil, http.ErrServerClosed
}
