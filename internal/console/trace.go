package console

import (
	"fmt"
	"math"
)

// A traced is a line laid out: every position is a share of the plot, in percent.
type traced struct {
	Line
	Ticks    []tick
	Segments []segmentOfLine
	Dots     []dot
	From, To string // the first and the last epoch
	Spoken   string // the text for screen readers
}

type segmentOfLine struct{ X1, Y1, X2, Y2 string }

type dot struct {
	X, Y, Low, High string
	Exact           bool
	When, Shown     string
}

// trace computes the positions of a line. The axis holds zero, so that heights can
// be compared, and is as wide as all intervals are high.
func trace(l Line) traced {
	top, bottom := 0.0, 0.0
	for _, p := range l.Points {
		for _, v := range []float64{p.Value, p.Low, p.High} {
			top, bottom = max(top, drawable(v)), min(bottom, drawable(v))
		}
	}
	step := niceStepOf((top - bottom) / 4)
	top, bottom = max(step, math.Ceil(top/step)*step), math.Floor(bottom/step)*step
	y := func(v float64) string { return percent((top - drawable(v)) / (top - bottom)) }
	out := traced{Line: l}
	steps := math.Round((top - bottom) / step)
	for i := range int(steps) + 1 {
		v := top - float64(i)*step
		out.Ticks = append(out.Ticks, tick{At: y(v), Label: number(v)})
	}
	at := l.times()
	before := -1
	for i, p := range l.Points {
		if math.IsNaN(p.Value) {
			continue // an epoch without a mean leaves a gap
		}
		d := dot{X: at(i), Y: y(p.Value), Low: y(p.Low), High: y(p.High), Exact: !(p.High > p.Low), When: period(p.Start, p.End), Shown: number(p.Value)}
		if !d.Exact {
			d.Shown += ", between " + number(p.Low) + " and " + number(p.High)
		}
		out.Dots = append(out.Dots, d)
		if before == i-1 && i > 0 && !p.Start.After(l.Points[before].End) {
			out.Segments = append(out.Segments, segmentOfLine{at(before), y(l.Points[before].Value), d.X, d.Y})
		}
		before = i
	}
	if len(l.Points) > 0 {
		first, last := l.Points[0], l.Points[len(l.Points)-1]
		out.From, out.To = short(first), short(last)
		if len(l.Points) == 1 {
			out.To = ""
		}
		out.Spoken = fmt.Sprintf("%s: %s in the last of %s", l.Title, number(last.Value), plural(len(l.Points), "epoch", "epochs"))
	}
	return out
}

// times returns the position of each point: the middle of its epoch between the
// begin of the first and the end of the last, so that an epoch that is missing is as
// wide as one that is there. Points without times are equally far apart.
func (l Line) times() func(i int) string {
	n := len(l.Points)
	if n == 0 {
		return nil
	}
	start, span := l.Points[0].Start, l.Points[n-1].End.Sub(l.Points[0].Start)
	return func(i int) string {
		if span <= 0 {
			return percent((float64(i) + .5) / float64(n))
		}
		p := l.Points[i]
		return percent(float64(p.Start.Sub(start)+p.End.Sub(p.Start)/2) / float64(span))
	}
}

// missing is how many epochs between the first and the last point have none.
func (l Line) missing() int {
	gaps := 0
	for i := 1; i < len(l.Points); i++ {
		p, before := l.Points[i], l.Points[i-1]
		if length := p.End.Sub(p.Start); length > 0 {
			gaps += int(max(0, p.Start.Sub(before.End)) / length)
		}
	}
	return gaps
}

// drawable makes a position of whatever a source computes.
func drawable(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(max(v, -math.MaxInt64), math.MaxInt64)
}

// short names an epoch below the axis.
func short(p Point) string {
	start := p.Start.UTC()
	if p.End.Sub(p.Start).Hours() >= 24 {
		return start.Format("2 Jan 2006")
	}
	return start.Format("2 Jan, 15:04")
}

// niceStepOf is [niceStep] for numbers that need not be whole.
func niceStepOf(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
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
