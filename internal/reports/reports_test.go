package reports

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/metric/task"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func key(t *testing.T, n byte) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func party(t *testing.T, role task.Role, url string) task.Party {
	t.Helper()
	return task.Party{Role: role, URL: url, Identity: key(t, byte(role)).Public()}
}

// pages returns the task of page messages, with parties on this machine.
func pages(t *testing.T) *task.Task {
	t.Helper()
	return &task.Task{
		Owner: key(t, 99).Public(), OwnedBy: "Example", Metric: "page", Question: "Which pages?", Consent: "Your pages.", Method: task.Crowd,
		Schema: task.Schema{
			{Name: "url", Kind: task.String, Max: 100},
			{Name: "dwell", Kind: task.Int, High: 86400, Buckets: []int64{0, 5, 15, 60, 300}},
			{Name: "activity", Kind: task.Int, High: 5, Buckets: []int64{0, 1, 3}},
		},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.Naive, T: 10}, MinBatch: 100,
		EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, PerEpoch: 2, PerCrowd: 1, PayloadSize: 256,
		Hops:      []task.Party{party(t, task.Shuffler, "http://127.0.0.1:1"), party(t, task.Analyzer, "http://[::1]:2")},
		NotBefore: noon.Truncate(24 * time.Hour).Unix(), Expires: noon.Truncate(24*time.Hour).AddDate(0, 0, 9).Unix(),
	}
}

func options(t *testing.T, tasks ...*task.Task) shoal.Options {
	t.Helper()
	var b task.Bundle
	for _, tk := range tasks {
		s, err := task.Sign(tk, key(t, 99))
		if err != nil {
			t.Fatal(err)
		}
		b.Tasks = append(b.Tasks, s)
	}
	file, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return shoal.Options{Bundle: file, Owner: task.FormatPublic(key(t, 99).Public()), Mode: shoal.On, NoSender: true, Clock: clock.NewVirtual(noon)}
}

// protected returns the task with every protection, its parties elsewhere.
func protected(t *testing.T) *task.Task {
	t.Helper()
	tk := pages(t)
	tk.Hops = []task.Party{party(t, task.Shuffler, "https://shuffler.example"), party(t, task.Analyzer, "https://analyzer.example")}
	tk.Protection = task.Protection{
		Relay: party(t, task.Relay, "https://relay.example"), CredentialEpochs: 7,
		Randomness: party(t, task.Randomness, "https://randomness.example"), Evaluations: 1,
	}
	return tk
}

// TestHides: what is missing of the protections is named, and a task that lacks one is
// for parties on this machine alone.
func TestHides(t *testing.T) {
	if err := hides(protected(t)); err != nil {
		t.Errorf("a protected task: %v", err)
	}
	if err := hides(pages(t)); err != nil {
		t.Errorf("parties on this machine: %v", err)
	}
	for missing, remove := range map[string]func(*task.Task){
		"a relay":           func(tk *task.Task) { tk.Protection.Relay = task.Party{} },
		"credentials":       func(tk *task.Task) { tk.Protection.CredentialEpochs = 0 },
		"a hardened quorum": func(tk *task.Task) { tk.Protection.Randomness = task.Party{} },
		"a relay, credentials, a hardened quorum": func(tk *task.Task) { tk.Protection = task.Protection{} },
	} {
		tk := protected(t)
		remove(tk)
		if err := hides(tk); err == nil || !strings.Contains(err.Error(), "shuffler.example without "+missing+":") {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	one := pages(t)
	one.Hops[1].URL = "https://analyzer.example"
	if err := hides(one); err == nil {
		t.Error("one party is elsewhere")
	}
}

// TestOpen: messages that no task asks for, tasks of others and unprotected ones elsewhere
// are refused.
func TestOpen(t *testing.T) {
	other := pages(t)
	other.Metric = "other"
	if _, err := Open(t.Context(), options(t, other)); !errors.Is(err, ErrUnasked) {
		t.Errorf("no message: %v", err)
	}
	elsewhere := protected(t)
	elsewhere.Protection = task.Protection{}
	if _, err := Open(t.Context(), options(t, other, elsewhere)); err == nil || !strings.Contains(err.Error(), "without a relay") {
		t.Errorf("elsewhere: %v", err)
	}
	for name, change := range map[string]func(*shoal.Options){
		"metrics":       func(o *shoal.Options) { o.Metrics = []string{"page"} },
		"another owner": func(o *shoal.Options) { o.Owner = task.FormatPublic(key(t, 98).Public()) },
		"no owner":      func(o *shoal.Options) { o.Owner = "" },
		"no bundle":     func(o *shoal.Options) { o.Bundle = nil },
	} {
		o := options(t, pages(t))
		change(&o)
		if _, err := Open(t.Context(), o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// TestEmit: lines of a bridge become records of the task of their name, up to what one
// client may contribute; what is no message is an error that quotes nothing of it.
func TestEmit(t *testing.T) {
	s, err := Open(t.Context(), options(t, pages(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	line := func(url string) []byte {
		b, err := message.Record{
			Name: "page", Version: 1, Day: "2026-12-01", Country: "--", AntiDuplicate: 7,
			Fields: map[string]any{"url": url, "dwell": int64(60), "activity": int64(1)},
		}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, b := range [][]byte{
		line("https://one.example/"), line("https://two.example/"), line("https://three.example/"),
		[]byte(`{"name":"query","version":1,"day":"","country":"","anti_duplicate":1,"fields":{"query":"old stories","engine":"finch"}}`),
	} {
		if err := s.Emit(b); err != nil {
			t.Error(err)
		}
	}
	if got, want := s.Counts(), (Counts{Queued: 2, Unasked: 1, Refused: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, bad := range []string{
		"", "secret", `{"name":"secret"}`, string(line("https://secret.example/")) + "x",
		strings.Replace(string(line("https://secret.example/")), `"fields"`, `"more":1,"fields"`, 1),
		strings.Replace(string(line("https://secret.example/")), `"dwell":60`, `"dwell":61`, 1),
		strings.Replace(string(line("https://secret.example/")), `"dwell":60`, `"dwell":60.5`, 1),
		strings.Replace(string(line("https://secret.example/")), `"dwell":60,`, ``, 1),
		strings.Replace(string(line("https://secret.example/")), `"version":1`, `"version":2`, 1),
	} {
		if err := s.Emit([]byte(bad)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	waits, err := s.Client().Pending()
	if err != nil || len(waits) != 2 {
		t.Errorf("%d wait, %v", len(waits), err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if waits, err = s.Client().Pending(); err != nil || len(waits) != 0 {
		t.Errorf("%d wait after the history was cleared, %v", len(waits), err)
	}
}
