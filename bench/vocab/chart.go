package vocab

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// The chart's frame, in its own units.
const (
	chartWidth, chartHeight         = 900, 600
	plotLeft, plotRight             = 78, 640
	plotTop, plotBottom             = 92, 520
	leastSize, mostSize     float64 = 1e4, 1e7
	leastWords, mostWords   float64 = 1, 1e5
	leastGap                        = 19.0 // between two labels
)

// A line is one way of asking, as shown in the chart.
type line struct {
	class, name string
	here        func(Row) float64
	paper       func(*PaperRow) int // nil: not in the paper
}

var lines = []line{
	{"truth", "Ground truth", func(r Row) float64 { return float64(r.Truth) }, func(p *PaperRow) int { return p.Truth }},
	{"ours", "Ours, noisy count", func(r Row) float64 { return float64(r.Ours) }, nil},
	{"nocrowd", "NoCrowd, no DP", func(r Row) float64 { return float64(r.NoCrowd) }, func(p *PaperRow) int { return p.NoCrowd }},
	{"crowd", "Crowd, Secret-Crowd", func(r Row) float64 { return float64(r.SecretCrowd) }, func(p *PaperRow) int { return p.Crowd }},
	{"partition", "Partition", func(r Row) float64 { return r.Partition.Words }, func(p *PaperRow) int { return p.Partition }},
	{"rappor", "RAPPOR", func(r Row) float64 { return r.RAPPOR.Words }, func(p *PaperRow) int { return p.RAPPOR }},
}

const chartStyle = `.bg{fill:#fbfaf7}.t{font-size:20px;font-weight:650;fill:#1d2b36}.s{font-size:13px;fill:#5c6770}.l{font-size:14px;font-weight:600}` +
	`.grid{stroke:#dedacf}.axis{stroke:#8b9198}.here{fill:none;stroke-width:2.5}.paper{fill:none;stroke-width:1.5;stroke-dasharray:5 5}` +
	`.key{stroke:#2c3a45}.ring{stroke:#2c3a45;fill:#fbfaf7}.full{fill:#2c3a45}` +
	`.truth{stroke:#6b7680}.ours{stroke:#0b6e69}.nocrowd{stroke:#8a5a00}.crowd{stroke:#1f5fbf}.partition{stroke:#a3327f}.rappor{stroke:#b3372c}` +
	`.fill-truth{fill:#5c6770}.fill-ours{fill:#0b6e69}.fill-nocrowd{fill:#8a5a00}.fill-crowd{fill:#1f5fbf}.fill-partition{fill:#a3327f}.fill-rappor{fill:#b3372c}` +
	`.hollow{fill:#fbfaf7;stroke-width:1.5}` +
	`@media (prefers-color-scheme: dark){.bg{fill:#12181d}.t{fill:#eef2f4}.s{fill:#93a1ac}.grid{stroke:#29333b}.axis{stroke:#5f6c76}` +
	`.key{stroke:#d5dde2}.ring{stroke:#d5dde2;fill:#12181d}.full{fill:#d5dde2}` +
	`.truth{stroke:#93a1ac}.ours{stroke:#5fd3c6}.nocrowd{stroke:#e0b45a}.crowd{stroke:#82b1ff}.partition{stroke:#e58bc6}.rappor{stroke:#f08a80}` +
	`.fill-truth{fill:#a9b5be}.fill-ours{fill:#5fd3c6}.fill-nocrowd{fill:#e0b45a}.fill-crowd{fill:#82b1ff}.fill-partition{fill:#e58bc6}.fill-rappor{fill:#f08a80}` +
	`.hollow{fill:#12181d}}`

// SVG returns a log-log chart of the words recovered, the paper's Figure 5
// beside ours, for light and dark surroundings.
func (r *Result) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, Segoe UI, sans-serif">`+"\n", chartWidth, chartHeight)
	b.WriteString(`<title id="t">Unique words recovered</title><desc id="d">` + escape(r.describe()) + "</desc>\n")
	b.WriteString("<style>" + chartStyle + "</style>\n")
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="14"/>`+"\n", chartWidth, chartHeight)
	b.WriteString(`<text class="t" x="28" y="38">Unique words recovered</text>` + "\n")
	legend(&b)
	grid(&b)
	labels := make([]float64, 0, len(lines))
	for _, l := range lines {
		labels = append(labels, r.draw(&b, l))
	}
	spread(labels)
	for i, l := range lines {
		if len(r.Rows) == 0 {
			break
		}
		value := thousands(int(math.Round(l.here(r.Rows[len(r.Rows)-1]))))
		fmt.Fprintf(&b, `<text class="l fill-%s" x="%d" y="%.1f">%s</text>`+"\n", l.class, plotRight+16, labels[i]+5, escape(l.name+" "+value))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// describe puts the chart into words.
func (r *Result) describe() string {
	var parts []string
	for _, row := range r.Rows {
		var values []string
		for _, l := range lines {
			values = append(values, fmt.Sprintf("%s %.0f", l.name, l.here(row)))
		}
		parts = append(parts, fmt.Sprintf("Of %d words: %s.", row.Size, strings.Join(values, "; ")))
	}
	return strings.Join(parts, " ")
}

func legend(b *strings.Builder) {
	const y = 62
	fmt.Fprintf(b, `<path class="key" stroke-width="2.5" d="M28 %d h30"/><circle class="full" cx="43" cy="%d" r="4"/><text class="s" x="66" y="%d">measured here</text>`+"\n", y, y, y+4)
	fmt.Fprintf(b, `<path class="key" stroke-width="1.5" stroke-dasharray="5 5" d="M176 %d h30"/><circle class="ring" cx="191" cy="%d" r="4"/><text class="s" x="214" y="%d">Prochlo paper, Figure 5</text>`+"\n", y, y, y+4)
}

func grid(b *strings.Builder) {
	for words := leastWords; words <= mostWords; words *= 10 {
		y := yOf(words)
		fmt.Fprintf(b, `<path class="grid" d="M%d %.1f H%d"/><text class="s" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, y, plotRight, plotLeft-10, y+4, thousands(int(words)))
	}
	for size := leastSize; size <= mostSize; size *= 10 {
		x := xOf(size)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %d V%d"/><text class="s" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x, plotTop, plotBottom, x, plotBottom+22, thousands(int(size)))
	}
	fmt.Fprintf(b, `<path class="axis" fill="none" d="M%d %d V%d H%d"/>`+"\n", plotLeft, plotTop, plotBottom, plotRight)
	fmt.Fprintf(b, `<text class="s" x="%d" y="%d" text-anchor="middle">words in the sample, one a client</text>`+"\n", (plotLeft+plotRight)/2, plotBottom+48)
}

func xOf(size float64) float64 {
	return plotLeft + (plotRight-plotLeft)*math.Log(size/leastSize)/math.Log(mostSize/leastSize)
}

func yOf(words float64) float64 {
	return plotBottom - (plotBottom-plotTop)*math.Log(words/leastWords)/math.Log(mostWords/leastWords)
}

// draw draws the line of the paper, then ours, and returns the height at which
// the latter ends. What lies outside the frame is left out.
func (r *Result) draw(b *strings.Builder, l line) float64 {
	if l.paper != nil {
		curve(b, l.class+" paper", l.class+" hollow", r.Rows, func(row Row) float64 {
			if row.Paper == nil {
				return 0
			}
			return float64(l.paper(row.Paper))
		})
	}
	return curve(b, l.class+" here", "fill-"+l.class, r.Rows, l.here)
}

func curve(b *strings.Builder, path, dot string, rows []Row, value func(Row) float64) float64 {
	var d, dots strings.Builder
	end := float64(plotBottom)
	for _, row := range rows {
		size, words := float64(row.Size), value(row)
		if words < leastWords || words > mostWords || size < leastSize || size > mostSize {
			continue
		}
		command := "L"
		if d.Len() == 0 {
			command = "M"
		}
		x, y := xOf(size), yOf(words)
		fmt.Fprintf(&d, "%s%.1f %.1f", command, x, y)
		fmt.Fprintf(&dots, `<circle class="%s" cx="%.1f" cy="%.1f" r="4"/>`, dot, x, y)
		end = y
	}
	if d.Len() > 0 {
		fmt.Fprintf(b, `<path class="%s" d="%s"/>%s`+"\n", path, d.String(), dots.String())
	}
	return end
}

// spread moves heights that lie too close to each other apart. They come from
// the top down, with small exceptions.
func spread(heights []float64) {
	for i := 1; i < len(heights); i++ {
		heights[i] = max(heights[i], heights[i-1]+leastGap)
	}
}
