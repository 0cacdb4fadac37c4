package metric_test

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

// TestPlanOfQuorum checks that a plan states what protects a value that can be
// guessed, and what the analyzer sees below the quorum.
func TestPlanOfQuorum(t *testing.T) {
	const record = "record: {url: {type: string, max: 60}}"
	const accept = "accept: ['the analyzer can confirm guesses: because the addresses hold random tokens']"
	for name, c := range map[string]struct {
		lines  []string
		shares uint16
		size   uint16
		says   []string
	}{
		"payload": {
			[]string{record, "crowd: payload", "encoding: quorum", "privacy: {threshold: 20, drop: 12, sigma: 2}"},
			20, 128,
			[]string{"protected by the crowd threshold, not by the 20 shares", "ciphertexts: which are equal, and whether a guess is right"},
		},
		"fewer": {
			[]string{record, "crowd: payload", "encoding: quorum", "shares: 7", "privacy: {epsilon: 2, delta: 1e-6}"},
			7, 128,
			[]string{"not by the 7 shares"},
		},
		"constant": {
			[]string{"record: {url: {type: string, max: 200}}", "crowd: constant", "encoding: quorum", "privacy: {threshold: 50, noise: none}", accept},
			50, 512,
			[]string{"the 50 shares alone protect it", "stay unreadable"},
		},
		"most": {
			[]string{record, "crowd: payload", "encoding: quorum", "min_batch: 5000", "privacy: {threshold: 5000, noise: none}"}, task.MaxShares, 128, nil,
		},
	} {
		f := one(t, c.lines...)
		b, err := f.Build(hops(), identity("owner"), now())
		signed := must(t, b, err).Tasks[0]
		tk, err := task.Parse(signed.Bytes)
		if want := (task.Encoding{Kind: task.Quorum, Shares: c.shares}); must(t, tk, err).Encoding != want {
			t.Errorf("%s: encoding %+v, want %+v", name, tk.Encoding, want)
		}
		if tk.PayloadSize != c.size {
			t.Errorf("%s: size class %d, want %d", name, tk.PayloadSize, c.size)
		}
		p := planOf(t, f)
		text := strings.Join(strings.Fields(p.Text()), " ")
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the plan does not say %q", name, want)
			}
		}
		if p.Metrics[0].Quorum == nil || p.Metrics[0].Quorum.Shares != c.shares {
			t.Errorf("%s: quorum in the plan: %+v", name, p.Metrics[0].Quorum)
		}
		if name == "payload" {
			golden.Equal(t, "testdata/quorum.txt", []byte(p.Text()))
		}
	}
}

// hops returns a shuffler and an analyzer.
func hops() []task.Party {
	return []task.Party{
		{Role: task.Shuffler, URL: "https://shuffler.example", Identity: identity("shuffler").Public()},
		{Role: task.Analyzer, URL: "https://analyzer.example", Identity: identity("analyzer").Public()},
	}
}
