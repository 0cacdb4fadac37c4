package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/cost"
)

// lineWidth is where the text of a plan is wrapped.
const lineWidth = 96

// JSON returns the plan for machines.
func (p *Plan) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding plan: %w", err)
	}
	return append(b, '\n'), nil
}

// Text returns the plan for people.
func (p *Plan) Text() string {
	var w writer
	w.line("Plan for %s, asked by %s", p.File, p.Owner)
	for i := range p.Metrics {
		p.Metrics[i].write(&w)
	}
	for i := range p.Aggregates {
		p.Aggregates[i].write(&w)
	}
	w.heading("All metrics together")
	for _, sum := range p.Sums {
		w.item(sum.Period(), "of a client that takes part in all: "+sum.String()+"; "+dp.Assumption)
	}
	return w.String()
}

func (m *MetricPlan) write(w *writer) {
	w.heading(m.Name)
	w.item("question", m.Question)
	w.item("consent", m.Consent)
	w.item("until", m.Expires.Format("2006-01-02"))
	m.writeRecord(w)
	m.writeViews(w)
	m.writePrivacy(w)
	if m.Quorum != nil {
		m.Quorum.write(w)
	}
	m.writeAccuracy(w)
	m.writeForecast(w)
	for _, a := range m.Accepted {
		w.item("accepted", a.Risk+": because "+a.Reason)
	}
	for _, x := range m.Warnings {
		w.item("mind", x)
	}
}

func (m *MetricPlan) writeRecord(w *writer) {
	w.head("What leaves the device")
	for _, f := range m.Fields {
		text := f.Type
		if f.Crowd {
			text += "; in the crowd"
		} else if m.Quorum != nil {
			text += "; beside the crowd, released where a quorum holds the same record"
		} else {
			text += "; beside the crowd, released as it is"
		}
		if f.Detail {
			text += "; detail, only from people who have agreed to it"
		}
		if f.Sensitive {
			text += "; sensitive"
		}
		if f.Randomised != "" {
			text += fmt.Sprintf("; %s: local epsilon %s", f.Randomised, f.LocalEpsilon.String())
			if f.LocalWhole != f.LocalEpsilon {
				text += fmt.Sprintf(" each, %s for the field", f.LocalWhole.String())
			}
		}
		w.item(f.Name, text)
	}
	w.item("beside the crowd", fmt.Sprintf("%.1f bits at most in one report", m.Loose))
	w.item("example, recorded", valuesText(m.Example.Recorded))
	for i, s := range m.Example.Sent {
		w.item(fmt.Sprintf("report %d of %d", i+1, m.Example.Total), valuesText(s.Fields)+randomisedNote(m.Fields))
		w.item("  crowd", s.Crowd)
		w.item("  payload", fmt.Sprintf("%s (%d bytes, %s to %d)", s.Payload, len(s.Payload)/2, m.paddedWord(), m.Wire.Padded))
	}
	size := fmt.Sprintf("payloads of at most %d bytes, %s to %d", m.Wire.Payload, m.paddedWord(), m.Wire.Padded)
	if m.Wire.Report > 0 {
		size += fmt.Sprintf("; %d bytes a report on the wire, %d an epoch at most", m.Wire.Report, m.Wire.Report*int(m.Wire.PerEpoch))
	}
	w.item("size", size)
	w.item("pace", fmt.Sprintf("at most %s a client and %s%s, %d to one crowd; each sent alone, at a random time up to %s; batches below %d reports are destroyed unread; tables kept for %s",
		printable.Plural(uint64(m.Wire.PerEpoch), "report"), m.Privacy.Unit, m.epochText(), m.Wire.PerCrowd, m.Wire.delayText(), m.Wire.MinBatch, m.Wire.Retention))
	w.item("caps", m.Caps.String())
}

// delayText gives the time within which reports are sent.
func (w Wire) delayText() string {
	if w.FromEnd {
		return w.MaxDelay + " after the epoch's end, whenever it was recorded"
	}
	return w.MaxDelay + " later"
}

// epochText gives the length of the unit in which reports are counted.
func (m *MetricPlan) epochText() string {
	if m.Privacy.Unit == cost.Unit(1) {
		return " of " + m.Wire.Epoch
	}
	return ", each of " + m.Wire.Epoch
}

// paddedWord describes how payloads are brought to one size.
func (m *MetricPlan) paddedWord() string {
	if m.Quorum != nil {
		return "encrypted, with a share and padding,"
	}
	return "padded"
}

func randomisedNote(fields []FieldPlan) string {
	for _, f := range fields {
		if f.Randomised != "" {
			return " (before randomised response)"
		}
	}
	return ""
}

func (m *MetricPlan) writeViews(w *writer) {
	w.head("Who sees what")
	for _, v := range m.Sees {
		w.item(v.Who, v.String())
	}
}

func (m *MetricPlan) writePrivacy(w *writer) {
	p := &m.Privacy
	w.head("Privacy of one client, against anyone with what is published")
	w.item("threshold", p.Threshold+"; "+p.Assumes)
	if p.Total != "" {
		w.item("batch", p.Total)
	}
	w.item("protects", p.Protects)
	if !p.Noise {
		w.item("epsilon", "none")
		return
	}
	unit := cost.WithArticle(p.Unit)
	if p.Declared != nil {
		scope := "all that it sends in " + unit
		if p.Covers == cost.PerCrowd {
			scope = "what it sends to one crowd in " + unit
		}
		w.item("declared", fmt.Sprintf("epsilon %s, delta %s for %s; computed delta at this epsilon: %s; %s",
			p.Declared.Epsilon.String(), p.Declared.Delta.String(), scope, p.Computed.String(), dp.Assumption))
	}
	w.item("one crowd", p.PerCrowd.String()+fmt.Sprintf("; no delta below %s at any epsilon; %s", p.Floor.String(), dp.Assumption))
	w.item("one "+p.Unit, fmt.Sprintf("all that one client may send, in %s: %s by exact composition; %s", printable.Plural(p.Crowds, "crowd"), p.Exact.String(), dp.Assumption))
	for _, s := range p.Sums {
		w.item(s.Period(), s.String()+"; "+dp.Assumption)
	}
}

func (q *QuorumPlan) write(w *writer) {
	w.head("Quorum")
	w.item("readable", q.Reads)
	w.item("below", q.Below)
	w.item("guesses", q.Guess)
	if q.Latency != "" {
		w.item("latency", q.Latency)
	}
	w.item("forged shares", fmt.Sprintf("%d in the smallest crowd that passes do no harm, and more in larger ones; for more, set shares further below the threshold", q.Forged))
}

func (m *MetricPlan) writeAccuracy(w *writer) {
	a := &m.Accuracy
	w.head("Error bars")
	w.item("count of a crowd", fmt.Sprintf("standard deviation %.2g; %.3g reports of each crowd are dropped on the average, and added back to the estimate", a.CountStdDev, a.CountBias))
	for _, f := range a.Fields {
		w.item("each "+f.PerValue+" of "+f.Name, fmt.Sprintf("standard deviation %.2g in a crowd of 100, %.2g in one of 1000", f.At100, f.At1000))
	}
}

func (m *MetricPlan) writeForecast(w *writer) {
	f := &m.Forecast
	w.head("What will survive")
	w.item("if", fmt.Sprintf("%d clients send %.0f reports an epoch, over %d possible crowds by Zipf with exponent %g", f.Clients, f.Reports, f.Values, f.Exponent))
	w.item("crowds", fmt.Sprintf("%.0f of %.0f released (%.1f %%)", f.Released, f.Crowds, 100*f.CrowdShare))
	w.item("reports", fmt.Sprintf("%.0f of %.0f reach the table (%.1f %%)", f.ReportsKept, f.Reports, 100*f.ReportShare))
	w.item("surely", fmt.Sprintf("a crowd of %d reports is released in 19 cases of 20", f.SureSize))
}

func valuesText(values []FieldValue) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = v.Name + " = " + v.Value
	}
	return strings.Join(parts, ", ")
}

// A writer lays out items: a label, then wrapped text.
type writer struct{ strings.Builder }

const labelWidth = 24

func (w *writer) line(format string, args ...any) {
	w.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (w *writer) heading(name string) {
	w.line("")
	w.line("%s", name)
	w.line("%s", strings.Repeat("=", len(name)))
}

func (w *writer) head(s string) {
	w.line("")
	w.line("%s", s)
}

func (w *writer) item(label, text string) {
	rows := wrap(text, lineWidth-labelWidth)
	for i, row := range rows {
		if i > 0 {
			label = ""
		}
		w.line("  %-*s%s", labelWidth-2, label, spaceAfter(label)+row)
	}
}

// spaceAfter keeps a label that is too long off its text.
func spaceAfter(label string) string {
	if utf8.RuneCountInString(label) >= labelWidth-2 {
		return " "
	}
	return ""
}

// wrap breaks a text at spaces into rows of at most width runes; longer words
// get a row of their own.
func wrap(text string, width int) []string {
	var rows []string
	row := ""
	for word := range strings.FieldsSeq(text) {
		if row != "" && utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) > width {
			rows = append(rows, row)
			row = ""
		}
		if row != "" {
			row += " "
		}
		row += word
	}
	return append(rows, row)
}
