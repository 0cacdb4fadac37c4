package console_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/console"
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
	suppressed.Batches = []console.Batch{{Start: day(20), End: day(21), State: "released", Received: 80, Suppressed: 80, SuppressedCrowds: 31}}
	return fixture{questions: []console.Answer{answered, waiting, suppressed}}
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
			{Start: day(21), End: day(22), State: "released", Received: 20013, Duplicate: 6, Invalid: 7, InvalidBy: []console.Cause{{"decrypt", 4}, {"malformed", 3}}, Suppressed: 3120, SuppressedCrowds: 711, Dropped: 1047, Released: 15833, ReleasedCrowds: 87},
			{Start: day(20), End: day(21), State: "expired", Received: 2400, Suppressed: 1200, SuppressedCrowds: 402, Dropped: 200, Released: 1000, ReleasedCrowds: 12},
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
