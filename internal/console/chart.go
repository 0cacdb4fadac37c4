package console

import (
	"math"
	"strconv"
)

// A plot is a chart laid out: every position is a share of the width, in
// percent, so that the same SVG fits a phone and a desk.
type plot struct {
	Chart
	Rows  []plotRow
	Ticks []tick
}

type plotRow struct {
	Bar
	Width     string // of the bar
	Low, High string // ends of the error bar
	Exact     bool   // no error bar: the value is a count
	Spoken    string // the text for screen readers
	Shown     string // the text beside the bar
}

type tick struct {
	At    string
	Label string
	Last  bool
}

// layOut computes the positions of a chart. The axis begins at zero, since the
// length of a bar is what is compared; an interval that reaches below zero is
// cut there.
func layOut(c Chart) plot {
	top := 0.0
	for _, b := range c.Bars {
		top = max(top, finite(b.Value), finite(b.High))
	}
	step := niceStep(top / 4)
	top = max(step, math.Ceil(top/step)*step)
	p := plot{Chart: c}
	for v := 0.0; v <= top*1.0001; v += step {
		p.Ticks = append(p.Ticks, tick{percent(v / top), number(v), v+step > top*1.0001})
	}
	for _, b := range c.Bars {
		p.Rows = append(p.Rows, layOutRow(b, top))
	}
	return p
}

func layOutRow(b Bar, top float64) plotRow {
	r := plotRow{
		Bar:   b,
		Width: percent(finite(b.Value) / top),
		Low:   percent(finite(b.Low) / top),
		High:  percent(finite(b.High) / top),
		Exact: b.High <= b.Low,
		Shown: number(b.Value),
	}
	r.Spoken = r.Shown
	if !r.Exact {
		r.Shown += " ± " + number(max(b.High-b.Value, b.Value-b.Low)) // an end may be cut at zero
		r.Spoken += ", between " + number(max(0, b.Low)) + " and " + number(b.High)
	}
	return r
}

// finite makes a share of the axis from whatever a source computes.
func finite(v float64) float64 {
	if math.IsNaN(v) || v < 0 {
		return 0
	}
	return min(v, math.MaxInt64)
}

// niceStep returns the smallest of 1, 2, 5 times a power of ten that is not
// below v, and at least 1: what is counted comes in ones.
func niceStep(v float64) float64 {
	if v <= 1 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= v {
			return f * power
		}
	}
	return 10 * power
}

func percent(share float64) string {
	return strconv.FormatFloat(100*min(1, max(0, share)), 'f', 2, 64) + "%"
}

// number writes v with thousands separated, and one decimal below ten unless v
// is whole.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	if math.Abs(v) < 10 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Abs(math.Round(v)), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if math.Round(v) < 0 {
		return "−" + s
	}
	return s
}
