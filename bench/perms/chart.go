package perms

import (
	"encoding/xml"
	"fmt"
	"strings"
)

const chartStyle = `.bg{fill:#fbfaf7}.t{font-size:20px;font-weight:650;fill:#1d2b36}.s{font-size:13px;fill:#5c6770}.axis{stroke:#8b9198}` +
	`.paper{fill:#b9c0c6}.rule{fill:#1f5fbf}.ours{fill:#0b6e69}` +
	`@media (prefers-color-scheme: dark){.bg{fill:#12181d}.t{fill:#eef2f4}.s{fill:#93a1ac}.axis{stroke:#5f6c76}.paper{fill:#5c6770}.rule{fill:#82b1ff}.ours{fill:#5fd3c6}}`

// SVG returns a chart of the ratios, the paper's beside ours, for light and dark surroundings.
func (r *Result) SVG() string {
	const left, top, height, group, bar = 60, 96, 300, 66, 18
	width := left + 40
	var bars, words strings.Builder
	for _, row := range r.Rows {
		fmt.Fprintf(&bars, `<text class="s" x="%d" y="%d">%s</text>`+"\n", width-20, top+height+44, row.Feature)
		for a, name := range actions() {
			for i, v := range []float64{row.PaperRatio(a), row.Ratio(0, a), row.Ratio(1, a)} {
				h := v * height
				fmt.Fprintf(&bars, `<rect class="%s" x="%d" y="%.1f" width="%d" height="%.1f"/>`, []string{"paper", "rule", "ours"}[i], width-20+i*bar, top+height-h, bar-2, h)
			}
			fmt.Fprintf(&bars, `<text class="s" x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", width+bar/2, top+height+22, name)
			fmt.Fprintf(&words, "%s %s: paper %.2f, paper's rule %.2f, ours %.2f. ", row.Feature, name, row.PaperRatio(a), row.Ratio(0, a), row.Ratio(1, a))
			width += group
		}
		width += 24
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, Segoe UI, sans-serif">`+"\n", width, top+height+70)
	b.WriteString(`<title id="t">Pages recovered, as a share of the naive threshold's</title><desc id="d">`)
	_ = xml.EscapeText(&b, []byte(words.String())) // a Builder takes everything
	b.WriteString("</desc>\n<style>" + chartStyle + "</style>\n")
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="14"/><text class="t" x="28" y="38">Pages recovered, as a share of the naive threshold's</text>`+"\n", width, top+height+70)
	for i, l := range []string{"the paper, Table 4", "the paper's rule, here", "ours, at equal privacy"} {
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="56" width="14" height="14"/><text class="s" x="%d" y="68">%s</text>`+"\n", []string{"paper", "rule", "ours"}[i], 28+i*210, 48+i*210, l)
	}
	for _, v := range []float64{0, 0.5, 1} {
		y := top + height*(1-v)
		fmt.Fprintf(&b, `<path class="axis" stroke-width="0.6" d="M%d %.1f H%d"/><text class="s" x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n", left, y, width-20, left-8, y+4, v)
	}
	b.WriteString(bars.String() + "</svg>\n")
	return b.String()
}
