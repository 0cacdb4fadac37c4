package shoaltest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal"
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
