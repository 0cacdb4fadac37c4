// Package golden records what parties of DAP send each other in a trial of package
// interop, and reads the records again:
//
//	r := golden.NewRecorder("http://127.0.0.1:8083/")
//	http.Serve(listener, r) // the aggregator's endpoint in the trial
//	…
//	file.Exchanges = r.Take(task)
//
// A record has the bytes of the messages with their HTTP metadata, no headers by
// which parties identify themselves, and no addresses but those of the loopback
// interface in the task. With it are the keys of our parties, which were made for the
// trial, so that the tests of this package can let our roles repeat their part
// against what another implementation has sent.
//
// The records under testdata/janus are of runs with Janus (see the README there).
package golden

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/dap/interop"
)

// Janus and Ours are the implementations of a [Pairing].
const (
	Janus = "janus"
	Ours  = "ours"
)

// A Pairing names the implementation that plays each part.
type Pairing struct {
	Client    string `json:"client"`
	Collector string `json:"collector"`
	Leader    string `json:"leader"`
	Helper    string `json:"helper"`
	Async     bool   `json:"async,omitempty"` // the helper answers aggregation jobs later
}

// String is the pairing as it is written in tables and file names.
func (p Pairing) String() string {
	s := strings.Join([]string{p.Client, p.Collector, p.Leader, p.Helper}, "-")
	if p.Async {
		s += "-async"
	}
	return s
}

// A File is the record of one trial.
type File struct {
	Source   string          `json:"source"`
	Recorded time.Time       `json:"recorded"`
	Pairing  Pairing         `json:"pairing"`
	Setting  interop.Setting `json:"setting"`
	Task     map[string]any  `json:"task"`  // as the test API has it
	Start    uint64          `json:"start"` // Unix seconds, of the unit of time with the reports

	VerifyKey    Bytes  `json:"verify_key"`
	CollectorKey string `json:"collector_key,omitempty"` // texts of HPKE keys, of our parties
	LeaderKey    string `json:"leader_key,omitempty"`
	HelperKey    string `json:"helper_key,omitempty"`

	Exchanges []Exchange `json:"exchanges"`
}

// An Exchange is a request and its answer.
type Exchange struct {
	From   string `json:"from"` // client, collector or leader
	To     string `json:"to"`   // leader or helper
	Method string `json:"method"`
	Path   string `json:"path"`           // under the endpoint, with the query
	Type   string `json:"type,omitempty"` // media type of the request's body
	Body   Bytes  `json:"body,omitempty"`

	Status     int    `json:"status"`
	AnswerType string `json:"answer_type,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`
	Location   string `json:"location,omitempty"`
	Answer     Bytes  `json:"answer,omitempty"`
}

// Bytes are base64 in JSON.
type Bytes []byte

// MarshalText implements [encoding.TextMarshaler].
func (b Bytes) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = base64.StdEncoding.AppendDecode(nil, text)
	return err
}

// same reports whether two exchanges differ in nothing.
func (e *Exchange) same(o *Exchange) bool {
	return e.From == o.From && e.To == o.To && e.Method == o.Method && e.Path == o.Path && e.Type == o.Type && bytes.Equal(e.Body, o.Body) &&
		e.Status == o.Status && e.AnswerType == o.AnswerType && e.Location == o.Location && bytes.Equal(e.Answer, o.Answer)
}

// Write writes a file.
func (f *File) Write(name string) error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// Read reads a file that [File.Write] has written.
func Read(name string) (*File, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	f := new(File)
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}
