package metric_test

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

const beginsHardened = `version: 1
owner: Example Owner
parties:
  shufflers: [{url: "https://shuffler.example", identity: "SHUFFLER"}]
  analyzer: {url: "https://analyzer.example", identity: "ANALYZER"}
PARTY
metrics:
  pages:
    question: Which pages do people find?
    consent: Pages that you visit.
    record: {url: {type: string, max: 60}, language: {type: enum, values: [de, en]}}
    crowd: [url]
    encoding: quorum
    privacy: {threshold: 20, drop: 12, sigma: 2}
    expires: 2027-06-01
`

const randomnessParty = `  randomness: {url: "https://randomness.example", identity: "RANDOMNESS"}`

// hardenedFile returns the file above with a party or none, and more lines for its metric.
func hardenedFile(t *testing.T, party string, lines ...string) (*metric.File, error) {
	t.Helper()
	text := strings.Replace(beginsHardened, "PARTY\n", party+"\n", 1)
	for _, l := range lines {
		key, _, _ := strings.Cut(l, ":")
		var kept []string
		for _, old := range strings.Split(text, "\n") {
			if !strings.HasPrefix(old, "    "+key+":") {
				kept = append(kept, old)
			}
		}
		text = strings.Join(kept, "\n") + "    " + l + "\n"
	}
	for _, name := range []string{"shuffler", "analyzer", "randomness"} {
		text = strings.ReplaceAll(text, strings.ToUpper(name), task.FormatPublic(identity(name).Public()))
	}
	return metric.Read("metrics.yaml", []byte(text), now())
}

// TestHardenedByDefault covers the threat of a quorum whose values shuffler and analyzer
// can confirm by a guess although a party is there that would prevent it: without a word
// of its own the metric is hardened, requires credentials, and its plan states what
// the latency is and what a guess costs.
func TestHardenedByDefault(t *testing.T) {
	f, err := hardenedFile(t, randomnessParty)
	f = must(t, f, err)
	b, err := f.Build(nil, identity("owner"), now())
	tk, err2 := task.Parse(must(t, b, err).Tasks[0].Bytes)
	tk = must(t, tk, err2)
	if !tk.Hardened() || tk.Protection.Evaluations != 2 || tk.Protection.CredentialEpochs == 0 || tk.Protection.Randomness.URL != "https://randomness.example" {
		t.Errorf("protection %+v", tk.Protection)
	}
	if w := f.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	text := strings.Join(strings.Fields(planOf(t, f).Text()), " ")
	for _, want := range []string{
		"a guess costs one evaluation", "128 an epoch (2 requests of 64)", "is its operator's claim",
		"it is in a batch after 49h15m at most", "distinct credentials are not distinct people or networks",
		"it cannot confirm a guess without the randomness party",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "it can confirm a guess") {
		t.Error("the plan says that a guess can be confirmed")
	}
}

// TestQuorumOfBefore: a file that was written before quorums were hardened gives the task
// that it gave, byte for byte, and a warning that says what to write.
func TestQuorumOfBefore(t *testing.T) {
	lines := []string{"crowd: payload"}
	old, err := hardenedFile(t, "", lines...)
	old = must(t, old, err)
	w := old.Warnings()
	if len(w) != 1 || !strings.HasPrefix(w[0], "metrics.yaml:12: metric pages:") || !strings.Contains(w[0], "quorum: {hardened: no, because: ...}") {
		t.Errorf("warnings %q", w)
	}
	present, err := hardenedFile(t, "", append(lines, "quorum: {hardened: no, because: the pages hold random tokens that nobody guesses}")...)
	present = must(t, present, err)
	if w := present.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	b1, err := old.Build(nil, identity("owner"), now())
	b2, err2 := present.Build(nil, identity("owner"), now())
	one, two := must(t, b1, err).Tasks[0], must(t, b2, err2).Tasks[0]
	if string(one.Bytes) != string(two.Bytes) {
		t.Error("the file of before gives another task")
	}
	tk, err := task.Parse(one.Bytes)
	if tk = must(t, tk, err); tk.Hardened() || tk.Protection.CredentialEpochs != 0 || one.Bytes[0] != 1 {
		t.Errorf("the task is of version %d with protection %+v", one.Bytes[0], tk.Protection)
	}
	if text := strings.Join(strings.Fields(planOf(t, present).Text()), " "); !strings.Contains(text, "the quorum is not hardened") || !strings.Contains(text, "random tokens") {
		t.Errorf("the plan does not give the reason:\n%s", text)
	}
}

// TestHardenedNeeds lists what a hardened quorum, or one that is not, is refused for.
func TestHardenedNeeds(t *testing.T) {
	for want, c := range map[string]struct {
		party string
		lines []string
	}{
		"names no party that evaluates":            {"", []string{"crowd: payload", "quorum: {hardened: yes}"}},
		"add because":                              {"", []string{"crowd: payload", "quorum: {hardened: no}"}},
		"because: gives the reason":                {randomnessParty, []string{"quorum: {because: there is no reason for it at all}"}},
		"evaluations: has no meaning":              {"", []string{"crowd: payload", "quorum: {hardened: false, evaluations: 3, because: the pages hold random tokens}"}},
		"evaluations: \"5\"":                       {randomnessParty, []string{"quorum: {evaluations: 5}"}},
		"constant has no value":                    {randomnessParty, []string{"crowd: constant"}},
		"counts clients by their credentials":      {randomnessParty, []string{"credential: none"}},
		"has one share of each value":              {randomnessParty, []string{"per_crowd: 2", "per_epoch: 2", "privacy: {threshold: 40, drop: 30, sigma: 4}"}},
		"at most 256 values":                       {randomnessParty, []string{"per_epoch: 257"}},
		"at most 64 values":                        {randomnessParty, []string{"per_epoch: 65", "quorum: {evaluations: 1}"}},
		"is text outside the crowd":                {randomnessParty, []string{"record: {url: {type: string, max: 60}, note: {type: string, max: 20}}"}},
		"with encoding: quorum nobody can tell":    {"", nil},
		"has a meaning with encoding: quorum only": {randomnessParty, []string{"encoding: plain", "quorum: {evaluations: 1}"}},
		"must be an organisation of its own":       {strings.Replace(randomnessParty, "randomness.example", "analyzer.example", 1), nil},
	} {
		f, err := hardenedFile(t, c.party, c.lines...)
		if err == nil {
			_, err = f.Build(nil, identity("owner"), now())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	// A sensitive crowd is no reason to refuse: a single shuffler confirms nothing.
	_, err := hardenedFile(t, randomnessParty, "record: {url: {type: string, max: 60, sensitive: true}, language: {type: enum, values: [de, en]}}")
	if err != nil {
		t.Error(err)
	}
}

// TestSumsOfHardened: what a file costs a client together is computed for its hardened
// metrics, too.
func TestSumsOfHardened(t *testing.T) {
	f, err := hardenedFile(t, randomnessParty)
	sums, err2 := must(t, f, err).Sums()
	if len(must(t, sums, err2)) == 0 {
		t.Error("no sums")
	}
	if _, err := f.Plan(nil, plan.Population{Clients: 10_000, Values: 100, Exponent: 1}); err != nil {
		t.Error(err)
	}
}
