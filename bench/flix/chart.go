package flix

import (
	"encoding/xml"
	"fmt"
	"strings"
)

const chartStyle = `.bg{fill:#fbfaf7}.t{font-size:20px;font-weight:650;fill:#1d2b36}.s{font-size:13px;fill:#5c6770}` +
	`.means{fill:#b9c0c6}.plain{fill:#1f5fbf}.private{fill:#0b6e69}` +
	`@media (prefers-color-scheme: dark){.bg{fill:#12181d}.t{fill:#eef2f4}.s{fill:#93a1ac}.means{fill:#5c6770}.plain{fill:#82b1ff}.private{fill:#5fd3c6}}`

// SVG returns a chart of the errors, the paper's beside ours, for light and dark surroundings. Bars
// begin at an error of 0.9.
func (r *Result) SVG() string {
	const left, row, scale, low = 190, 26, 4000.0, 0.9
	type bar struct {
		class, name string
		value       float64
	}
	var bars []bar
	for _, r := range r.Rows {
		name := fmt.Sprintf("%d movies: ", r.Movies)
		bars = append(bars, bar{"means", name + "means", r.Means}, bar{"plain", name + "no privacy", r.Plain}, bar{"private", name + "private", r.Private})
		if p := r.Paper; p != nil {
			bars = append(bars, bar{"plain", "paper, no privacy", p.Plain}, bar{"private", "paper, private", p.Private})
		}
	}
	var b, words strings.Builder
	for i, v := range bars {
		y := 66 + i*row
		fmt.Fprintf(&b, `<text class="s" x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="18"/><text class="s" x="%.1f" y="%d">%.4f</text>`+"\n",
			left-10, y+14, v.name, v.class, left, y, max(0, v.value-low)*scale, left+max(0, v.value-low)*scale+8, y+14, v.value)
		fmt.Fprintf(&words, "%s %.4f. ", v.name, v.value)
	}
	height := 80 + len(bars)*row
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 %d" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, Segoe UI, sans-serif">`+"\n", height)
	out.WriteString(`<title id="t">Errors of predicted ratings</title><desc id="d">`)
	_ = xml.EscapeText(&out, []byte(words.String())) // a Builder takes everything
	out.WriteString("</desc>\n<style>" + chartStyle + "</style>\n")
	fmt.Fprintf(&out, `<rect class="bg" width="680" height="%d" rx="14"/><text class="t" x="28" y="38">Errors of predicted ratings (RMSE, from 0.9 on)</text>`+"\n", height)
	out.WriteString(b.String() + "</svg>\n")
	return out.String()
}
