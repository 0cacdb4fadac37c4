package console

import (
	"html/template"
	"strings"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"plot":     layOut,
	"trace":    trace,
	"count":    func(n int64) string { return number(float64(n)) },
	"date":     func(t time.Time) string { return t.UTC().Format("2 January 2006") },
	"moment":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
	"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"period":   period,
	"every":    every,
	"away":     away,
	"join":     list,
	"plural":   plural,
	"segments": segments,
	"reports":  reportsText,

	"rehearsal":     task.IsRehearsal,
	"rehearsalNote": func() string { return task.RehearsalNote },
}

// plural writes a number of things: "1 batch", "2 batches".
func plural(n any, one, many string) string {
	var v int64
	switch n := n.(type) {
	case int:
		v = int64(n)
	case int64:
		v = n
	}
	if v == 1 {
		return "1 " + one
	}
	return number(float64(v)) + " " + many
}

// period formats an epoch for people: a day when it is one, otherwise its
// two ends.
func period(start, end time.Time) string {
	start, end = start.UTC(), end.UTC()
	const day = 24 * time.Hour
	switch {
	case end.Sub(start) == day && start.Equal(start.Truncate(day)):
		return start.Format("2 January 2006")
	case start.Equal(start.Truncate(day)) && end.Equal(end.Truncate(day)):
		return start.Format("2 January") + " – " + end.Add(-day).Format("2 January 2006")
	case end.Sub(start) < day && end.Add(-1).YearDay() == start.YearDay():
		return start.Format("2 January 2006, 15:04") + " – " + end.Format("15:04 UTC")
	default:
		return start.Format("2 Jan 2006, 15:04") + " – " + end.Format("2 Jan 2006, 15:04 UTC")
	}
}

// length writes a duration in its largest whole unit.
func length(d time.Duration) string {
	for _, u := range []struct {
		unit      time.Duration
		one, many string
	}{
		{7 * 24 * time.Hour, "week", "weeks"},
		{24 * time.Hour, "day", "days"},
		{time.Hour, "hour", "hours"},
		{time.Minute, "minute", "minutes"},
	} {
		if d >= u.unit && d%u.unit == 0 {
			return plural(int64(d/u.unit), u.one, u.many)
		}
	}
	return plural(int64(d/time.Second), "second", "seconds")
}

// every writes how often something happens.
func every(d time.Duration) string {
	return "every " + strings.TrimPrefix(length(d), "1 ")
}

// away describes roughly how far t lies from now.
func away(now, t time.Time) string {
	d := t.Sub(now)
	if d <= 0 {
		return "due now"
	}
	switch {
	case d < 2*time.Minute:
		return "in " + plural(int64(d/time.Second), "second", "seconds")
	case d < 2*time.Hour:
		return "in " + plural(int64(d/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return "in " + plural(int64(d/time.Hour), "hour", "hours")
	default:
		return "in " + plural(int64(d/(24*time.Hour)), "day", "days")
	}
}

// A segment is one part of the bar that shows what became of a batch.
type segment struct {
	Class, Name, X, Width string
	Count                 int64
}

// segments lays out what became of a batch's reports: what was released, and about
// how many more there were.
func segments(b Batch) []segment {
	rest := int64(0)
	if b.Told {
		rest = max(0, b.Reports-b.Released)
	}
	whole := b.Released + rest
	var out []segment
	var before int64
	for _, s := range []segment{
		{Class: "released", Name: "released", Count: b.Released},
		{Class: "suppressed", Name: "suppressed or dropped, about", Count: rest},
	} {
		if s.Count <= 0 {
			continue
		}
		s.X = percent(float64(before) / float64(whole))
		s.Width = percent(float64(s.Count) / float64(whole))
		before += s.Count
		out = append(out, s)
	}
	return out
}

// reportsText writes how many reports a batch had, as far as that is disclosed.
func reportsText(b Batch) string {
	if !b.Told {
		return "not told"
	}
	return number(float64(b.Low)) + " – " + number(float64(b.High))
}

// list puts words together as a sentence does: a, b and c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
