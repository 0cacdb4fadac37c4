package demo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
)

// A Result is the released answer beside the truth.
type Result struct {
	Question string `json:"question"`
	Input    string `json:"input"`
	People   int    `json:"people"`
	Sent     int    `json:"reports_sent"`
	Things   int    `json:"distinct_crowds"`

	Shuffler analyzer.ShufflerCounts `json:"shuffler"`
	Analyzer analyzer.Counts         `json:"analyzer"`

	Released   []Crowd    `json:"released"`
	Suppressed Suppressed `json:"suppressed"`
	Accuracy   Accuracy   `json:"accuracy"`
	Sums       []Sum      `json:"sums,omitempty"`
	Privacy    []string   `json:"privacy"`
	Received   []Received `json:"what_each_party_received"`

	SendingSeconds   float64 `json:"sending_seconds"`
	AnalysingSeconds float64 `json:"shuffling_and_analysing_seconds"`
}

// A Crowd is one released crowd.
type Crowd struct {
	Label    string   `json:"crowd"`
	Records  int64    `json:"records"`  // that were released
	Estimate float64  `json:"estimate"` // of the number of people with it
	Low      float64  `json:"low"`      // 95% interval
	High     float64  `json:"high"`
	True     int      `json:"true"`              // what the simulation knows
	Members  []string `json:"members,omitempty"` // of its set, that more than half of its records show
	Right    bool     `json:"members_right"`     // they are the true ones
}

// Suppressed are the crowds that are not released, as the simulation knows
// them.
type Suppressed struct {
	Crowds   int `json:"crowds"`
	Reports  int `json:"reports"`
	Largest  int `json:"largest"`  // people of the largest
	Singular int `json:"singular"` // crowds of one single person
}

// Accuracy compares what was released with the truth.
type Accuracy struct {
	MeanError float64 `json:"mean_error"` // mean of |estimate - true|, in people
	WorstErr  float64 `json:"worst_error"`
	Inside    int     `json:"inside_interval"` // crowds whose truth lies in the 95% interval
	Members   int     `json:"members_right"`   // crowds whose set came out right
	Invented  int     `json:"invented"`        // released crowds that no person has: must be 0
}

// compare reads the released tables and puts the truth beside them.
func (s *Stage) compare(ctx context.Context, r *Result, e analyzer.Entry) error {
	in := s.config.Input
	r.Question, r.Input = s.task.Question, in.Note
	r.People, r.Things = len(in.Who), 0
	r.Shuffler, r.Analyzer = e.Manifest.Shuffler, e.Manifest.Analyzer

	truth := make(map[string]int) // by label
	index := make(map[string]int)
	for i, n := range in.Who.Counts(len(in.Things)) {
		if n > 0 {
			truth[in.Things[i].Label] += n
			index[in.Things[i].Label] = i
		}
	}
	r.Things = len(truth)
	released, err := s.crowds(e)
	if err != nil {
		return err
	}
	members, err := s.members(e, released)
	if err != nil {
		return err
	}
	for _, c := range released {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.True = truth[c.Label]
		c.Members = members[c.Label]
		c.Right = slices.Equal(c.Members, in.names(index[c.Label]))
		r.Accuracy.add(c)
		r.Released = append(r.Released, c)
	}
	if n := len(r.Released); n > 0 {
		r.Accuracy.MeanError /= float64(n)
	}
	for label, n := range truth {
		if !slices.ContainsFunc(r.Released, func(c Crowd) bool { return c.Label == label }) {
			r.Suppressed.add(n)
		}
	}
	if err := s.compareSums(ctx, r); err != nil {
		return err
	}
	if err := s.whoSaw(ctx, r, e); err != nil {
		return err
	}
	return s.explain(r)
}

// names returns the true members of a thing's set.
func (in *Input) names(thing int) []string {
	var out []string
	for i, m := range in.Members {
		if in.Things[thing].Set>>i&1 == 1 {
			out = append(out, m)
		}
	}
	return out
}

func (a *Accuracy) add(c Crowd) {
	off := math.Abs(c.Estimate - float64(c.True))
	a.MeanError += off
	a.WorstErr = max(a.WorstErr, off)
	if c.Low <= float64(c.True) && float64(c.True) <= c.High {
		a.Inside++
	}
	if c.Right {
		a.Members++
	}
	if c.True == 0 {
		a.Invented++
	}
}

func (s *Suppressed) add(people int) {
	s.Crowds++
	s.Reports += people
	s.Largest = max(s.Largest, people)
	if people == 1 {
		s.Singular++
	}
}

// crowds reads the counts table, largest first. Its last five columns are count,
// estimate, stddev, low and high; those between the epoch and them name the
// crowd.
func (s *Stage) crowds(e analyzer.Entry) ([]Crowd, error) {
	var out []Crowd
	for row, err := range s.analyzer.Tables().Rows(e, analyzer.CountsTable) {
		if err != nil {
			return nil, err
		}
		n := len(row)
		out = append(out, Crowd{
			Label: label(row[1 : n-5]), Records: row[n-5].(int64),
			Estimate: row[n-4].(float64), Low: row[n-2].(float64), High: row[n-1].(float64),
		})
	}
	slices.SortFunc(out, func(a, b Crowd) int {
		return cmp.Or(cmp.Compare(b.Estimate, a.Estimate), cmp.Compare(a.Label, b.Label))
	})
	return out, nil
}

// members reads, for each crowd, which values more than half of its reports
// truly have. The last eight columns of the table are field, value, reports,
// observed, estimate, stddev, low and high.
func (s *Stage) members(e analyzer.Entry, crowds []Crowd) (map[string][]string, error) {
	out := make(map[string][]string)
	if len(s.config.Input.Members) == 0 {
		return out, nil
	}
	size := make(map[string]float64)
	for _, c := range crowds {
		size[c.Label] = c.Estimate
	}
	for row, err := range s.analyzer.Tables().Rows(e, analyzer.ValuesTable) {
		if err != nil {
			return nil, err
		}
		n := len(row)
		if l := label(row[1 : n-8]); row[n-4].(float64) > size[l]/2 {
			out[l] = append(out[l], row[n-7].(string))
		}
	}
	return out, nil
}

// label joins the values that name a crowd.
func label(values analyzer.Row) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return strings.Join(out, ", ")
}
