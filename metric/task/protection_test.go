package task_test

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

// protected returns a valid quorum task with every protection.
func protected() *task.Task {
	t := quorum()
	t.Protection = task.Protection{
		Relay:            task.Party{Role: task.Relay, URL: "https://relay.example", Identity: identity("relay").Public()},
		CredentialEpochs: 7,
		Randomness:       task.Party{Role: task.Randomness, URL: "https://randomness.example", Identity: identity("randomness").Public()},
		Evaluations:      2,
	}
	return t
}

func TestGoldenProtected(t *testing.T) {
	tk := protected()
	b, err := tk.Bytes()
	golden.Equal(t, "testdata/protected.bin", must(t, b, err))
	back, err := task.Parse(b)
	if !reflect.DeepEqual(must(t, back, err), tk) {
		t.Errorf("parsed %+v\nwant %+v", back, tk)
	}
	if n := len(tk.Parties()); n != 4 {
		t.Errorf("%d parties, want shuffler, analyzer, relay and randomness", n)
	}
	if first, end := tk.CredentialPeriod(16); first != 14 || end != 21 {
		t.Errorf("credential period of epoch 16 is %d to %d, want 14 to 21", first, end)
	}
}

// TestProtectionIsCanonical covers the threat of protections that are skipped, come
// twice or in another order: one task would have two encodings, or a program would
// read less protection than its owner signed.
func TestProtectionIsCanonical(t *testing.T) {
	b, err := protected().Bytes()
	must(t, b, err)
	for i := range b {
		if _, err := task.Parse(b[:i]); err == nil {
			t.Errorf("parsed %d bytes of %d", i, len(b))
		}
		changed := bytes.Clone(b)
		changed[i] ^= 1
		tk, err := task.Parse(changed)
		if err != nil {
			continue
		}
		if again, err := tk.Bytes(); !bytes.Equal(must(t, again, err), changed) {
			t.Errorf("byte %d: parsed from another encoding than its own", i)
		}
	}
	plain, err := sample().Bytes()
	must(t, plain, err)
	plain[0] = 2
	for name, end := range map[string][]byte{
		"none":         {},
		"empty list":   {0, 0},
		"unknown type": {0, 8, 0, 9, 0, 4, 0, 0, 0, 7},
		"empty":        {0, 4, 0, 2, 0, 0},
		"twice":        {0, 16, 0, 2, 0, 4, 0, 0, 0, 7, 0, 2, 0, 4, 0, 0, 0, 7},
		"zero":         {0, 8, 0, 2, 0, 4, 0, 0, 0, 0},
		"long":         {0, 9, 0, 2, 0, 5, 0, 0, 0, 7, 0},
	} {
		if _, err := task.Parse(append(bytes.Clone(plain), end...)); err == nil {
			t.Errorf("additions %s: parsed", name)
		}
	}
	if _, err := task.Parse(append(plain, 0, 8, 0, 2, 0, 4, 0, 0, 0, 7)); err != nil {
		t.Errorf("credentials alone: %v", err)
	}
}

func TestProtectionRefuses(t *testing.T) {
	for want, change := range map[string]func(*task.Task){
		"relay has the host or the identity of the shuffler": func(t *task.Task) { t.Protection.Relay.URL = "https://shuffler.example:8443" },
		"relay has the host or the identity of the analyzer": func(t *task.Task) { t.Protection.Relay.Identity = identity("analyzer").Public() },
		"relay: the party is a shuffler":                     func(t *task.Task) { t.Protection.Relay.Role = task.Shuffler },
		"relay: identity has 0 bytes":                        func(t *task.Task) { t.Protection.Relay.Identity = ed25519.PublicKey{} },
		"randomness has the host or the identity of the relay": func(t *task.Task) {
			t.Protection.Randomness.Identity = t.Protection.Relay.Identity
		},
		"randomness: only a quorum": func(t *task.Task) { t.Encoding = task.Encoding{} },
		"a hardened quorum wants credentials": func(t *task.Task) {
			t.Protection.CredentialEpochs = 0
		},
		"0 evaluations":    func(t *task.Task) { t.Protection.Evaluations = 0 },
		"5000 evaluations": func(t *task.Task) { t.Protection.Evaluations = 5000 },
		"a period of 7 epochs, want a multiple of the 2": func(t *task.Task) {
			t.Encoding, t.Protection.Randomness, t.Protection.Evaluations = task.Encoding{}, task.Party{}, 0
			t.Crowd.SaltEpochs = 2
		},
		"a period of 100000 epochs": func(t *task.Task) { t.Protection.CredentialEpochs = 100_000 },
	} {
		tk := protected()
		change(tk)
		if _, err := tk.Bytes(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestLoopbackParties holds that parties on one machine, which tests and the demo
// have, are told apart by their ports.
func TestLoopbackParties(t *testing.T) {
	tk := protected()
	tk.Hops[0].URL, tk.Protection.Relay.URL = "http://127.0.0.1:1000", "http://localhost:1001"
	if _, err := tk.Bytes(); err != nil {
		t.Error(err)
	}
	tk.Protection.Relay.URL = "http://localhost:1000"
	if _, err := tk.Bytes(); err == nil {
		t.Error("relay on the port of the shuffler was accepted")
	}
}

// TestOpenGivesAll covers a program that refuses a protection which it gives, or accepts
// one that it does not know: all that can be read are given today, on both routes.
func TestOpenGivesAll(t *testing.T) {
	owners := []ed25519.PublicKey{identity("owner").Public()}
	all := protected()
	sums := aggregates()[0]
	sums.Protection = task.Protection{Relay: all.Protection.Relay, CredentialEpochs: 28}
	for _, tk := range []*task.Task{all, sums} {
		signed, err := task.Sign(tk, identity("owner"))
		must(t, signed, err)
		if _, _, err := signed.Open(owners); err != nil {
			t.Errorf("%q: %v", tk.Metric, err)
		}
	}
}

// blindedTask returns a valid task with two shufflers and blinded crowds.
func blindedTask() *task.Task {
	t := sample()
	t.Hops = []task.Party{
		{Role: task.Shuffler, URL: "https://first.example", Identity: identity("first").Public()},
		{Role: task.Shuffler, URL: "https://second.example", Identity: identity("second").Public()},
		{Role: task.Analyzer, URL: "https://analyzer.example", Identity: identity("analyzer").Public()},
	}
	t.Crowd.SaltEpochs = 1
	t.Protection.Blinded = true
	return t
}

func TestBlinded(t *testing.T) {
	tk := blindedTask()
	b, err := tk.Bytes()
	golden.Equal(t, "testdata/blinded.bin", must(t, b, err))
	back, err := task.Parse(b)
	if !reflect.DeepEqual(must(t, back, err), tk) {
		t.Errorf("parsed %+v\nwant %+v", back, tk)
	}
	if err := tk.Implemented(); err != nil {
		t.Error(err)
	}
	tk.Protection.CredentialEpochs, tk.PerEpoch, tk.PerCrowd = 1, 3, 3
	if err := tk.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, hop := range tk.Hops[:2] { // the last shuffler knows no crowd before it has counted
		want := []task.Presentation{{Kind: task.EpochPresentation, Limit: 3}}
		if have := tk.Presentations(hop); !reflect.DeepEqual(have, want) {
			t.Errorf("%v asks for %v, want %v", hop.URL, have, want)
		}
	}
	for name, spoil := range map[string]func(*task.Task){
		"one shuffler": func(t *task.Task) { t.Hops = t.Hops[1:] },
		"three shufflers": func(t *task.Task) {
			t.Hops = append(t.Hops[:1:1], t.Hops...)
			t.Hops[0].Identity = identity("x").Public()
			t.Hops[0].URL = "https://x.example"
		},
		"constant crowds":         func(t *task.Task) { t.Crowd = task.CrowdRule{Kind: task.Constant, SaltEpochs: 1} },
		"carry-over":              func(t *task.Task) { t.Crowd.SaltEpochs, t.Protection.CredentialEpochs = 2, 2 },
		"caps that nobody counts": func(t *task.Task) { t.PerCrowd = 1 },
	} {
		bad := *tk
		bad.Hops = append([]task.Party(nil), tk.Hops...)
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "blinded") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
