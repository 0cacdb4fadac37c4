package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/internal/discovery/testsite"
	"github.com/shoal-project/shoal/internal/server"
)

// Browsing describes the visitors of the test site.
type Browsing struct {
	Seed   uint64
	People int
	Visits int     // of each, at least
	Scale  float64 // how much of the test site there is, 1 for all

	Progress func(stage string, done, total int) // may be nil
}

// A Web is what simulated people did on the test site, and what their engines
// let go of it.
type Web struct {
	site   *testsite.Site
	result *testsite.Result

	pages, words Input // what is asked

	mu     sync.Mutex
	stages []*Stage // that were played and still serve; guarded by mu
}

// Servers returns the analyzers of the questions that were answered.
func (w *Web) Servers() []*server.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*server.Server
	for _, s := range w.stages {
		all = append(all, s.analyzer)
	}
	return all
}

// Close stops them.
func (w *Web) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, s := range w.stages {
		errs = append(errs, s.Close())
	}
	w.stages = nil
	return errors.Join(errs...)
}

// Browse lets simulated people browse the test site, each with a discovery
// engine of their own.
func Browse(ctx context.Context, b Browsing) (*Web, error) {
	w := &Web{site: testsite.New(testsite.Options{Seed: b.Seed, People: b.People, Scale: b.Scale})}
	records := make(map[string]map[int][]message.Record) // by message and person
	var mu sync.Mutex
	var err error
	w.result, err = w.site.Play(ctx, testsite.Play{
		Visits: b.Visits, Crowd: certain,
		Progress: func(done, total int) {
			if b.Progress != nil {
				b.Progress("browsing", done, total)
			}
		},
		Told: func(person int, r message.Record) error {
			mu.Lock()
			defer mu.Unlock()
			if records[r.Name] == nil {
				records[r.Name] = make(map[int][]message.Record)
			}
			records[r.Name][person] = append(records[r.Name][person], r)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	if w.pages, err = webInput("page", "Which pages are popular?", b.People, records["page"]); err != nil {
		return nil, err
	}
	w.words, err = webInput("query", "What do people search for?", b.People, records["query"])
	return w, err
}

// webInput makes a question of the messages of one kind.
func webInput(name, question string, people int, records map[int][]message.Record) (Input, error) {
	in := Input{
		Metric: name, Simulated: true, Who: make(Population, people),
		Note: "what their engines found public on a test site",
	}
	index := make(map[string]int)
	most := 0
	var crowd []string
	for _, s := range message.Schemas() {
		if s.Name == name {
			crowd = s.Crowd
		}
	}
	if crowd == nil {
		return Input{}, fmt.Errorf("there is no message %s", name)
	}
	for person := range in.Who {
		for _, r := range records[person] {
			key := fmt.Sprint(r.Fields) // maps print in the order of their keys
			at, ok := index[key]
			if !ok {
				at = len(in.Things)
				index[key] = at
				in.Things = append(in.Things, Thing{Label: crowdLabel(crowd, r.Fields), Record: r.Fields})
			}
			in.Who[person] = append(in.Who[person], at)
		}
		most = max(most, len(in.Who[person]))
	}
	if most == 0 {
		return Input{}, errors.New("the engines told nothing")
	}
	var err error
	in.YAML, err = webYAML(name, question, most)
	return in, err
}

func crowdLabel(crowd []string, fields map[string]any) string {
	values := make([]string, len(crowd))
	for i, name := range crowd {
		values[i] = fmt.Sprint(fields[name])
	}
	return strings.Join(values, ", ")
}

// Play asks the two questions of what the engines let go, one after the other,
// each through organisations of its own below c.Dir, which serve until Close.
func (w *Web) Play(ctx context.Context, c Config) (*WebResult, error) {
	pages, err := w.ask(ctx, c, w.pages)
	if err != nil {
		return nil, fmt.Errorf("asking which pages are popular: %w", err)
	}
	words, err := w.ask(ctx, c, w.words)
	if err != nil {
		return nil, fmt.Errorf("asking which queries are popular: %w", err)
	}
	return w.judge(pages, words), nil
}

func (w *Web) ask(ctx context.Context, c Config, in Input) (*Result, error) {
	c.Input, c.Console, c.ConsoleAddr = in, nil, ""
	c.Dir = filepath.Join(c.Dir, "discovery-"+in.Metric)
	s, err := Set(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := s.Play(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stages = append(w.stages, s)
	return r, nil
}
