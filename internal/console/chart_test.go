package console

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/internal/release"
)

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 3: "3", 2.25: "2.2", 9.96: "10.0", 12.7: "13", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1500: "−1,500",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
	if got := number(math.NaN()); got != "–" {
		t.Errorf("number(NaN) = %q", got)
	}
}

// TestLayOutStaysInside: whatever a source computes, nothing is drawn outside
// the plot and the axis holds every bar.
func TestLayOutStaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Chart{}
		for range rapid.IntRange(0, 20).Draw(t, "bars") {
			c.Bars = append(c.Bars, Bar{Value: rapid.Float64().Draw(t, "value"), Low: rapid.Float64().Draw(t, "low"), High: rapid.Float64().Draw(t, "high")})
		}
		p := layOut(c)
		if len(p.Rows) != len(c.Bars) || len(p.Ticks) < 2 || len(p.Ticks) > 12 {
			t.Fatalf("%d rows for %d bars, %d ticks", len(p.Rows), len(c.Bars), len(p.Ticks))
		}
		if !p.Ticks[len(p.Ticks)-1].Last {
			t.Fatal("the last tick is not marked")
		}
	})
}

func TestPeriod(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ start, end, want string }{
		{"2026-11-21 00:00:00", "2026-11-22 00:00:00", "21 November 2026"},
		{"2026-11-16 00:00:00", "2026-11-23 00:00:00", "16 November – 22 November 2026"},
		{"2026-11-21 10:00:00", "2026-11-21 11:00:00", "21 November 2026, 10:00 – 11:00 UTC"},
		{"2026-11-21 23:00:00", "2026-11-22 00:00:00", "21 November 2026, 23:00 – 00:00 UTC"},
	} {
		if got := period(at(c.start), at(c.end)); got != c.want {
			t.Errorf("period %s – %s is %q, want %q", c.start, c.end, got, c.want)
		}
	}
}

// TestTraceStaysInside: whatever a source computes, nothing of a line is drawn
// outside of its plot, and gaps stay gaps.
func TestTraceStaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Line{}
		gaps := 0
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1000, 1000), rapid.Just(math.NaN()))
		for range rapid.IntRange(0, 20).Draw(t, "points") {
			p := Point{Value: value.Draw(t, "value"), Low: value.Draw(t, "low"), High: value.Draw(t, "high")}
			if math.IsNaN(p.Value) {
				gaps++
			}
			l.Points = append(l.Points, p)
		}
		out := trace(l)
		if len(out.Dots) != len(l.Points)-gaps || len(out.Segments) > max(0, len(out.Dots)-1) || len(out.Ticks) < 2 || len(out.Ticks) > 20 {
			t.Fatalf("%d points, %d gaps: %d dots, %d segments, %d ticks", len(l.Points), gaps, len(out.Dots), len(out.Segments), len(out.Ticks))
		}
	})
}

// TestTraceIsTrueToTime: 13 released epochs of 22 were drawn as neighbours and joined.
func TestTraceIsTrueToTime(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	l := Line{}
	for _, n := range []int{0, 1, 2, 5, 9} {
		l.Points = append(l.Points, Point{Start: day(n), End: day(n + 1), Value: 10, Low: 9, High: 12})
	}
	out := trace(l)
	var at []string
	for _, d := range out.Dots {
		at = append(at, d.X)
	}
	if got := strings.Join(at, " "); got != "5.00% 15.00% 25.00% 55.00% 95.00%" {
		t.Errorf("points at %s", got)
	}
	if len(out.Segments) != 2 || out.Segments[1].X2 != "25.00%" {
		t.Errorf("joined %v, want the first three", out.Segments)
	}
	if n := l.missing(); n != 5 {
		t.Errorf("%d epochs are missing, want 5", n)
	}
}

// TestWidest: beside a mean of 39, give or take 14, the noise of a sum was printed.
func TestWidest(t *testing.T) {
	row := func(label string, v ...any) release.Row {
		return append(release.Row{int64(0), label, int64(100)}, v...)
	}
	for want, rows := range map[string][]release.Row{
		"14": {row("mean", 39.0, 7.0, 25.0, 52.0), row("answered", 80.0, 500.0, 0.0, 4000.0)},
		"8":  {row("a", 3.0, 4.0, 0.0, 11.0), row("b", 30.0, 4.0, 22.0, 38.0)},
		"":   {row("mean", nil, nil, 0.0, 48.0)},
	} {
		if got := widest(rows); got != want {
			t.Errorf("%v: %q, want %q", rows, got, want)
		}
	}
}
