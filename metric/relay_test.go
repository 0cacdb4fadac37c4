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

// withRelay returns an example file with a relay among its parties.
func withRelay(t *testing.T, file, host string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	text := string(must(t, b, err))
	id := task.FormatPublic(ed25519.PublicKey(slices.Repeat([]byte{9}, ed25519.PublicKeySize)))
	out := strings.Replace(text, "parties:\n", "parties:\n  relay: {url: \"https://"+host+"\", identity: \""+id+"\"}\n", 1)
	if out == text {
		t.Fatalf("%s has no parties", file)
	}
	return []byte(out)
}

// TestRelayOfFile: the relay of a file is in each of its tasks, and in no other view
// than its own and the network's is an address left.
func TestRelayOfFile(t *testing.T) {
	for _, file := range []string{"../docs/examples/metrics.yaml", "../docs/examples/aggregate.yaml"} {
		f, err := metric.Read("metrics.yaml", withRelay(t, file, "relay.example"), now())
		if err != nil {
			t.Fatal(err)
		}
		owner, err := task.GenerateIdentityKey(strings.NewReader(strings.Repeat("k", 64)))
		bundle, err := f.Build(nil, must(t, owner, err), now())
		for _, s := range must(t, bundle, err).Tasks {
			tk, err := task.Parse(s.Bytes)
			if tk = must(t, tk, err); tk.Protection.Relay.URL != "https://relay.example" || !tk.Relayed() {
				t.Errorf("%s: relay %+v", tk.Metric, tk.Protection.Relay)
			}
			relays := 0
			for _, v := range plan.Views(tk) {
				if v.Role == task.Relay {
					relays++
				} else if strings.Contains(v.Sees, "address") && v.Who != "network observer" {
					t.Errorf("%s: the %s sees %s", tk.Metric, v.Who, v.Sees)
				}
			}
			if relays != 1 {
				t.Errorf("%s: %d views of the relay", tk.Metric, relays)
			}
		}
		p, err := f.Plan(nil, plan.Population{Clients: 10_000, Values: 100, Exponent: 1})
		if text := strings.Join(strings.Fields(must(t, p, err).Text()), " "); !strings.Contains(text, "is a promise") || strings.Contains(text, "address beside") {
			t.Errorf("%s: the plan does not say that the relay is a promise, or says that a shuffler sees addresses", file)
		}
	}
}

// TestRelayIsAnother covers the threat of a relay that is one of the parties whom it
// keeps addresses from.
func TestRelayIsAnother(t *testing.T) {
	for _, file := range []string{"../docs/examples/metrics.yaml", "../docs/examples/aggregate.yaml"} {
		plain, err := os.ReadFile(file)
		f, err := metric.Read("metrics.yaml", must(t, plain, err), now())
		parties := append(slices.Clone(must(t, f, err).Hops), f.Aggregators...)
		host := strings.TrimPrefix(parties[0].URL, "https://")
		owner, err := task.GenerateIdentityKey(strings.NewReader(strings.Repeat("k", 64)))
		owner = must(t, owner, err)
		f, err = metric.Read("metrics.yaml", withRelay(t, file, host+":9999"), now())
		if err == nil {
			_, err = f.Build(nil, owner, now())
		}
		if err == nil || !strings.Contains(err.Error(), "must be an organisation of its own") {
			t.Errorf("%s: relay at the host of a party: %v", file, err)
		}
	}
}
