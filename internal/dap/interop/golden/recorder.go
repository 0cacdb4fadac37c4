package golden

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// maxBody bounds a body that passes the recorder, in bytes.
const maxBody = 64 << 20

// A Recorder is a proxy in front of one aggregator: it forwards requests and keeps
// the exchanges, by task. It is an [http.Handler] and safe for concurrent use.
type Recorder struct {
	role   string // leader or helper
	prefix string // of the path, as long as the endpoint has it
	base   string
	client *http.Client

	mu     sync.Mutex
	tasks  map[string][]Exchange
	config *Exchange // the last one about HPKE configurations
}

// NewRecorder returns a recorder before the leader or helper whose test API is at a
// base URL without a slash at the end, and whose endpoint is under the path prefix
// there ("/", "/leader/").
func NewRecorder(role dap.Role, base, prefix string) *Recorder {
	client := &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Recorder{role: role.String(), prefix: prefix, base: base, client: client, tasks: map[string][]Exchange{}}
}

// ServeHTTP passes a request on.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	e, header, err := r.pass(in)
	if err != nil {
		http.Error(w, fmt.Sprintf("recorder: %v", err), http.StatusBadGateway)
		return
	}
	r.keep(e)
	for name, values := range header {
		if name != "Content-Length" && name != "Connection" && name != "Date" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Answer) // the client has gone if this fails
}

// pass sends a request to the aggregator.
func (r *Recorder) pass(in *http.Request) (*Exchange, http.Header, error) {
	body, err := io.ReadAll(io.LimitReader(in.Body, maxBody))
	if err != nil {
		return nil, nil, err
	}
	out, err := http.NewRequestWithContext(in.Context(), in.Method, r.base+in.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	out.Header = in.Header.Clone()
	resp, err := r.client.Do(out)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, nil, err
	}
	return &Exchange{
		From: sender(in.URL.Path), To: r.role, Method: in.Method, Path: strings.TrimPrefix(in.URL.RequestURI(), r.prefix),
		Type: in.Header.Get("Content-Type"), Body: body,
		Status: resp.StatusCode, AnswerType: resp.Header.Get("Content-Type"), RetryAfter: resp.Header.Get("Retry-After"),
		Location: resp.Header.Get("Location"), Answer: answer,
	}, resp.Header, nil
}

// sender is the party that sends requests to a path.
func sender(path string) string {
	switch {
	case strings.Contains(path, "/collection_jobs"):
		return "collector"
	case strings.Contains(path, "/aggregat"):
		return "leader"
	}
	return "client"
}

// keep adds an exchange to its task. Polls without news are kept once, and so is
// the refusal of a collection that came too early.
func (r *Recorder) keep(e *Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, rest, ok := strings.Cut(e.Path, "tasks/")
	if !ok {
		r.config = e
		return
	}
	task, _, _ := strings.Cut(rest, "/")
	have := r.tasks[task]
	for i := range have {
		if have[i].same(e) || e.Status >= 400 && have[i].Status == e.Status && have[i].From == e.From && have[i].Method == e.Method {
			return
		}
	}
	r.tasks[task] = append(have, *e)
}

// Take returns and forgets the exchanges of a task, after the last one about HPKE
// configurations.
func (r *Recorder) Take(task string) []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Exchange
	if r.config != nil {
		all = append(all, *r.config)
	}
	all = append(all, r.tasks[task]...)
	delete(r.tasks, task)
	return all
}
