package bundle

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/golden"
)

const manual = "../../../docs/spec/rule-bundles.md"

// block returns the text between two marks of the manual, without its fence.
func block(t *testing.T, text, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "<!-- begin "+name+" -->\n")
	body, _, ok2 := strings.Cut(rest, "<!-- end "+name+" -->")
	if !ok || !ok2 {
		t.Fatalf("the manual has no place for %s", name)
	}
	if fenced, ok := strings.CutPrefix(body, "```"); ok {
		_, fenced, _ = strings.Cut(fenced, "\n")
		return strings.TrimSuffix(fenced, "```\n")
	}
	return body
}

// TestManual runs the example of the manual and keeps its tables.
// -update rewrites them.
func TestManual(t *testing.T) {
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	doc, err := Parse([]byte(block(t, text, "example")))
	if err != nil {
		t.Fatal(err)
	}
	b, err := compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	const asked = "https://de.heron.example.com/search?q=green+tea&client=toolbar&id=4711"
	if !strings.Contains(text, "`"+asked+"`") {
		t.Errorf("the manual does not show %s", asked)
	}
	s, _ := b.SearchPage(parseURL(t, asked))
	if got, want := fmt.Sprintf("engine %s\nquery  %s\nclean  %s\n", s.Engine, s.Query, s.Clean), block(t, text, "search"); got != want {
		t.Errorf("search: got\n%swant\n%s", got, want)
	}
	actions, err := b.Extract(s.Clean, []byte(block(t, text, "page")))
	if err != nil || len(actions) != 1 {
		t.Fatal(actions, err)
	}
	if got, want := show(actions[0]), block(t, text, "read"); got != want {
		t.Errorf("read: got\n%swant\n%s", got, want)
	}
	golden.Sections(t, manual, map[string]string{"transforms": transformTable(), "limits": limitTable()})
}

func show(a Action) string {
	var b strings.Builder
	fmt.Fprintf(&b, "action %s\n", a.Name)
	for _, key := range slices.Sorted(maps.Keys(a.Lists)) {
		for i, item := range a.Lists[key] {
			var fields []string
			for _, name := range slices.Sorted(maps.Keys(item)) {
				fields = append(fields, fmt.Sprintf("%s %q", name, item[name]))
			}
			fmt.Fprintf(&b, "%s %d: %s\n", key, i+1, strings.Join(fields, ", "))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(a.Texts)) {
		fmt.Fprintf(&b, "%s %q\n", key, a.Texts[key])
	}
	return b.String()
}

func transformTable() string {
	var b strings.Builder
	b.WriteString("| transform | arguments | what it does |\n|---|---|---|\n")
	for _, t := range Transforms() {
		args := transformers()[t.Name]
		count := fmt.Sprintf("%d to %d", args.least, boundsOf(format2).arguments)
		if args.most < many {
			count = fmt.Sprintf("%d to %d", args.least, args.most)
		}
		if args.least == args.most {
			count = fmt.Sprint(args.least)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", t.Name, count, t.About)
	}
	return b.String()
}

func limitTable() string {
	var b strings.Builder
	b.WriteString("| what | at most |\n|---|---:|\n")
	for _, l := range []struct {
		what string
		most int
	}{
		{"bytes of a signed bundle", MaxSize},
		{"engines of a bundle", maxEngines},
		{"patterns of an engine", maxPatterns},
		{"hosts of a pattern", maxHosts},
		{"styles of an engine", maxStyles},
		{"inputs of a style (format 1: " + fmt.Sprint(boundsOf(format1).inputs) + ")", boundsOf(format2).inputs},
		{"fields of an input or an action (format 1: " + fmt.Sprint(boundsOf(format1).fields) + ")", boundsOf(format2).fields},
		{"ways to a field (format 1: " + fmt.Sprint(boundsOf(format1).ways) + ")", boundsOf(format2).ways},
		{"transforms of a way", maxTransforms},
		{"actions of a style (format 1: " + fmt.Sprint(boundsOf(format1).actions) + ")", boundsOf(format2).actions},
		{"bytes of a selector", maxSelector},
		{"pseudo-classes inside of each other", maxNested},
		{"parts of all selectors of an engine (format 1: " + fmt.Sprint(boundsOf(format1).selectors) + ")", boundsOf(format2).selectors},
		{"bytes of a page", discovery.MaxPage},
		{"elements of a page", maxElements},
		{"attributes of a page", maxAttributes},
		{"elements inside of each other", maxDepth},
		{"bytes of a tag, a comment or a script", maxToken},
		{"steps that the selectors of a page may take", maxSteps},
		{"elements of an input; more are left out", maxMatches},
		{"bytes of a text or attribute before its transforms", maxRead},
		{"bytes of a value; a longer one is discarded", maxValue},
	} {
		fmt.Fprintf(&b, "| %s | %d |\n", l.what, l.most)
	}
	return b.String()
}
