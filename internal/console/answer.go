package console

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// How much of a batch a page shows; the exports hold all.
const (
	maxBars = 16
	maxRows = 25
)

// estimateColumns is how many columns an estimate has at the end of a row:
// estimate, standard deviation, low, high.
const estimateColumns = 4

// numbers reads the estimate at the end of a row.
func numbers(row analyzer.Row) (value, stddev, low, high float64) {
	at := len(row) - estimateColumns
	read := func(i int) float64 {
		v, ok := row[at+i].(float64)
		if !ok {
			return math.NaN()
		}
		return v
	}
	return read(0), read(1), read(2), read(3)
}

// crowdLabel names a crowd by the columns between the epoch and the numbers.
func crowdLabel(columns []analyzer.Column, row analyzer.Row) string {
	var parts []string
	for i, v := range row {
		c := columns[i]
		switch x := v.(type) {
		case nil:
		case bool:
			switch {
			case c.Value != "" && x:
				parts = append(parts, c.Value)
			case c.Value == "" && x:
				parts = append(parts, c.Name)
			case c.Value == "":
				parts = append(parts, "not "+c.Name)
			}
		case []any:
			for _, item := range x {
				parts = append(parts, fmt.Sprint(item))
			}
		default:
			parts = append(parts, fmt.Sprint(x))
		}
	}
	if len(parts) == 0 {
		return "(empty)"
	}
	return release.Visible(strings.Join(parts, " · "))
}

// crowds makes the chart of the largest crowds and the table of a batch from
// its counts table, which is ordered by size.
func crowds(tables *analyzer.Tables, e analyzer.Entry, info analyzer.Table) (Chart, Table, error) {
	names := strings.Join(e.Manifest.Parameters.CrowdFields, " · ")
	if len(names) == 0 {
		names = "crowd"
	}
	chart := Chart{Title: "Largest crowds", Note: "Reports with the same " + names + ", by what the shuffler has released.", Unit: "reports"}
	table := Table{Total: info.Rows, Columns: []Column{
		{names, false}, {"released", true}, {"true size, 95 %", true},
	}}
	crowd := len(info.Columns) - estimateColumns - 1 // the count precedes the estimate
	for row, err := range tables.Rows(e, analyzer.CountsTable) {
		if err != nil {
			return chart, table, err
		}
		if len(table.Rows) == maxRows {
			break
		}
		label := crowdLabel(info.Columns[1:crowd], row[1:crowd])
		count, _ := row[crowd].(int64)
		released := float64(count)
		value, _, low, high := numbers(row)
		size := number(low) + " – " + number(high)
		if math.IsNaN(value) { // with a second crowd nothing is estimated
			value, low, high, size = released, released, released, "not estimated"
		}
		if len(chart.Bars) < maxBars {
			chart.Bars = append(chart.Bars, Bar{label, value, low, high})
		}
		table.Rows = append(table.Rows, []string{label, number(released), size})
	}
	chart.More = max(0, int(info.Rows)-len(chart.Bars))
	return chart, table, nil
}

// A total is the sum of independent estimates.
type total struct{ value, variance float64 }

// values makes a chart a field from the values table: how many reports of all
// released crowds have each value, summed over crowds. Of files of before version 3
// of the manifest the numbers are of the released reports.
func values(t *task.Task, tables *analyzer.Tables, e analyzer.Entry, info analyzer.Table) ([]Chart, error) {
	sums := map[string]map[string]total{}
	field := len(info.Columns) - estimateColumns - 4 // field, value, reports, observed
	for row, err := range tables.Rows(e, analyzer.ValuesTable) {
		if err != nil {
			return nil, err
		}
		name, _ := row[field].(string)
		value, _ := row[field+1].(string)
		x, stddev, _, _ := numbers(row)
		if sums[name] == nil {
			sums[name] = map[string]total{}
		}
		s := sums[name][value]
		sums[name][value] = total{s.value + x, s.variance + stddev*stddev}
	}
	var charts []Chart
	for _, f := range t.Schema {
		if len(sums[f.Name]) == 0 {
			continue
		}
		charts = append(charts, valueChart(f, sums[f.Name]))
	}
	return charts, nil
}

// z95 is the half-width of a 95 % interval of the normal distribution.
const z95 = 1.96

func valueChart(f task.Field, sums map[string]total) Chart {
	c := Chart{Title: "Reports by " + f.Name, Note: "In the crowds that were released, with what the threshold dropped from them added on average.", Unit: "reports"}
	if f.Flip > 0 {
		c.Note = "In the crowds that were released, with what the threshold dropped from them added on average, corrected for the answers that devices flip at random."
	}
	names := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		return cmp.Or(cmp.Compare(sums[b].value, sums[a].value), cmp.Compare(a, b))
	})
	for _, name := range names[:min(len(names), maxBars)] {
		s := sums[name]
		half := z95 * math.Sqrt(s.variance)
		label := name
		if f.Kind == task.Bool {
			label = f.Name
		}
		c.Bars = append(c.Bars, Bar{label, s.value, max(0, s.value-half), s.value + half})
	}
	c.More = len(names) - len(c.Bars)
	return c
}
