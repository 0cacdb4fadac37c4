package discovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
	"github.com/shoal-project/shoal/internal/golden"
)

// TestShortCodes covers capability links of few letters and digits: of each kind
// at most the part passes strictly that the client of the Web Discovery Project
// lets pass, in the path and as a parameter.
func TestShortCodes(t *testing.T) {
	r := newRules(t)
	limits := map[string]float64{
		"b62_6": 3.67, "b62_7": 2.6, "b62_8": 1.6, "low36_6": 19.82, "low36_8": 16.43, "alpha_8": 44.17, "record locator, 6": 6.6,
		"low36 in groups, 3-3-3": 15, "slug + low36_6": 20.4, "5~5 base62": 1, "two segments, base62, 6": 0.2, "base64url, 11": 0.5, "cyrillic random 12": 42.52,
	}
	var b strings.Builder
	b.WriteString("| short code drawn at random | published, strict | ours, strict, path | ours, strict, parameter |\n|---|---:|---:|---:|\n")
	for _, k := range tokengen.ShortKinds() {
		path := published{before: "https://example.com/s/", draw: k.Draw}.passing(r, Evidence{}, 20_000)
		query := published{before: "https://example.com/s?id=", draw: k.Draw}.passing(r, Evidence{}, 20_000)
		limit, ok := limits[k.Name]
		if !ok || path > limit || query > limit {
			t.Errorf("%s: %.2f %% and %.2f %% pass, want at most %.2f %%", k.Name, path, query, limit)
		}
		fmt.Fprintf(&b, "| %s | %.1f %% | %.2f %% | %.2f %% |\n", k.Name, limit, path, query)
	}
	golden.Sections(t, "testdata/figures.md", map[string]string{"short-codes": b.String()})
}

// TestPersonalHosts covers hosts that one person or one team runs.
func TestPersonalHosts(t *testing.T) {
	r := newRules(t)
	for host, want := range map[string]Rule{
		"nas.example.synology.me": RuleHostPersonal, "anna.duckdns.org": RuleHostPersonal, "abcd.ngrok-free.app": RuleHostPersonal,
		"deploy-preview-42--site.netlify.app": RuleHostPersonal, "site-git-main-team.vercel.app": RuleHostPersonal, "pr-7.example.github.io": RuleHostPersonal,
		"fox.github.io": RuleNone, "www.synology.com": RuleNone, "www.pirate4x4.com": RuleNone, "nexstar.wd5.myworkdayjobs.com": RuleNone, "ngrok.com": RuleNone,
		"kxqvzjwp.github.io": RuleHostToken,
	} {
		if d := r.URL("https://"+host+"/", Evidence{}); d.Rule != want {
			t.Errorf("%s: %s (%s), want %q", host, d, d.Why().Found, want)
		}
	}
}
