package interop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// nowhere is a network on which nothing arrives.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }

func post(t testing.TB, h http.Handler, command string, body []byte) map[string]any {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/internal/test/"+command, bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: status %d", command, w.Code)
	}
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s: %q: %v", command, w.Body, err)
	}
	return out
}

const (
	id   = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	rest = `"leader":"http://127.0.0.1:1/","helper":"http://127.0.0.1:2/","batch_mode":1,"min_batch_size":1,"time_precision":60`
)

// An error is reported, and nothing is sent.
func TestRefusals(t *testing.T) {
	client := NewClient(dap.DAP18(), nowhere{})
	collector := NewCollector(dap.DAP18(), &http.Client{Transport: nowhere{}})
	for _, c := range []struct {
		h             http.Handler
		command, body string
		want          string
	}{
		{client, "upload", `{`, "unexpected end"},
		{client, "upload", `{"task_id":"x",` + rest + `}`, "task_id"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Poplar1"}}`, "not known"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Histogram","length":"x"}}`, "decimal"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Histogram","length":"99999999999","chunk_length":"1"}}`, "too large"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Count"},"measurement":"2"}`, "want 0 or 1"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Histogram","length":"5","chunk_length":"2"},"measurement":"5"}`, "want below 5"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Count"},"task_start":5}`, "both or neither"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Count"},"task_start":60,"task_end":61}`, "multiples of the time precision"},
		{client, "upload", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Count"},"task_start":60,"task_end":60}`, "the end after the start"},
		{collector, "add_task", `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Count"},"collector_authentication_token":"a b"}`, "collector_authentication_token"},
		{collector, "collection_start", `{"task_id":"` + id + `","query":{"type":2}}`, "was not added"},
		{collector, "collection_poll", `{"handle":"h"}`, "not known"},
	} {
		out := post(t, c.h, c.command, []byte(c.body))
		if text, _ := out["error"].(string); out["status"] != "error" || !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %v, want an error with %q", c.command, c.body, out, c.want)
		}
	}
}

// task_start and task_end become the task interval of the configuration.
func TestTaskInterval(t *testing.T) {
	var o taskObject
	body := `{"task_id":"` + id + `",` + rest + `,"vdaf":{"type":"Prio3Count"},"task_start":120,"task_end":600}`
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} {
		made, _, err := o.task(v)
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := made.Interval(); !ok || i != (dap.Interval{Start: 2, Duration: 8}) {
			t.Errorf("%v: interval %v %v, want units 2 to 10", v, i, ok)
		}
	}
}

// FuzzCommands feeds whatever to the commands of client and collector: each gets
// an answer in JSON.
func FuzzCommands(f *testing.F) {
	f.Add(0, []byte(`{"task_id":"`+id+`",`+rest+`,"vdaf":{"type":"Prio3SumVec","length":"3","chunk_length":"1","max_measurement":"7"},"measurement":["1","2","3"]}`))
	f.Add(1, []byte(`{"task_id":"`+id+`",`+rest+`,"vdaf":{"type":"Prio3Count"},"collector_authentication_token":"token"}`))
	f.Add(2, []byte(`{"task_id":"`+id+`","query":{"type":1,"batch_interval_start":60,"batch_interval_duration":60}}`))
	f.Add(0, []byte(`{"task_id":"`+id+`",`+rest+`,"vdaf":{"type":"Prio3Count"},"measurement":"1","task_start":60,"task_end":120}`))
	f.Add(3, []byte(`{"handle":"x"}`))
	f.Fuzz(func(t *testing.T, which int, body []byte) {
		client := NewClient(dap.Janus(), nowhere{})
		collector := NewCollector(dap.Janus(), &http.Client{Transport: nowhere{}})
		commands := []string{"add_task", "collection_start", "collection_poll"}
		if which == 0 {
			if len(body) > 1<<12 || bytes.Contains(body, []byte("000")) {
				return // large vectors take their time
			}
			post(t, client, "upload", body)
			return
		}
		post(t, collector, commands[uint(which)%3], body)
	})
}
