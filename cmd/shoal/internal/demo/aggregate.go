package demo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// The two aggregate questions of the demo: whether something is true of a person,
// without noise, so that the answer is exact; and a number, with noise.
const (
	countMetric     = "has.it"
	histogramMetric = "how.many"
)

// fewestPeople is below which the demo asks no aggregate question: a smaller batch
// is not collected.
const fewestPeople = 100

// sums are the aggregate questions about an input.
type sums struct {
	count, histogram string // the questions
	buckets          []int
	yes              func(things []int) bool
	number           func(things []int) int
}

// sums returns the aggregate questions, nil if there are too few people.
func (in *Input) sums() *sums {
	if len(in.Who) < fewestPeople || in.Simulated || in.Protected {
		return nil
	}
	if len(in.Members) > 0 {
		return in.setSums()
	}
	thing := in.nearestHalf(len(in.Things), func(i int, things []int) bool { return slices.Contains(things, i) })
	return &sums{
		count:     fmt.Sprintf("How many people have %q?", in.Things[thing].Label),
		histogram: "How many characters has the longest entry of a person?",
		buckets:   []int{3, 5, 7, 9, 12, 16},
		yes:       func(things []int) bool { return slices.Contains(things, thing) },
		number: func(things []int) int {
			longest := 0
			for _, i := range things {
				longest = max(longest, utf8.RuneCountInString(in.Things[i].Label))
			}
			return longest
		},
	}
}

// setSums ask about the member of the set that divides people best.
func (in *Input) setSums() *sums {
	in1 := func(member, thing int) bool { return in.Things[thing].Set>>member&1 == 1 }
	any1 := func(member int, things []int) bool {
		return slices.ContainsFunc(things, func(i int) bool { return in1(member, i) })
	}
	member := in.nearestHalf(len(in.Members), any1)
	return &sums{
		count:     fmt.Sprintf("How many people use a program of the kind %q?", in.Members[member]),
		histogram: fmt.Sprintf("How many of a person's programs are not of the kind %q?", in.Members[member]),
		buckets:   []int{6, 7, 8, 9, 10},
		yes:       func(things []int) bool { return any1(member, things) },
		number: func(things []int) int {
			n := 0
			for _, i := range things {
				if !in1(member, i) {
					n++
				}
			}
			return n
		},
	}
}

// nearestHalf returns which of n statements is true of nearest to half of all
// people, or of more: the author of a question knows what it is about, and must
// not have learnt it from the few people it is true of.
func (in *Input) nearestHalf(n int, holds func(i int, things []int) bool) int {
	best, distance := 0, math.MaxInt
	for i := range n {
		count := 0
		for _, things := range in.Who {
			if holds(i, things) {
				count++
			}
		}
		d := 2*count - len(in.Who)
		if d < 0 {
			d = len(in.Who) - d // rather any that most people have
		}
		if d < distance {
			best, distance = i, d
		}
	}
	return best
}

// yaml are the entries of metrics.yaml.
func (s *sums) yaml(people int, expires string) string {
	if s == nil {
		return ""
	}
	rest := fmt.Sprintf("    min_batch: %d\n    epoch: 1h\n    max_delay: 1h\n    expires: %s\n", max(fewestPeople, people/2), expires)
	return fmt.Sprintf(`
  %s:
    method: aggregate
    question: %q
    consent: >-
      Whether this is true of you is added up over all devices. Two organisations
      hold one half of your answer each, and neither can read it.
    type: count
    noise: none
%s
  %s:
    method: aggregate
    question: %q
    consent: >-
      In which range your number lies is added up over all devices. Two
      organisations hold one half of your answer each, and neither can read it.
    type: histogram
    buckets: %s
    noise: {epsilon: 1}
%s`, countMetric, s.count, rest, histogramMetric, s.histogram, yamlList(s.buckets), rest)
}

func yamlList(numbers []int) string {
	text := "["
	for i, n := range numbers {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(n)
	}
	return text + "]"
}

// metrics are the names that a device records.
func (s *Stage) metrics() []string {
	if s.sums == nil {
		return []string{s.config.Input.Metric}
	}
	return []string{s.config.Input.Metric, countMetric, histogramMetric}
}

// tell lets a device record what the aggregate questions ask of its owner.
func (s *sums) tell(c *shoal.Client, things []int) error {
	if s == nil {
		return nil
	}
	if s.yes(things) {
		if o := c.Count(countMetric); !o.Queued() {
			return fmt.Errorf("a simulated device did not count: %v", o)
		}
	}
	if o := c.Observe(histogramMetric, s.number(things)); !o.Queued() {
		return fmt.Errorf("a simulated device did not observe: %v", o)
	}
	return nil
}

// A Sum is the answer to an aggregate question beside the truth.
type Sum struct {
	Metric   string   `json:"metric"`
	Question string   `json:"question"`
	Kind     string   `json:"kind"`
	Reports  uint64   `json:"reports"`
	Noise    string   `json:"noise"`
	Rows     []SumRow `json:"rows"`
	Exact    int      `json:"exact"`           // rows that are the truth
	Inside   int      `json:"inside_interval"` // rows whose interval holds the truth
}

// A SumRow is one number of it.
type SumRow struct {
	Label    string  `json:"label"`
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"` // 95% interval
	High     float64 `json:"high"`
	True     int     `json:"true"` // what the simulation knows
}

// waiting returns how many of the aggregate questions are not answered yet.
func (s *Stage) waiting(ctx context.Context) (int, error) {
	if s.sums == nil {
		return 0, nil
	}
	entries, err := s.analyzer.Aggregates().Entries(ctx)
	return 2 - len(entries), err
}

// compareSums reads the released sums and puts the truth beside them.
func (s *Stage) compareSums(ctx context.Context, r *Result) error {
	if s.sums == nil {
		return nil
	}
	entries, err := s.analyzer.Aggregates().Entries(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{countMetric, histogramMetric} {
		i := slices.IndexFunc(entries, func(e collector.Entry) bool { return e.Manifest.Metric == name })
		if i < 0 {
			return fmt.Errorf("no answer to %s", name)
		}
		m := entries[i].Manifest
		sum := Sum{Metric: name, Question: m.Question, Kind: m.Parameters.Kind, Reports: m.Reports, Noise: m.Parameters.Noise}
		if err := s.sumRows(ctx, &sum); err != nil {
			return err
		}
		r.Sums = append(r.Sums, sum)
	}
	return nil
}

func (s *Stage) sumRows(ctx context.Context, sum *Sum) error {
	batches, err := release.Select(ctx, s.analyzer.Aggregates(), release.Query{Metric: sum.Metric})
	if err != nil {
		return err
	}
	for row, err := range batches[0].Rows(collector.ResultsTable) {
		if err != nil {
			return err
		}
		label, _ := row[1].(string)
		if label == collector.Answered {
			continue
		}
		v := SumRow{Label: label, True: s.truth(sum.Metric, len(sum.Rows))}
		v.Estimate, _ = row[3].(float64)
		v.Low, _ = row[5].(float64)
		v.High, _ = row[6].(float64)
		if v.Estimate == float64(v.True) {
			sum.Exact++
		}
		if v.Low <= float64(v.True) && float64(v.True) <= v.High {
			sum.Inside++
		}
		sum.Rows = append(sum.Rows, v)
	}
	return nil
}

// truth counts the people of whom the count is true, or whose number is in a
// bucket of the histogram.
func (s *Stage) truth(metric string, bucket int) int {
	n := 0
	for _, things := range s.config.Input.Who {
		in := s.sums.yes(things)
		if metric == histogramMetric {
			at, found := slices.BinarySearch(s.sums.buckets, s.sums.number(things))
			if found { // a value on a bound is above it
				at++
			}
			in = at == bucket
		}
		if in {
			n++
		}
	}
	return n
}

// closes returns when the last batch of an epoch of the demo closes.
func (s *Stage) closes(epoch task.Epoch) time.Time {
	last := s.task.Closes(epoch)
	for _, t := range s.aggregates {
		if c := t.Closes(epoch); c.After(last) {
			last = c
		}
	}
	return last
}
