package metric_test

import (
	"testing"

	"github.com/shoal-project/shoal/metric"
)

// TestDiscoveryMetrics: what the check refuses where people are real passes
// where they are simulated, and so does the second check, of Build. The refusals
// are in testdata/check/discovery.txt.
func TestDiscoveryMetrics(t *testing.T) {
	const src = `
version: 1
owner: Example
metrics:
  query:
    question: q
    consent: c
    record: {query: {type: string, max: 200}}
    crowd: [query]
    privacy: {threshold: 20, drop: 12, sigma: 2}
    expires: 2027-01-01
`
	f, err := metric.ReadSimulated("simulated.yaml", []byte(src), now())
	must(t, f, err)
	if err := f.Check(nil, now()); err != nil {
		t.Errorf("checked again: %v", err)
	}
	if _, err := metric.Read("real.yaml", []byte(src), now()); err == nil {
		t.Error("passes where people are real")
	}
	if _, err := metric.ReadSimulated("simulated.yaml", []byte(src+"    colour: red\n"), now()); err == nil {
		t.Error("simulated people excuse an unknown key")
	}
}
