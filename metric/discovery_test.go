package metric_test

import (
	"strings"
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

// protectedPages are page and query with every protection.
const protectedPages = `
version: 1
owner: Example
parties:
  shufflers: [{url: "https://shuffler.example", identity: "ed25519:Ibr0rWvVGPpw0IsSOxCq5JjTm8NDzVvdHVAzOVHDjO8"}]
  analyzer: {url: "https://analyzer.example", identity: "ed25519:VQU8XI_Ou9Q3cpjCiyXO1CDyFNpvIcr8E_C0DY_mSHk"}
  relay: {url: "https://relay.example", identity: "ed25519:rDI6lkCv44S9mdXmJMzpFUN7sthiHTRV8dWfMaoz5sg"}
  randomness: {url: "https://randomness.example", identity: "ed25519:yzdP9v7fuPfbUS2cZlAYPnk2D1eqEiOsO0XRE15IG00"}
metrics:
  page:
    question: q
    consent: c
    record:
      url: {type: string, max: 900, sensitive: true}
      dwell: {type: int, range: [0, 86400], buckets: [0, 5, 15, 60, 300]}
      activity: {type: int, range: [0, 5], buckets: [0, 1, 3]}
    crowd: [url]
    encoding: quorum
    privacy: {threshold: 20, drop: 12, sigma: 2}
    per_epoch: 20
    expires: 2027-01-01
  query:
    question: q
    consent: c
    record: {query: {type: string, max: 900, sensitive: true}, engine: {type: string, max: 32}}
    crowd: [query, engine]
    encoding: quorum
    privacy: {threshold: 20, drop: 12, sigma: 2}
    expires: 2027-01-01
`

// TestProtectedDiscovery: with relay, credentials and a hardened quorum the messages page
// and query pass; what is missing of them is named.
func TestProtectedDiscovery(t *testing.T) {
	// What this version does not give yet is refused for all metrics alike.
	f, err := metric.Read("real.yaml", []byte(protectedPages), now())
	if err == nil && len(f.Metrics) != 2 || err != nil && (strings.Contains(err.Error(), "discovery engine") || !strings.Contains(err.Error(), "which this version does not give")) {
		t.Errorf("with every protection: %v", err)
	}
	for missing, without := range map[string][2]string{
		"without a relay;":                        {`  relay: {url: "https://relay.example", identity: "ed25519:rDI6lkCv44S9mdXmJMzpFUN7sthiHTRV8dWfMaoz5sg"}` + "\n", ""},
		"without credentials, a hardened quorum;": {`  randomness: {url: "https://randomness.example", identity: "ed25519:yzdP9v7fuPfbUS2cZlAYPnk2D1eqEiOsO0XRE15IG00"}` + "\n", ""},
		"without a hardened quorum;":              {"encoding: quorum", "encoding: quorum\n    credential: required\n    quorum: {hardened: no, because: it is a test and nobody is asked}"},
	} {
		src := strings.Replace(protectedPages, without[0], without[1], 1)
		if _, err := metric.Read("real.yaml", []byte(src), now()); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s %v", missing, err)
		}
	}
}
