package helper_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/golden"
)

// An exchange is a request and its answer, as text. Bodies are in base64. What
// differs from run to run, a share sealed to the collector, is left out.
type exchange struct {
	method, path, kind string
	body               []byte
	answer             string
}

// finish represents the helper's work on the jobs that wait.
const finish = "FINISH"

const separator = "----"

func (e *exchange) String() string {
	if e.method == finish {
		return finish + "\n"
	}
	return fmt.Sprintf("%s %s\n%s\n%s\n%s\n", e.method, e.path, e.kind, base64.StdEncoding.EncodeToString(e.body), e.answer)
}

// answerText is an answer as far as it is the same in every run.
func answerText(a *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.Code)
	for _, name := range []string{"Allow", "Cache-Control", "Content-Length", "Content-Type", "Location", "Retry-After"} {
		if v := a.Header().Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	body := a.Body.Bytes()
	switch kind := a.Header().Get("Content-Type"); {
	case len(body) == 0:
	case kind == dap.ProblemMediaType:
		fmt.Fprintf(&b, "%s\n", withoutText(body))
	case kind == dap.TypeAggregateShare.MediaType():
		fmt.Fprintf(&b, "(%d bytes, sealed)\n", len(body))
	default:
		fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(body))
	}
	return b.String()
}

// withoutText is a problem document without what is for people.
func withoutText(body []byte) []byte {
	var document map[string]any
	if json.Unmarshal(body, &document) != nil {
		return body
	}
	delete(document, "title")
	delete(document, "detail")
	b, err := json.Marshal(document)
	if err != nil {
		return body
	}
	return b
}

// record makes the requests of a task's life.
func record(t *testing.T, w *world) []exchange {
	t.Helper()
	var all []exchange
	say := func(method, path string, kind dap.MessageType, body []byte) *httptest.ResponseRecorder {
		a := w.do(method, path, kind, body)
		all = append(all, exchange{method: method, path: path, kind: string(kind), body: body, answer: answerText(a)})
		return a
	}
	work := func() {
		w.must(w.helper.Finish(t.Context()))
		all = append(all, exchange{method: finish})
	}
	v := w.task.Variant()
	bad, good, other := w.report(3), w.report(1), w.report(2)
	bad.HelperShare.Payload[9] ^= 1
	_, body := w.init(dap.BatchID{}, good, bad, other)
	say("GET", "hpke_config", "", nil)
	method, path := v.CreateAggregationJob(w.task.ID(), dap.AggregationJobID{1})
	job := jobPath(t, say(method, path, dap.TypeAggregationJobInitReq, body).Header().Get("Location"))
	if w.config.Async {
		say("GET", job, "", nil)
		work()
		say("GET", job, "", nil)
	}
	say(method, path, dap.TypeAggregationJobInitReq, body)
	say(method, path, dap.TypeAggregationJobInitReq, body[:20])
	_, again := w.init(dap.BatchID{}, other)
	method, path = v.CreateAggregationJob(w.task.ID(), dap.AggregationJobID{2})
	say(method, path, dap.TypeAggregationJobInitReq, again)
	work()
	say(method, path, dap.TypeAggregationJobInitReq, again)
	job, _, _ = strings.Cut(job, "?")
	say("POST", job, dap.TypeAggregationJobContinueReq, []byte{0, 1})
	say("DELETE", job, "", nil)
	method, path = v.CreateAggregateShare(w.task.ID(), dap.AggregateShareID{1})
	share := jobPath(t, say(method, path, dap.TypeAggregateShareReq, w.shareBody(2)).Header().Get("Location"))
	say("GET", share, "", nil)
	wrong := slices.Clone(w.shareBody(2))
	wrong[len(wrong)-1] ^= 1
	method, path = v.CreateAggregateShare(w.task.ID(), dap.AggregateShareID{2})
	say(method, path, dap.TypeAggregateShareReq, wrong)
	say("DELETE", share, "", nil)
	say("GET", dap.AggregationJobPath(dap.TaskID{1}, dap.AggregationJobID{1})+"?step=0", "", nil)
	return all
}

// The exchanges of each variant are what they were: the same requests, kept as
// bytes, get the same answers. Keys and IDs come from a seed.
func TestGoldenExchanges(t *testing.T) {
	for _, v := range variants() {
		for _, later := range []bool{false, true} {
			name := v.String()
			settings := []setting{}
			if later {
				name, settings = name+"-async", append(settings, async)
			}
			t.Run(name, func(t *testing.T) {
				file := filepath.Join("testdata", "exchanges", name+".txt")
				if golden.Updating() {
					var b bytes.Buffer
					for _, e := range record(t, newWorld(t, v, dap.TimeIntervalMode, settings...)) {
						b.WriteString(e.String() + separator + "\n")
					}
					golden.Write(t, file, b.Bytes())
				}
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				replay(t, newWorld(t, v, dap.TimeIntervalMode, settings...), string(text))
			})
		}
	}
}

func replay(t *testing.T, w *world, text string) {
	t.Helper()
	n := 0
	for one := range strings.SplitSeq(text, separator+"\n") {
		if one == finish+"\n" {
			w.must(w.helper.Finish(t.Context()))
			continue
		}
		if one == "" {
			continue
		}
		lines := strings.SplitN(one, "\n", 4)
		if len(lines) != 4 {
			t.Fatalf("exchange %d has %d lines", n+1, len(lines))
		}
		method, path, _ := strings.Cut(lines[0], " ")
		body, err := base64.StdEncoding.DecodeString(lines[2])
		w.must(err)
		if lines[2] == "" {
			body = nil
		}
		got := strings.TrimSpace(answerText(w.do(method, path, dap.MessageType(lines[1]), body)))
		if want := strings.TrimSpace(lines[3]); got != want {
			t.Errorf("exchange %d: %s %s\n%s\nwant\n%s", n+1, method, path, got, want)
		}
		n++
	}
	if n < 12 {
		t.Errorf("%d exchanges only", n)
	}
}
