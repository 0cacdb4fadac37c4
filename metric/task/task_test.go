package task_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

func TestGoldenTask(t *testing.T) {
	tk := sample()
	b, err := tk.Bytes()
	golden.Equal(t, "testdata/task.bin", must(t, b, err))
	id, err := tk.ID()
	golden.Equal(t, "testdata/task.id", []byte(must(t, id, err).String()+"\n"))
	back, err := task.Parse(b)
	if !reflect.DeepEqual(must(t, back, err), tk) {
		t.Errorf("parsed %+v\nwant %+v", back, tk)
	}
	parsed, err := task.ParseID(id.String())
	if must(t, parsed, err) != id {
		t.Errorf("ParseID gave %s", parsed)
	}
}

func TestRoundTripOfVariants(t *testing.T) {
	for name, tk := range map[string]*task.Task{
		"pairs":  list(task.Fragment{Kind: task.Pairs, Cap: 3}),
		"tuples": list(task.Fragment{Kind: task.Tuples, M: 3}),
		"bits":   bits(),
		"fields": fields(),
		"quorum": quorum(),
	} {
		b, err := tk.Bytes()
		back, err2 := task.Parse(must(t, b, err))
		if !reflect.DeepEqual(must(t, back, err2), tk) {
			t.Errorf("%s: parsed %+v\nwant %+v", name, back, tk)
		}
	}
}

// TestParseIsCanonical covers the threat of two byte strings, and so two IDs
// and two signatures, for one task.
func TestParseIsCanonical(t *testing.T) {
	b, err := sample().Bytes()
	must(t, b, err)
	for i := range b {
		for _, mask := range []byte{1, 0x80} {
			changed := bytes.Clone(b)
			changed[i] ^= mask
			tk, err := task.Parse(changed)
			if err != nil {
				continue
			}
			if again, err := tk.Bytes(); !bytes.Equal(must(t, again, err), changed) {
				t.Errorf("byte %d: parsed from another encoding than its own", i)
			}
		}
		if _, err := task.Parse(b[:i]); err == nil {
			t.Errorf("parsed %d bytes of %d", i, len(b))
		}
	}
	if _, err := task.Parse(append(b, 0)); err == nil {
		t.Error("parsed bytes beyond the end")
	}
	if _, err := task.Parse(make([]byte, task.MaxBytes+1)); err == nil {
		t.Error("parsed more than the limit")
	}
	b[0] = 3
	if _, err := task.Parse(b); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("version 3 gave %v", err)
	}
}

func TestValidateRefuses(t *testing.T) {
	type change = func(*task.Task)
	for want, f := range map[string]change{
		"owner key has 31":                func(t *task.Task) { t.Owner = t.Owner[1:] },
		"owner's name has 0":              func(t *task.Task) { t.OwnedBy = "" },
		"metric name":                     func(t *task.Task) { t.Metric = "Crash" },
		"question has 0":                  func(t *task.Task) { t.Question = "" },
		"question has 1001":               func(t *task.Task) { t.Question = strings.Repeat("q", 1001) },
		"consent text has 4001":           func(t *task.Task) { t.Consent = strings.Repeat("c", 4001) },
		"is not UTF-8":                    func(t *task.Task) { t.Consent = "\xff" },
		"control characters":              func(t *task.Task) { t.Question = "safe\u202eefas" },
		"unknown method 3":                func(t *task.Task) { t.Method = 3 },
		"setting of the method aggregate": func(t *task.Task) { t.Aggregation.Kind = kind.Count{Max: 1} },
		"unknown method":                  func(t *task.Task) { t.Method = 3 },
		"schema: 0 fields":                func(t *task.Task) { t.Schema = nil },
		"schema: field 1: name":           func(t *task.Task) { t.Schema[1].Name = "a.b" },
		"stands twice":                    func(t *task.Task) { t.Schema[1].Name = "program" },
		"maximum 0":                       func(t *task.Task) { t.Schema[0].Max = 0 },
		"does not use is not zero":        func(t *task.Task) { t.Schema[0].Flip = 1 },
		"unknown kind":                    func(t *task.Task) { t.Schema[0].Kind = 9 },
		"1 values, want 2":                func(t *task.Task) { t.Schema[1].Values = []string{"segv"} },
		`value "segv" stands twice`:       func(t *task.Task) { t.Schema[1].Values[1] = "segv" },
		"a value has 0 bytes":             func(t *task.Task) { t.Schema[1].Values[1] = "" },
		"probability 1000001":             func(t *task.Task) { t.Schema[1].Flip = 1_000_001 },
		"probability 500000":              func(t *task.Task) { t.Schema[4].Flip = 500_000 },
		"65 values":                       func(t *task.Task) { t.Schema[5].Values = words(65) },
		"is empty":                        func(t *task.Task) { t.Schema[3].Low = 301 },
		"first bucket":                    func(t *task.Task) { t.Schema[2].Buckets[0] = 1 },
		"increase strictly":               func(t *task.Task) { t.Schema[2].Buckets[2] = 60 },
		"end by 86400":                    func(t *task.Task) { t.Schema[2].Buckets[2] = 86401 },
		"want strings, enums or ints":     func(t *task.Task) { t.Schema[6].Elem = task.Bool },
		"maximum of an element 0":         func(t *task.Task) { t.Schema[6].MaxStr = 0 },
		"no fields to keep":               func(t *task.Task) { t.Fragment.Keep = []uint8{0} },
		"fragment: unknown kind":          func(t *task.Task) { t.Fragment.Kind = 9 },
		"fragment: a setting":             func(t *task.Task) { t.Fragment.Cap = 1 },
		"all fields are kept":             func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Fields, Keep: upTo(9)} },
		"is not a list":                   func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Pairs} },
		"is not a set":                    func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Bits} },
		"never be sent":                   func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Bits, Field: 5, M: 1} },
		"both broken up and kept":         func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Bits, Field: 5, M: 1, Keep: []uint8{5}} },
		"field index 99":                  func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Bits, Field: 99, M: 1} },
		"chunks of 4 bits":                func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Bits, Field: 5, M: 4, Keep: without(9, 5)} },
		"tuples of 5":                     func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Tuples, Field: 6, M: 5, Keep: without(9, 6)} },
		"keep: field indexes":             func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Fields, Keep: []uint8{1, 0}} },
		"does not stand in every":         func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Fields, Keep: []uint8{0}} },
		"crowd: unknown kind":             func(t *task.Task) { t.Crowd = task.CrowdRule{Kind: 9, SaltEpochs: 1} },
		"attributes without":              func(t *task.Task) { t.Crowd.Fields = nil },
		"only a crowd of attributes":      func(t *task.Task) { t.Crowd.Kind = task.Constant },
		"crowd: field index 9":            func(t *task.Task) { t.Crowd.Fields = []uint8{9} },
		"crowd: field indexes":            func(t *task.Task) { t.Crowd.Fields = []uint8{0, 0} },
		"a salt of 0":                     func(t *task.Task) { t.Crowd.SaltEpochs = 0 },
		"T 0":                             func(t *task.Task) { t.Threshold.T = 0 },
		"naive threshold has neither":     func(t *task.Task) { t.Threshold.Kind = task.Naive },
		"has a sigma and no drop":         func(t *task.Task) { t.Threshold.Kind = task.NoisySet },
		"noisy drop has a sigma":          func(t *task.Task) { t.Threshold.SigmaMilli = 0 },
		"threshold: unknown kind":         func(t *task.Task) { t.Threshold.Kind = 9 },
		"smallest batch of 0":             func(t *task.Task) { t.MinBatch = 0 },
		"an epoch of 0":                   func(t *task.Task) { t.EpochSeconds = 0 },
		"longest delay":                   func(t *task.Task) { t.MaxDelay = 1 << 31 },
		"clock skew":                      func(t *task.Task) { t.ClockSkew = 1 << 31 },
		"0 reports a client and":          func(t *task.Task) { t.PerEpoch = 0 },
		"11 reports a client, crowd":      func(t *task.Task) { t.PerCrowd = 11 },
		"is not a size class":             func(t *task.Task) { t.PayloadSize = 257 },
		"payload size 128, but":           func(t *task.Task) { t.PayloadSize = 128 },
		"extension types are":             func(t *task.Task) { t.Extensions = []uint16{7, 7} },
		"17 extension types":              func(t *task.Task) { t.Extensions = make([]uint16, 17) },
		"1 hops":                          func(t *task.Task) { t.Hops = t.Hops[1:] },
		"hop 1 is a analyzer":             func(t *task.Task) { t.Hops[0].Role = task.Analyzer },
		"earlier hop":                     func(t *task.Task) { t.Hops[1].Identity = t.Hops[0].Identity },
		"hop 2: identity has 0":           func(t *task.Task) { t.Hops[1].Identity = nil },
		"retention of":                    func(t *task.Task) { t.RetentionDays = 1 << 31 },
		"which no epoch":                  func(t *task.Task) { t.NotBefore++ },
		"no epoch fits":                   func(t *task.Task) { t.Expires = t.NotBefore + 86_399 },
		"outside the years":               func(t *task.Task) { t.NotBefore = -86_400 },
		"hop 1: URL \"https://sh/\"":      func(t *task.Task) { t.Hops[0].URL = "https://sh/" },
		"\"https://shuffler.example\"":    func(t *task.Task) { t.Hops[0].URL = "https://Shuffler.example" },
	} {
		tk := sample()
		f(tk)
		err := tk.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if _, err := tk.Bytes(); err == nil {
			t.Errorf("%q: an invalid task has bytes", want)
		}
	}
}

func words(n int) []string {
	var out []string
	for i := range n {
		out = append(out, strings.Repeat("w", i+1))
	}
	return out
}

func upTo(n uint8) []uint8 { return without(n, n) }

func without(n, x uint8) []uint8 {
	var out []uint8
	for i := range n {
		if i != x {
			out = append(out, i)
		}
	}
	return out
}

func TestValidURL(t *testing.T) {
	for _, s := range []string{
		"https://a.example", "https://a.example:8443", "https://a.example/shoal/x", "http://localhost:1", "http://127.0.0.1:8080",
		"http://[::1]:8080", "https://[2001:db8::1]",
	} {
		if err := task.ValidURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "a.example", "ftp://a.example", "https://", "https://a.example/", "https://u:p@a.example", "https://a.example?q", "https://a.example/x?",
		"https://a.example#f", "https://a.example#", "http://a.example", "http://10.0.0.1", "HTTPS://a.example", "https://A.example", "https:a.example",
		"https://a.example/ x", "https://" + strings.Repeat("a", 1100), "https://localhost.evil.example/\x00", "http://127.0.0.1.evil.example",
	} {
		if err := task.ValidURL(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}

func TestEpochs(t *testing.T) {
	tk := sample()
	first := tk.EpochAt(start)
	if !tk.Start(first).Equal(start) {
		t.Errorf("first epoch starts %s, want %s", tk.Start(first), start)
	}
	if got, want := tk.Closes(first), start.Add(24*time.Hour+3600*time.Second+300*time.Second); !got.Equal(want) {
		t.Errorf("closes %s, want %s", got, want)
	}
	for e, want := range map[task.Epoch]bool{first - 1: false, first: true, first + 364: true, first + 365: false, 1 << 63: false, ^task.Epoch(0): false} {
		if tk.Covers(e) != want {
			t.Errorf("covers epoch %d: %v, want %v", e, !want, want)
		}
	}
	tk.Crowd.SaltEpochs = 7
	if tk.SaltWindow(13) != 1 || tk.SaltWindow(14) != 2 {
		t.Error("salt windows are not 7 epochs long")
	}
	if e := tk.EpochAt(time.Unix(-5, 0)); e != 0 {
		t.Errorf("epoch before 1970: %d", e)
	}
}

func TestParseIDRefuses(t *testing.T) {
	for _, s := range []string{"", "AAAA", strings.Repeat("A", 42) + "B", strings.Repeat("A", 44), strings.Repeat("+", 43)} {
		if _, err := task.ParseID(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}

func TestSizeClass(t *testing.T) {
	for n, want := range map[int]uint16{0: 64, 63: 64, 64: 128, 127: 128, 4000: 4096, 32767: 32768} {
		if got, err := task.SizeClass(n); must(t, got, err) != want {
			t.Errorf("SizeClass(%d) = %d, want %d", n, got, want)
		}
	}
	for _, n := range []int{-1, 32768} {
		if got, err := task.SizeClass(n); err == nil {
			t.Errorf("SizeClass(%d) = %d", n, got)
		}
	}
	if !slices.IsSorted(task.SizeClasses()) {
		t.Error("size classes are not sorted")
	}
}

func FuzzParse(f *testing.F) {
	for _, tk := range aggregates() {
		b, err := tk.Bytes()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, tk := range []*task.Task{sample(), protected(), bits(), fields(), list(task.Fragment{Kind: task.Tuples, M: 2})} {
		b, err := tk.Bytes()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tk, err := task.Parse(b)
		if err != nil {
			return
		}
		if again, err := tk.Bytes(); !bytes.Equal(must(t, again, err), b) {
			t.Errorf("%x is not the task's own encoding", b)
		}
		if tk.Method == task.Aggregate {
			return // it has no payload
		}
		if _, err := task.Pad(make([]byte, tk.MaxPayload()), int(tk.PayloadSize)); err != nil {
			t.Error(err)
		}
	})
}

// TestHardenedTimes: reports of a hardened task leave clients, whatever their clocks show within
// the skew, and are taken by shufflers, only when the epoch's key has been destroyed.
func TestHardenedTimes(t *testing.T) {
	tk := protected()
	skew := time.Duration(tk.ClockSkew) * time.Second
	for e := task.Epoch(20_000); e < 20_003; e++ {
		end := tk.Start(e + 1)
		destroyed := tk.EvaluationEnds(e)
		if destroyed != end.Add(skew) || tk.Opens(e) != destroyed || tk.SendsFrom(e).Add(-skew).Before(destroyed) {
			t.Errorf("epoch %d: key until %v, taken from %v, sent from %v", e, destroyed, tk.Opens(e), tk.SendsFrom(e))
		}
		if last := tk.SendsFrom(e).Add(time.Duration(tk.MaxDelay) * time.Second); last.Add(skew).After(tk.Closes(e)) {
			t.Errorf("epoch %d: sent until %v, closes at %v", e, last, tk.Closes(e))
		}
		if plain := sample(); plain.Opens(e) != plain.Start(e).Add(-skew) || plain.Closes(e) != plain.Start(e+1).Add(3600*time.Second+skew) || plain.SendsFrom(e) != plain.Start(e) {
			t.Errorf("epoch %d of a task without: %v to %v", e, plain.Opens(e), plain.Closes(e))
		}
	}
}

func TestParseRole(t *testing.T) {
	for r := task.Shuffler; r <= task.Randomness; r++ {
		if got, err := task.ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%v is read as %v, %v", r, got, err)
		}
	}
	for _, word := range []string{"", "Leader", "role 1", "client"} {
		if r, err := task.ParseRole(word); err == nil {
			t.Errorf("%q is read as %v", word, r)
		}
	}
	if s := task.Role(200).String(); s != "role 200" {
		t.Errorf("an unknown role is %q", s)
	}
}

// TestRoleWords: a role is one word in configurations, labels, paths and JSON.
func TestRoleWords(t *testing.T) {
	for r := task.Shuffler; r <= task.Gateway; r++ {
		word, err := json.Marshal(r)
		if err != nil || string(word) != strconv.Quote(r.String()) {
			t.Errorf("role %d is %s, %v", uint8(r), word, err)
		}
		var again task.Role
		if err := json.Unmarshal(word, &again); err != nil || again != r {
			t.Errorf("%s is read as %v, %v", word, again, err)
		}
	}
	for _, word := range []string{"", "Shuffler", "teacher", "role 1"} {
		var r task.Role
		if err := r.UnmarshalText([]byte(word)); err == nil || r != 0 {
			t.Errorf("%q is read as %v, %v", word, r, err)
		}
	}
}
