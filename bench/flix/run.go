package flix

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/bench/stages"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	// flip is the probability, in millionths, that a rating is replaced by a random one.
	flip = 100_000
	// Epsilon is that of a crowd, for which delta is computed.
	Epsilon = 2.25
	// all is the most reports that a user may send without a cap.
	all = maxOfAUser * (maxOfAUser + 1) / 2
)

// A Config selects what to run.
type Config struct {
	Sizes []Size // default all of [Sizes]
	Seed  uint64 // same data, same noise
	Dir   string // for intermediate files; default the system's for temporary ones; left as it was

	Clock    clock.Clock  // measures
	Progress func(string) // is called with what begins; may be nil
}

// A Row is the evaluation of a size.
type Row struct {
	Movies   int `json:"movies"`
	Users    int `json:"users"`
	Pairs    int `json:"pairs"`    // that users have
	Cap      int `json:"cap"`      // reports a user at most, 0 for all
	Reports  int `json:"reports"`  // that were sent
	Released int `json:"released"` // that stayed in both crowds
	Test     int `json:"test"`     // ratings held out

	Means   float64 `json:"means"`      // RMSE of the means of movies, not private
	Plain   float64 `json:"no_privacy"` // RMSE of the model of all pairs as they are
	Private float64 `json:"private"`    // RMSE of the model of what the analyzer reads

	LocalEpsilon float64 `json:"local_epsilon"` // of replacing one rating
	Paper        *Paper  `json:"paper,omitempty"`
	Seconds      float64 `json:"seconds"`
}

// A Result is what a run has found.
type Result struct {
	Seed  uint64  `json:"seed"`
	Rule  string  `json:"rule"`
	Delta float64 `json:"delta"` // exact, of one crowd at Epsilon, rounded up
	Rows  []Row   `json:"rows"`
}

// threshold is the rule for each of a report's two crowds.
func threshold() task.Threshold {
	return task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}
}

// Run runs the evaluation.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.Sizes == nil {
		c.Sizes = Sizes()
	}
	rule, err := threshold().Rule()
	if err != nil {
		return nil, err
	}
	result := &Result{Seed: c.Seed, Rule: rule.String(), Delta: rule.Delta(Epsilon)}
	for _, s := range c.Sizes {
		row, err := c.size(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%d movies: %w", s.Movies, err)
		}
		result.Rows = append(result.Rows, row)
	}
	return result, nil
}

func (c Config) progress(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(fmt.Sprintf(format, args...))
	}
}

// question is the task: pairs of ratings.
func question(s Size) *task.Task {
	values := make([]string, 0, s.Movies*ratingsMost)
	for movie := range s.Movies {
		for stars := 1; stars <= ratingsMost; stars++ {
			values = append(values, valueOf(rating{uint16(movie), uint8(stars)}))
		}
	}
	var limit uint32 = min(all, 1<<20)
	if s.Cap > 0 {
		limit = uint32(s.Cap)
	}
	return &task.Task{
		Metric: "flix", Question: "Which ratings do people give?",
		Schema:    task.Schema{{Name: "ratings", Kind: task.List, Elem: task.Enum, Max: maxOfAUser, Values: values, Flip: flip}},
		Fragment:  task.Fragment{Kind: task.Pairs, Field: 0, Cap: uint16(s.Cap)},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: threshold(), PerEpoch: limit, PerCrowd: limit, PayloadSize: 64,
		Protection: task.Protection{Second: task.SecondCrowd{Kind: task.OfElements}},
	}
}

func valueOf(r rating) string { return strconv.Itoa(int(r.movie)) + ":" + strconv.Itoa(int(r.stars)) }

func ratingOf(v task.Value) (rating, bool) {
	text, _ := v.(string)
	movie, stars, ok := strings.Cut(text, ":")
	m, err := strconv.ParseUint(movie, 10, 16)
	n, err2 := strconv.ParseUint(stars, 10, 8)
	return rating{uint16(m), uint8(n)}, ok && err == nil && err2 == nil
}

func recordOf(known []rating) task.Record {
	list := make([]task.Value, len(known))
	for i, r := range known {
		list[i] = valueOf(r)
	}
	return task.Record{list}
}

func (c Config) size(ctx context.Context, s Size) (Row, error) {
	start := c.Clock.Now()
	row := Row{Movies: s.Movies, Users: s.Users, Cap: s.Cap, Paper: paper(s.Movies)}
	values := float64(s.Movies * ratingsMost)
	row.LocalEpsilon = math.Log((1 - flip/1e6 + flip/1e6/values) / (flip / 1e6 / values))
	w := newWorld(s, c.Seed)
	c.progress("%d movies: without privacy", s.Movies)
	exact, pairs := w.moments(c.Seed)
	row.Pairs = pairs
	plain, means := w.test(newModel(exact), c.Seed)
	row.Plain, row.Means, row.Test = plain.rmse(), means.rmse(), int(plain.n)
	c.progress("%d movies: clients, shuffler, analyzer", s.Movies)
	read, err := c.collect(ctx, w, &row)
	if err != nil {
		return row, err
	}
	private, _ := w.test(newModel(read.estimate()), c.Seed)
	row.Private = private.rmse()
	row.Seconds = c.Clock.Now().Sub(start).Round(100 * time.Millisecond).Seconds()
	return row, nil
}

// collect has all users send their pairs, and reads what the shuffler releases.
func (c Config) collect(ctx context.Context, w *world, row *Row) (*counts, error) {
	read := newCounts(w.size.Movies)
	users := func(yield func(task.Record) bool) {
		for n := range w.size.Users {
			if known := w.draw(n, c.Seed).known; len(known) > 0 && !yield(recordOf(known)) {
				return
			}
		}
	}
	err := c.scratch(func(e *local.Engine) error {
		route, err := stages.NewRoute(question(w.size), use("keys", w.size, c.Seed))
		if err != nil {
			return err
		}
		rule, err := threshold().Rule()
		if err != nil {
			return err
		}
		b, err := stages.NewBatch(e, use("shuffler", w.size, c.Seed), route.RowWidth())
		if err != nil {
			return err
		}
		if row.Reports, err = route.Encode(ctx, b, use("clients", w.size, c.Seed), users); err != nil {
			return fmt.Errorf("clients: %w", err)
		}
		if _, err := route.ShuffleTwo(ctx, b, rule); err != nil {
			return fmt.Errorf("the shuffler: %w", err)
		}
		return route.Analyze(ctx, b, read.add)
	})
	row.Released = int(read.records)
	return read, errors.Join(err, read.err())
}

// scratch calls f with an engine on an empty directory, which it removes after.
func (c Config) scratch(f func(*local.Engine) error) (err error) {
	dir, err := os.MkdirTemp(c.Dir, "shoal-flix-")
	if err != nil {
		return fmt.Errorf("making a directory for intermediate files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	e, err := local.New(filepath.Join(dir, "engine"), local.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	return f(e)
}
