package lifecycle

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A Question is asked on the device, of one event after the other, and needs
// several of them for an answer. Its memory stays on the device; only the
// answer leaves, one at a time, through the sanitizer like all messages.
type Question struct {
	Name      string         // also of the schema
	Schema    message.Schema // of the answers; must pass message.Lint
	Retention time.Duration  // of what it remembers, at most 30 days
	Entries   int            // that it remembers, at most 10,000; the oldest give way
	// Ask looks at an observation and returns the values of an answer, or nil.
	// It must depend on nothing but its arguments.
	Ask func(*Memory, Observation) map[string]any
}

// An Observation is a page or a search that was found public: an anonymous
// fetch gave it. Pages and searches are observed in the order in which they were
// fetched, not in that of the visits.
type Observation struct {
	Page    *message.Page  // nil if it is a search
	Query   *message.Query // nil if it is a page
	Search  *bundle.Search // the search; of a page, the one that led straight to it, or nil
	Counts  Counts         // what was done on the page
	Visited time.Time
}

// A Memory is what a question remembers: short values under keys of which it
// keeps truncated keyed hashes only.
type Memory struct {
	m     *notes
	vault *vault
	name  string
	limit int
}

// maxValue is the length of a remembered value in bytes.
const maxValue = 64

// Get returns what is remembered under a key, and since when.
func (m *Memory) Get(key ...string) (value string, at time.Time, ok bool) {
	e, ok := m.m.entries[m.tag(key)]
	return e.value, e.at, ok
}

// Put remembers a value of at most 64 bytes with a time of its own; longer
// values are cut off. If there are too many, the oldest gives way.
func (m *Memory) Put(value string, at time.Time, key ...string) {
	t := m.tag(key)
	if _, again := m.m.entries[t]; !again && len(m.m.entries) >= m.limit {
		oldest, first := tag(0), true
		for o, e := range m.m.entries {
			if f := m.m.entries[oldest]; first || e.at.Before(f.at) || e.at.Equal(f.at) && o < oldest {
				oldest, first = o, false
			}
		}
		delete(m.m.entries, oldest)
	}
	m.m.entries[t] = entry{value[:min(len(value), maxValue)], at.UTC().Round(0)}
	m.m.changed = true
}

func (m *Memory) tag(key []string) tag { return m.vault.tag("question "+m.name, key...) }

// notes are the state of one question.
type notes struct {
	entries map[tag]entry
	changed bool
}

type entry struct {
	value string
	at    time.Time
}

// expire forgets what is older than retention, and reports whether anything was.
func (m *notes) expire(now time.Time, retention time.Duration) bool {
	n := len(m.entries)
	for t, e := range m.entries {
		if now.Sub(e.at) > retention {
			delete(m.entries, t)
		}
	}
	return len(m.entries) < n
}

// encode writes the entries in the order of their tags: tag, seconds, value.
func (m *notes) encode() []byte {
	tags := make([]tag, 0, len(m.entries))
	for t := range m.entries {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	var b []byte
	for _, t := range tags {
		e := m.entries[t]
		b = binary.BigEndian.AppendUint64(b, uint64(t))
		b = binary.BigEndian.AppendUint64(b, uint64(e.at.UnixMilli()))
		b = append(b, byte(len(e.value)))
		b = append(b, e.value...)
	}
	return b
}

func decodeNotes(b []byte) (*notes, error) {
	m := &notes{entries: make(map[tag]entry)}
	for len(b) > 0 {
		if len(b) < 17 || len(b) < 17+int(b[16]) {
			return nil, ErrStore
		}
		n := 17 + int(b[16])
		m.entries[tag(binary.BigEndian.Uint64(b))] = entry{string(b[17:n]), time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))).UTC()}
		b = b[n:]
	}
	return m, nil
}

// A survey is what the questions remember.
type survey struct {
	scene   *scene
	journal *journal
	notes   map[string]*notes // by the name of the question
}

// ask puts all questions about what was found, and gives the answers to out.
func (s *survey) ask(o Observation, out *reporter) {
	for _, q := range s.scene.config.Questions {
		m := s.notes[q.Name]
		if m == nil {
			m = &notes{entries: make(map[tag]entry)}
			s.notes[q.Name] = m
		}
		m.changed = m.expire(s.scene.now, q.Retention)
		values := q.Ask(&Memory{m, s.scene.vault, q.Name, q.Entries}, o)
		if m.changed {
			s.journal.touch(labelQuestion, q.Name)
		}
		if values == nil {
			continue
		}
		answer, err := message.NewAnswer(q.Schema, values)
		if err != nil {
			out.trail.text(StageQuestion, Dropped, q.Name, err.Error(), discovery.Decision{})
			continue
		}
		out.emit(answer, q.Name)
	}
}

// expire forgets what is older than the questions want to remember.
func (s *survey) expire() {
	for _, q := range s.scene.config.Questions {
		if m := s.notes[q.Name]; m != nil && m.expire(s.scene.now, q.Retention) {
			s.journal.touch(labelQuestion, q.Name)
		}
	}
}

func (s *survey) encode(name string) ([]byte, error) {
	m := s.notes[name]
	if m == nil || len(m.entries) == 0 {
		return nil, nil
	}
	return m.encode(), nil
}

func (s *survey) restore(name string, data []byte) error {
	m, err := decodeNotes(data)
	if err != nil {
		return err
	}
	s.notes[name] = m
	return nil
}

// Bounds of questions.
const (
	maxRetention = 30 * 24 * time.Hour
	maxEntries   = 10_000
	maxQuestions = 32
)

func checkQuestions(all []Question) error {
	if len(all) > maxQuestions {
		return fmt.Errorf("%d questions, want at most %d", len(all), maxQuestions)
	}
	names := make([]string, 0, len(all))
	for _, q := range all {
		switch {
		case q.Name == "" || q.Name != q.Schema.Name || q.Ask == nil:
			return fmt.Errorf("question %q: it has no name, not that of its schema, or nothing to ask", q.Name)
		case q.Retention <= 0 || q.Retention > maxRetention:
			return fmt.Errorf("question %q: want a retention of at most 30 days", q.Name)
		case q.Entries <= 0 || q.Entries > maxEntries:
			return fmt.Errorf("question %q: want 1 to %d entries", q.Name, maxEntries)
		}
		for _, f := range message.Lint(q.Schema) {
			if f.Refused {
				return fmt.Errorf("question %q: %s", q.Name, f)
			}
		}
		names = append(names, q.Name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	if len(slices.Compact(names)) < len(all) {
		return errors.New("two questions of one name")
	}
	return nil
}

// envelope are the fields that every message has.
func envelope(fields ...message.Field) []message.Field {
	return append(fields, message.Field{Name: "day", Kind: message.Day}, message.Field{Name: "country", Kind: message.Country}, message.Field{Name: "anti_duplicate", Kind: message.Nonce})
}

// BadQueries asks which searches are repeated on a second engine within an
// hour: the first engine's results were not good enough.
func BadQueries() Question {
	return Question{
		Name: "bad_query", Retention: 24 * time.Hour, Entries: 2000,
		Schema: message.Schema{
			Name: "bad_query", Version: 1, About: "a search was repeated on a second engine within an hour", Crowd: []string{"query", "engine", "second"},
			Fields: envelope(message.Field{Name: "query", Kind: message.Words}, message.Field{Name: "engine", Kind: message.Engine}, message.Field{Name: "second", Kind: message.Engine}),
		},
		Ask: func(m *Memory, o Observation) map[string]any {
			if o.Query == nil {
				return nil
			}
			words, engine := fold(o.Search.Query), o.Search.Engine
			other, at, ok := m.Get(words)
			if ok && other == "" {
				return nil // it was answered
			}
			if !ok || other == engine || apart(at, o.Visited) > time.Hour {
				m.Put(engine, o.Visited, words)
				return nil
			}
			first, second := other, engine
			if o.Visited.Before(at) {
				first, second = engine, other
			}
			m.Put("", o.Visited, words)
			return map[string]any{"query": o.Search.Query, "engine": first, "second": second}
		},
	}
}

func apart(a, b time.Time) time.Duration {
	if a.After(b) {
		return a.Sub(b)
	}
	return b.Sub(a)
}

// Audience asks which sites are visited on a day, each once a day.
func Audience() Question {
	return Question{
		Name: "audience", Retention: 3 * 24 * time.Hour, Entries: 5000,
		Schema: message.Schema{
			Name: "audience", Version: 1, About: "a public page of a site was visited for the first time on a day", Crowd: []string{"host"},
			Fields: envelope(message.Field{Name: "host", Kind: message.Host}),
		},
		Ask: func(m *Memory, o Observation) map[string]any {
			if o.Page == nil {
				return nil
			}
			host, date := o.Page.URL().Host(), o.Visited.UTC().Format(time.DateOnly)
			if _, _, again := m.Get(host, date); again {
				return nil
			}
			m.Put("", o.Visited, host, date)
			return map[string]any{"host": o.Page}
		},
	}
}

// ResultEngagement asks how long a page is looked at that was reached straight
// from a search, by engine: once for each search in 30 days.
func ResultEngagement() Question {
	return Question{
		Name: "result_engagement", Retention: maxRetention, Entries: 5000,
		Schema: message.Schema{
			Name: "result_engagement", Version: 1, About: "a page was reached straight from a search, and looked at for so long", Crowd: []string{"engine"},
			Fields: envelope(message.Field{Name: "engine", Kind: message.Engine}, message.Field{Name: "dwell", Kind: message.Bucket, Bounds: []int64{0, 5, 15, 60, 300}}),
		},
		Ask: func(m *Memory, o Observation) map[string]any {
			if o.Page == nil || o.Search == nil {
				return nil
			}
			words := fold(o.Search.Query)
			if _, _, again := m.Get(words, o.Search.Engine); again {
				return nil
			}
			m.Put("", o.Visited, words, o.Search.Engine)
			return map[string]any{"engine": o.Search.Engine, "dwell": int64(o.Counts.Seconds)}
		},
	}
}

// fold makes words comparable that engines take for the same search.
func fold(words string) string { return strings.ToLower(strings.Join(strings.Fields(words), " ")) }
