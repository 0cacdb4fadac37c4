package metric_test

import (
	"crypto/ed25519"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// TestBlindedByDefault: with two shufflers crowds are blinded where they can be, a key keeps
// them from it, and one that asks for the impossible is refused at its line.
func TestBlindedByDefault(t *testing.T) {
	b, err := os.ReadFile("../docs/examples/metrics.yaml")
	text := string(must(t, b, err))
	id := task.FormatPublic(ed25519.PublicKey(slices.Repeat([]byte{9}, ed25519.PublicKeySize)))
	two := strings.Replace(text, "  shufflers:\n", "  shufflers:\n    - {url: \"https://other.example\", identity: \""+id+"\"}\n", 1)
	key := func(text, key string) string {
		return strings.Replace(text, "    crowd: [program]\n", "    crowd: [program]\n    "+key+"\n", 1)
	}
	blinded := func(text string) bool {
		t.Helper()
		f, err := metric.Read("metrics.yaml", []byte(text), now())
		if err != nil {
			t.Fatal(err)
		}
		owner, err := task.GenerateIdentityKey(strings.NewReader(strings.Repeat("k", 64)))
		bundle, err := f.Build(nil, must(t, owner, err), now())
		tk, err := task.Parse(must(t, bundle, err).Tasks[0].Bytes)
		tk = must(t, tk, err)
		knows := false
		for _, v := range plan.Views(tk) {
			knows = knows || v.Role == task.Shuffler && strings.Contains(v.Sees, "salted hash")
		}
		if knows == tk.Protection.Blinded {
			t.Errorf("blinded: %v, and a shuffler sees a salted hash: %v", tk.Protection.Blinded, knows)
		}
		return tk.Protection.Blinded
	}
	if blinded(text) || !blinded(two) || blinded(key(two, "blinded: no")) || blinded(key(two, "salt_epochs: 2")) || blinded(key(two, "credential: required\n    per_crowd: 1")) {
		t.Error("want blinded crowds with two shufflers, without a key that forbids them, alone")
	}
	for name, bad := range map[string]string{
		"one shuffler": key(text, "blinded: yes"),
		"a salt":       key(two, "blinded: yes\n    salt_epochs: 2"),
		"caps":         key(two, "blinded: yes\n    credential: required"), // of 10 an epoch, 1 a crowd
	} {
		if _, err := metric.Read("metrics.yaml", []byte(bad), now()); err == nil || !strings.Contains(err.Error(), "blinded: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
