package message

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// TestOwnSchemas: nothing in our own messages links two of them.
func TestOwnSchemas(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range append(Schemas(), badQuery(), audience()) {
		for _, f := range Lint(s) {
			t.Errorf("%s: %s", s.Name, f)
		}
		if seen[s.Name] || s.Version < 1 {
			t.Errorf("%s stands twice or has no version", s.Name)
		}
		seen[s.Name] = true
	}
}

// TestLintRefuses: each field that identifies, and the reason.
func TestLintRefuses(t *testing.T) {
	base := func() Schema { return pageSchema() }
	with := func(fields ...Field) Schema {
		s := base()
		s.Fields = append(s.Fields, fields...)
		return s
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		schema Schema
		want   string
	}{
		"free text":                {with(Field{Name: "comment", Kind: Text}), "free text may say who wrote it"},
		"stable identifier":        {with(Field{Name: "profile", Kind: ID}), "links them"},
		"time to the minute":       {with(Field{Name: "at", Kind: Time, Grain: time.Minute}), "finer than the day"},
		"time to the hour":         {with(Field{Name: "at", Kind: Time, Grain: time.Hour}), "finer than the day"},
		"long number":              {with(Field{Name: "height", Kind: Number, High: 1 << 30}), "number of 31 bits is an identifier"},
		"exact number":             {with(Field{Name: "height", Kind: Number, High: 20_000}), "use buckets"},
		"name of a user":           {with(Field{Name: "user_kind", Kind: Choice, Values: []string{"a", "b"}}), `called "user"`},
		"session":                  {with(Field{Name: "session", Kind: Choice, Values: []string{"a", "b"}}), `called "session"`},
		"device in one word":       {with(Field{Name: "mainDeviceModel", Kind: Choice, Values: []string{"a", "b"}}), `called "device"`},
		"address":                  {with(Field{Name: "oc", Kind: Number, High: 255}), `called "oc"`},
		"title outside the crowd":  {with(Field{Name: "title", Kind: Title}), "outside the crowd"},
		"query outside the crowd":  {with(Field{Name: "query", Kind: Words}), "outside the crowd"},
		"too many values":          {with(Field{Name: "theme", Kind: Choice, Values: many}), "bits beside its crowd"},
		"many small fields":        {with(Field{Name: "a", Kind: Choice, Values: many[:16]}, Field{Name: "b", Kind: Choice, Values: many[:16]}), "bits beside its crowd"},
		"second number":            {with(Field{Name: "another", Kind: Nonce}), "one fresh number is enough"},
		"unknown kind":             {with(Field{Name: "x", Kind: "anything"}), "unknown kind"},
		"no values":                {with(Field{Name: "x", Kind: Choice}), "it has no values"},
		"bounds that do not climb": {with(Field{Name: "x", Kind: Bucket, Bounds: []int64{1, 1}}), "do not increase"},
		"no crowd":                 {func() Schema { s := base(); s.Crowd = nil; return s }(), "it has no crowd"},
		"crowd of nothing":         {func() Schema { s := base(); s.Crowd = append(s.Crowd, "nothing"); return s }(), "not in the message"},
		"crowd of one":             {func() Schema { s := base(); s.Crowd = append(s.Crowd, "anti_duplicate"); return s }(), "no crowd but its own"},
		"a path": {schema("path", "", []string{"first", "second", "third"},
			Field{Name: "first", Kind: URL}, Field{Name: "second", Kind: URL}, Field{Name: "third", Kind: URL}), "one fact a message"},
		"the overview's page": {overviewPage(), "bits beside its crowd"},
	} {
		findings := Lint(c.schema)
		found := false
		for _, f := range findings {
			found = found || f.Refused && strings.Contains(f.String(), c.want)
		}
		if !found {
			t.Errorf("%s: %v, want a refusal with %q", name, findings, c.want)
		}
	}
	warned := Lint(with(Field{Name: "theme", Kind: Choice, Values: many[:16]}))
	if len(warned) != 1 || warned[0].Refused {
		t.Errorf("a little more: %v", warned)
	}
	if bits := LooseBits(base()); bits < 8.5 || bits > 9 {
		t.Errorf("a page message says %.2f bits beside its crowd", bits)
	}
}

// overviewPage is the page message of the Web Discovery Project's overview, with
// the caps of its code.
func overviewPage() Schema {
	return Schema{Name: "overview_page", Version: 1, Crowd: []string{"url"}, Fields: append([]Field{
		{Name: "url", Kind: URL},
		{Name: "a", Kind: Number, High: 100},
		{Name: "mm", Kind: Number, High: 100},
		{Name: "sc", Kind: Number, High: 100},
		{Name: "kp", Kind: Number, High: 100},
		{Name: "cp", Kind: Number, High: 10},
		{Name: "md", Kind: Number, High: 50},
		{Name: "lh", Kind: Number, High: 10 << 20},
		{Name: "dur", Kind: Number, High: 1_200_000},
		{Name: "ref", Kind: Masked},
		{Name: "size", Kind: Choice, Values: strings.Split(strings.Repeat("x", 1<<16), "")},
	}, envelope()...)}
}

// TestMetrics: the metrics that are documented for our messages hold what the
// messages hold, in the same crowds, and the linter agrees with them.
func TestMetrics(t *testing.T) {
	const name = "../../../docs/examples/discovery-metrics.yaml"
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := metric.Read(name, src, now()); err == nil || !strings.Contains(err.Error(), "a single shuffler sees the sender's address") {
		t.Errorf("the check does not say why: %v", err)
	}
	// The file may accept the risk for simulated people.
	accepted := strings.ReplaceAll(string(src), "    expires:", "    accept: [\"a single shuffler can confirm guesses: because these people are simulated\"]\n    expires:")
	file, err := metric.ReadSimulated(name, []byte(accepted), now())
	if err != nil {
		t.Fatal(err)
	}
	owner, hops := parties(t)
	built, err := file.Build(hops, owner, now())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := built.Open([]ed25519.PublicKey{owner.Public()})
	if err != nil {
		t.Fatal(err)
	}
	tasks := map[string]*task.Task{}
	for _, o := range opened {
		tasks[o.Task.Metric] = o.Task
	}
	var names []string
	for _, s := range Schemas() {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, metric.DiscoveryMetrics()) {
		t.Errorf("messages %v, and metrics that people cannot yet answer are %v", names, metric.DiscoveryMetrics())
	}
	for _, s := range Schemas() {
		k := tasks[s.Name]
		if k == nil {
			t.Errorf("no metric for %s", s.Name)
			continue
		}
		sameShape(t, &s, k)
		for _, f := range Lint(FromTask(k)) {
			if f.Refused {
				t.Errorf("%s: %s", s.Name, f)
			}
		}
	}
	// A record fits its metric.
	p := page(t, storyURL, story)
	for _, m := range []Message{p.Engaged(Engagement{Scrolls: 99}), p.Titled(), p.AfterQuery(search(t, finchURL), 1), p.AfterPage("https://news.example.com/x")} {
		r, d := sanitizer(t, nil).Check(m, Moment{Now: now()})
		if d.Verdict != discovery.Public {
			t.Fatal(d)
		}
		k := tasks[r.Name]
		record := make(task.Record, len(k.Schema))
		for i := range k.Schema {
			record[i] = r.Fields[k.Schema[i].Name]
		}
		if _, err := k.Schema.Encode(record); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}

// parties are an unknown owner, shuffler and analyzer.
func parties(t *testing.T) (task.IdentityKey, []task.Party) {
	t.Helper()
	var keys []task.IdentityKey
	for i := range 3 {
		key, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys[0], []task.Party{
		{Role: task.Shuffler, URL: "https://shuffler.example", Identity: keys[1].Public()},
		{Role: task.Analyzer, URL: "https://analyzer.example", Identity: keys[2].Public()},
	}
}

// sameShape compares a schema with the metric that collects it.
func sameShape(t *testing.T, s *Schema, k *task.Task) {
	t.Helper()
	var crowd []string
	for _, i := range k.Crowd.Fields {
		crowd = append(crowd, k.Schema[i].Name)
	}
	if !slices.Equal(crowd, s.Crowd) {
		t.Errorf("%s: the crowd of the metric is %v, of the message %v", s.Name, crowd, s.Crowd)
	}
	i := 0
	for j := range s.Fields {
		f := &s.Fields[j]
		if f.enveloped() {
			continue
		}
		if i >= len(k.Schema) || k.Schema[i].Name != f.Name || !slices.Equal(k.Schema[i].Buckets, f.Bounds) || (k.Schema[i].Kind == task.Int) != (f.Kind == Bucket) {
			t.Errorf("%s: field %q is another in the metric", s.Name, f.Name)
		}
		i++
	}
	if i != len(k.Schema) {
		t.Errorf("%s: the metric has %d fields, the message %d", s.Name, len(k.Schema), i)
	}
}

func FuzzLint(f *testing.F) {
	f.Add("page", "url", "url", int64(0), int64(5), uint16(3), true)
	f.Add("x", "user_id", "choice", int64(-1<<63), int64(1<<62), uint16(0), false)
	f.Fuzz(func(t *testing.T, name, field, kind string, low, high int64, values uint16, covered bool) {
		s := Schema{Name: name, Fields: append([]Field{{Name: field, Kind: FieldKind(kind), Low: low, High: high, Bounds: []int64{low, high}, Values: make([]string, values), Grain: time.Duration(low)}}, envelope()...)}
		if covered {
			s.Crowd = []string{field}
		}
		findings := Lint(s)
		for _, f := range findings {
			if f.Text == "" || f.String() == "" {
				t.Fatal("a finding without text")
			}
		}
		refused := slices.ContainsFunc(findings, func(f Finding) bool { return f.Refused })
		switch FieldKind(kind) {
		case Text, ID:
			if !refused {
				t.Fatalf("kind %s passes", kind)
			}
		}
		if !covered && !refused {
			t.Fatal("a message without a crowd passes")
		}
	})
}
