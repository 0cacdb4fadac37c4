package shoaltest_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/shoaltest"
)

func options(t testing.TB) shoal.Options {
	t.Helper()
	bundle, err := os.ReadFile("../testdata/tasks.bundle")
	if err != nil {
		t.Fatal(err)
	}
	return shoal.Options{
		Bundle: bundle, Owner: "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w",
		Metrics: []string{"api_use"}, Mode: shoal.On, Dir: "/nowhere",
	}
}

func use(program string) map[string]any {
	return map[string]any{"program": program, "apis": []string{"files"}}
}

// A spy is a TB that notes failures.
type spy struct {
	testing.TB
	failures []string
}

func (s *spy) Helper() {}
func (s *spy) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}

func TestRecorder(t *testing.T) {
	s := &spy{TB: t}
	var seen int
	o := options(t)
	o.Observe = func(string, any, shoal.Outcome) { seen++ }
	client, recorded := shoaltest.Open(s, o)
	if client.Mode() != shoal.Local {
		t.Errorf("the client is %v", client.Mode())
	}
	client.Record("api_use", use("cat"))
	client.Record("api_use", use("dog"))
	recorded.Assert("api_use", use("cat"), use("dog"))
	recorded.AssertNothing("crash")
	recorded.AssertNoneRefused()
	if len(s.failures) != 0 || seen != 2 {
		t.Fatalf("failures %q, Observe called %d times", s.failures, seen)
	}
	client.Record("api_use", use("cat")) // over the cap
	client.Record("crash", use("cat"))   // unknown
	recorded.Assert("api_use", use("cat"))
	recorded.Assert("api_use", use("cat"), use("eel"))
	recorded.AssertNothing("api_use")
	recorded.AssertNothing("crash")
	recorded.AssertNoneRefused()
	want := []string{
		"api_use: recorded [", "record 2: map[apis:[files] program:dog], want", "api_use: recorded [",
		"api_use: tried", "crash: tried", "cap_reached", "unknown_metric",
	}
	if len(s.failures) != len(want) {
		t.Fatalf("failures %q", s.failures)
	}
	for i, w := range want {
		if !strings.Contains(s.failures[i], w) {
			t.Errorf("failure %d: %q, want %q", i+1, s.failures[i], w)
		}
	}
	if got := recorded.Refused(); len(got) != 2 || got[0].Outcome.Status != shoal.CapReached || got[1].Metric != "crash" {
		t.Errorf("Refused = %v", got)
	}
}

func TestAccumulated(t *testing.T) {
	const questions = `
version: 1
owner: Example
parties:
  leader: {url: https://leader.example, identity: "ed25519:b28GQouzukTmrnTlANnrGYHC_AVx6ZoO1-Tf1e6E_FY"}
  helper: {url: https://helper.example, identity: "ed25519:rd9erNQAl7_vZndEqM9OqafTN6i8imCruJq_CzqMSac"}
  collector: {identity: "ed25519:MIPbF55V1F3a3IonpEyzgEXwXZiJcUyI2ezwxYo_xW8"}
metrics:
  pages.printed: {method: aggregate, type: sum, max: 10, example: 3, noise: none, question: q, consent: c, expires: 2100-01-01}
  theme: {method: aggregate, type: histogram, categories: [dark, light], noise: none, question: q, consent: c, expires: 2100-01-01}
`
	f, err := metric.Read("metrics.yaml", []byte(questions), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := f.Build(nil, owner, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{TB: t}
	client, recorded := shoaltest.Open(s, shoal.Options{Bundle: b, Owner: task.FormatPublic(owner.Public()), Metrics: []string{"pages.printed", "theme"}})
	if got := recorded.Accumulated("pages.printed"); got != "" {
		t.Errorf("before anything was said: %q", got)
	}
	client.Add("pages.printed", 3)
	client.Count("pages.printed")
	client.Observe("theme", "dark")
	client.Observe("theme", "pink")
	recorded.Assert("pages.printed", int64(3), int64(1))
	recorded.Assert("theme", "dark")
	if got := recorded.Accumulated("pages.printed") + ", " + recorded.Accumulated("theme"); got != "4, dark" {
		t.Errorf("accumulated %s", got)
	}
	if no := recorded.Refused(); len(no) != 1 || no[0].Outcome.Status != shoal.Invalid || no[0].Value != "pink" {
		t.Errorf("refused %v", no)
	}
	if len(s.failures) > 0 {
		t.Errorf("failures %q", s.failures)
	}
}
