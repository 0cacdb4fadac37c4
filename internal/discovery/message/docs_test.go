package message

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery"
)

// keep compares sections of a page with the tables of the code.
// SHOAL_UPDATE=1 rewrites them.
func keep(t *testing.T, name string, sections map[string]string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for section, table := range sections {
		begin, end := "<!-- begin "+section+" -->\n", "<!-- end "+section+" -->"
		i, j := strings.Index(text, begin), strings.Index(text, end)
		if i < 0 || j < i {
			t.Fatalf("%s has no place for %s", name, section)
		}
		text = text[:i+len(begin)] + table + text[j:]
	}
	if text == string(data) {
		return
	}
	if os.Getenv("SHOAL_UPDATE") != "1" {
		t.Errorf("%s is not what the code says: run SHOAL_UPDATE=1 go test ./internal/discovery/message", name)
		return
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

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
	keep(t, "../../../docs/spec/discovery.md", map[string]string{"messages": messages.String(), "gate": gate.String()})
}
