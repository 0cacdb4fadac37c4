package console_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/metric/task"
)

// fixture is a source with one question of each kind: answered, waiting, and
// suppressed.
type fixture struct {
	questions []console.Answer
	err       error
}

func (f fixture) Organisation() console.Organisation {
	return console.Organisation{Name: "Example Analyzer", URL: "https://analyzer.example", Roles: []string{"analyzer"}}
}

func (f fixture) Questions(context.Context) ([]console.Question, error) {
	var q []console.Question
	for _, a := range f.questions {
		q = append(q, a.Question)
	}
	return q, f.err
}

func (f fixture) Answer(_ context.Context, id task.ID) (console.Answer, error) {
	if f.err != nil {
		return console.Answer{}, f.err
	}
	for _, a := range f.questions {
		if a.ID == id {
			return a, nil
		}
	}
	return console.Answer{}, fmt.Errorf("task %s: %w", id, console.ErrNotFound)
}

func (f fixture) Export(_ context.Context, w io.Writer, id task.ID, format console.Format) error {
	for _, a := range f.questions {
		if a.ID == id && len(a.Table.Rows) > 0 {
			_, err := fmt.Fprintf(w, "%s of %s\n", format, a.Metric)
			return err
		}
	}
	return console.ErrNotFound
}

var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func fullFixture() fixture {
	answered := answered()
	waiting := console.Answer{Question: console.Question{
		ID: task.ID{2}, Metric: "editor.languages", Question: "In which languages do people write?", Owner: "Example Editors",
		Next: now.Add(5 * time.Hour), Expires: now.AddDate(1, 0, 0),
	}, Consent: "Which languages you write in.", EpochLength: 24 * time.Hour, MinBatch: 100, Privacy: answered.Privacy}
	suppressed := waiting
	suppressed.ID, suppressed.Metric, suppressed.Question.Question = task.ID{3}, "crash.place", "Where does the editor crash?"
	suppressed.Question.Batches = 1
	suppressed.Batches = []console.Batch{{Start: day(20), End: day(21), State: "released", Told: true, Reports: 512, Low: 496, High: 528}}
	return fixture{questions: []console.Answer{answered, waiting, suppressed, counted(), distributed(), uncollected()}}
}

func day(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }

func answered() console.Answer {
	a := console.Answer{
		Question: console.Question{
			ID: task.ID{1}, Metric: "api.families", Question: "Which kinds of system API do which programs use?",
			Owner: "Example Distribution", Released: 16833, Batches: 2, Latest: day(22), Next: now.Add(26 * time.Hour), Expires: now.AddDate(0, 8, 0),
		},
		Consent: "For each program you start we learn which of sixteen kinds of system API it can use, " +
			"with one bit in a thousand flipped at random. Programs that few people use are never reported.\n" +
			"You can see and remove every report before it is sent.",
		EpochLength: 24 * time.Hour, MinBatch: 500, Flipped: true,
		Batches: []console.Batch{
			{Start: day(21), End: day(22), State: "released", Told: true, Reports: 20013, Low: 19962, High: 20064, Released: 15833, ReleasedCrowds: 87},
			{Start: day(20), End: day(21), State: "expired", Released: 1000, ReleasedCrowds: 12},
		},
		Privacy: console.Privacy{
			Facts: []console.Fact{
				{"Crowd threshold", "20", "after about 12 ± 2 reports of each crowd are dropped at random"},
				{"Epsilon", "2.25", "for one report, at delta 10⁻⁶: how much one person’s taking part can show in which crowds appear"},
				{"Delta", "4.5 × 10⁻⁹", "the part that no epsilon covers"},
				{"Randomised on the device", "0.1 %", "of the bits are flipped before sending; deniability, not a guarantee (epsilon 6.91 a bit)"},
				{"Limit for one client", "10 reports an epoch", "and 1 for each crowd"},
				{"Kept for", "400 days", "then tables are removed"},
			},
			Sees: []console.Sight{
				{"Shuffler at shuffler.example", "That a device takes part, its network address while it sends, and a tag of the crowd, whose guessable values it could confirm", "What is reported; it keeps no address"},
				{"Analyzer (this server)", "Reports of large enough crowds, in random order", "Who sent them, when, and reports of small crowds"},
				{"You, here", "Released tables", "Anything else"},
			},
		},
	}
	families := console.Chart{Title: "Reports by family", Note: "How many reports say that a program uses the family.", Unit: "reports", More: 3}
	for i, name := range []string{"files", "memory", "strings", "locale", "time", "processes", "signals", "network", "a family with quite a long name that does not fit"} {
		v := 15000 / float64(i+1)
		families.Bars = append(families.Bars, console.Bar{Label: name, Value: v, Low: v - 120, High: v + 120})
	}
	a.Charts = []console.Chart{families}
	a.Table = console.Table{Columns: []console.Column{{Name: "program"}, {Name: "reports", Numeric: true}, {Name: "true size, 95 %", Numeric: true}}, Total: 87}
	for i := range 8 {
		a.Table.Rows = append(a.Table.Rows, []string{fmt.Sprintf("/usr/bin/program-%d", i), fmt.Sprint(1000 - i*37), fmt.Sprint(996-i*37, " – ", 1004-i*37)})
	}
	return a
}

// sums is an aggregate question of which nothing is released.
func sums(id byte, metric, question, kind string) console.Answer {
	return console.Answer{
		Question: console.Question{
			ID: task.ID{id}, Metric: metric, Question: question, Owner: "Example Editors", Next: now.Add(26 * time.Hour), Expires: now.AddDate(0, 8, 0),
		},
		Consent: "Once a day this is added up over all devices; nobody can read your part of it.", EpochLength: 24 * time.Hour, MinBatch: 1000,
		Privacy: console.Privacy{
			Facts: []console.Fact{
				{"Smallest batch", "1,000 reports", "leader and helper add up no fewer, and none twice"},
				{"Noise", "discrete Laplace, epsilon 1 for sensitivity 1", "that leader and helper add, each on its own"},
				{"Presence", "hidden", "every device that takes part sends one report an epoch"},
			},
			Sees: []console.Sight{
				{"Leader at leader.example (this server)", "One share of each report, which is random numbers", "Any value"},
				{"Helper at helper.example", "The other share of each report", "Any value"},
				{"Collector (this server)", "The sum of each batch with noise in it", "Any single value"},
			},
		},
		Aggregate: &console.Aggregate{Kind: kind, Within: "8"},
	}
}

// counted has a line over many epochs, one of them without a number, and batches
// that wait.
func counted() console.Answer {
	a := sums(4, "feature.export", "How many people export a document in a day?", "count")
	a.Question.Released, a.Question.Batches, a.Latest = 251_032, 28, day(22)
	line := console.Line{Title: "Count", Unit: "counted", Note: "One point an epoch."}
	for i := range 28 {
		v := 2400 + 420*math.Sin(float64(i)/2.2) + 30*float64(i)
		p := console.Point{Start: day(22).AddDate(0, 0, i-28), End: day(23).AddDate(0, 0, i-28), Value: math.Round(v), Low: v - 180, High: v + 180}
		if i == 11 {
			p.Value, p.Low, p.High = math.NaN(), math.NaN(), math.NaN()
		}
		line.Points = append(line.Points, p)
		a.Aggregate.Collected = append(a.Aggregate.Collected, console.Collected{Start: p.Start, End: p.End, State: "released", Reports: 8900 + int64(i)})
	}
	a.Aggregate.Lines = []console.Line{line}
	slices.Reverse(a.Aggregate.Collected)
	a.Aggregate.Collected = a.Aggregate.Collected[:6]
	a.Aggregate.Pending = []console.Pending{
		{Start: day(22), End: day(23), State: "not enough yet", Missing: "up to 500 of 1000 reports", Text: "A batch with too few reports is not added up, so that no sum is one person’s value."},
	}
	a.Aggregate.Over = []console.Pending{{Start: day(2), End: day(3), State: "given up", Text: "not enough reports arrived"}}
	a.Table = console.Table{Columns: []console.Column{{Name: "item"}, {Name: "estimate", Numeric: true}, {Name: "95 %", Numeric: true}}, Rows: [][]string{{"count", "2,913", "2,823 – 3,003"}}, Total: 1}
	return a
}

// distributed has bars, and no noise.
func distributed() console.Answer {
	a := sums(5, "start.milliseconds", "How long does the program take to start?", "histogram")
	a.Question.Released, a.Question.Batches, a.Latest = 9021, 1, day(22)
	a.Aggregate.Exact, a.Aggregate.Within = true, ""
	chart := console.Chart{Title: "Reports, 22 November 2026", Unit: "reports", Note: "Of 9,021 reports, 8,104 had an answer."}
	for i, label := range []string{"below 50", "50 to 99", "100 to 199", "200 to 399", "400 to 799", "800 to 1599", "1600 and above"} {
		v := math.Round(3000 * math.Exp(-math.Pow(float64(i)-2.4, 2)/3))
		chart.Bars = append(chart.Bars, console.Bar{Label: label, Value: v, Low: v, High: v})
		a.Table.Rows = append(a.Table.Rows, []string{label, fmt.Sprint(v), "exact"})
	}
	a.Table.Columns, a.Table.Total = []console.Column{{Name: "item"}, {Name: "estimate", Numeric: true}, {Name: "95 %", Numeric: true}}, 7
	a.Charts = []console.Chart{chart}
	a.Aggregate.Collected = []console.Collected{{Start: day(22), End: day(23), State: "released", Reports: 9021}}
	return a
}

// uncollected waits for a pairing.
func uncollected() console.Answer {
	a := sums(6, "plugins", "Which plugins are in use?", "multihot")
	a.Aggregate.Waits = "waits for pairing with the leader ed25519:b28GQouzukTmrnTlANnrGYHC_AVx6ZoO1-Tf1e6E_FY: run \"shoal pair\""
	return a
}
