package message

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/golden"
)

func TestDocs(t *testing.T) {
	var messages, gate strings.Builder
	messages.WriteString("| message | what it tells | fields | its crowd | bits beside it |\n|---|---|---|---|---:|\n")
	for _, s := range Schemas() {
		var fields []string
		for i := range s.Fields {
			f := &s.Fields[i]
			switch {
			case f.enveloped():
			case f.Kind == Bucket:
				fields = append(fields, fmt.Sprintf("`%s` (at least %s)", f.Name, strings.Trim(strings.ReplaceAll(fmt.Sprint(f.Bounds), " ", ", "), "[]")))
			default:
				fields = append(fields, "`"+f.Name+"`")
			}
		}
		fmt.Fprintf(&messages, "| `%s` | %s | %s | `%s` | %.1f |\n", s.Name, s.About, strings.Join(fields, ", "), strings.Join(s.Crowd, "`, `"), LooseBits(s))
	}
	gate.WriteString("| rule | no message if |\n|---|---|\n")
	refuses := true
	for _, r := range Table() {
		if refuses && r.Verdict == discovery.Public {
			gate.WriteString("\n| rule | no refusal |\n|---|---|\n")
			refuses = false
		}
		fmt.Fprintf(&gate, "| `%s` | %s |\n", r.Rule, strings.TrimPrefix(r.Text, "not a refusal: "))
	}
	golden.Sections(t, "../../../docs/spec/discovery.md", map[string]string{"messages": messages.String(), "gate": gate.String()})
}
