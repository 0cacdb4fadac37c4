package plan

import (
	"crypto/sha256"
	mrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

// TestHardenedViews: of a hardened task the plan states that no hop confirms a guess, how
// long a record takes, and what the randomness party sees; of another, that they do.
func TestHardenedViews(t *testing.T) {
	party := func(role task.Role, name string) task.Party {
		k, err := task.GenerateIdentityKey(mrand.NewChaCha8(sha256.Sum256([]byte(name))))
		if err != nil {
			t.Fatal(err)
		}
		return task.Party{Role: role, URL: "https://" + name + ".example", Identity: k.Public()}
	}
	tk := &task.Task{
		Method: task.Crowd, Schema: task.Schema{{Name: "page", Kind: task.String, Max: 40}},
		Crowd:     task.CrowdRule{Kind: task.Payload, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},
		Encoding:  task.Encoding{Kind: task.Quorum, Shares: 5},
		MinBatch:  100, EpochSeconds: 86_400, MaxDelay: 12 * 3600, ClockSkew: 300, PerEpoch: 10, PerCrowd: 1,
		Hops: []task.Party{party(task.Shuffler, "shuffler"), party(task.Analyzer, "analyzer")},
	}
	text := func() string {
		var b strings.Builder
		for _, v := range Views(tk) {
			b.WriteString(v.Who + ": " + v.Sees + "; " + v.Hidden + "\n")
		}
		q := quorumOf(tk)
		return b.String() + q.Reads + q.Below + q.Guess + q.Latency
	}
	if s := text(); !strings.Contains(s, "confirm a guess of the value") || strings.Contains(s, "randomness:") {
		t.Errorf("of a task that is not hardened:\n%s", s)
	}
	tk.Protection = task.Protection{CredentialEpochs: 7, Randomness: party(task.Randomness, "randomness"), Evaluations: 2}
	s := text()
	for _, want := range []string{"randomness: how many clients", "has 128 an epoch", "cannot confirm a guess", "60h15m at most"} {
		if !strings.Contains(s, want) {
			t.Errorf("the plan of a hardened task does not state %q:\n%s", want, s)
		}
	}
	if strings.Contains(s, "confirm a guess of the value") || strings.Contains(s, "values that it cannot guess") {
		t.Errorf("the plan of a hardened task states that a guess can be confirmed:\n%s", s)
	}
}
