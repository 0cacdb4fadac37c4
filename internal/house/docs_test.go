package house

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/shoal-project/shoal/internal/golden"
)

// documents returns the Markdown pages of the repository by path, without what is
// installed or built.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || name != "." && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) == ".md" {
			text, err := os.ReadFile(p)
			pages[p] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

var (
	fence    = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	code     = regexp.MustCompile("`[^`\n]*`")
	mdLink   = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// anchor gives the anchor of a heading, as forges make it: lower case, spaces become
// hyphens, and all but letters, digits, hyphens and underscores are dropped.
func anchor(heading string) string {
	heading = linkText.ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// deadLinks returns the relative links of a page that lead nowhere.
func deadLinks(from string, pages map[string]string) []string {
	text := code.ReplaceAllString(fence.ReplaceAllString(pages[from], ""), "")
	var dead []string
	for _, m := range mdLink.FindAllStringSubmatch(text, -1) {
		target, fragment, _ := strings.Cut(m[1], "#")
		if strings.Contains(target, ":") {
			continue // another site
		}
		file := from
		if target != "" {
			file = path.Join(path.Dir(from), target)
			if _, err := os.Stat(file); err != nil {
				dead = append(dead, m[1])
				continue
			}
		}
		if fragment == "" {
			continue
		}
		headings := heading.FindAllStringSubmatch(fence.ReplaceAllString(pages[file], ""), -1)
		if !slices.ContainsFunc(headings, func(h []string) bool { return anchor(h[1]) == fragment }) {
			dead = append(dead, m[1])
		}
	}
	return dead
}

// TestLinks: each relative link and anchor of each page leads somewhere.
func TestLinks(t *testing.T) {
	pages := documents(t)
	pages["bad.md"] = "# A *b*\n[a](docs/none.md) [b](#none) [c](README.md#none) [d](#a-b) `[e](none)`"
	if dead := deadLinks("bad.md", pages); !slices.Equal(dead, []string{"docs/none.md", "#none", "README.md#none"}) {
		t.Fatalf("dead links of a bad page: %q", dead)
	}
	delete(pages, "bad.md")
	if len(pages) < 30 {
		t.Fatalf("only %d pages", len(pages))
	}
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		for _, link := range deadLinks(page, pages) {
			t.Errorf("%s: dead link %s", page, link)
		}
	}
}

var docPath = regexp.MustCompile(`\bdocs/[A-Za-z0-9/_-]+\.(md|svg|yaml|txt)\b`)

// TestPathsOfDocs: each path of docs that code, scripts and pages write out exists.
func TestPathsOfDocs(t *testing.T) {
	found := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || name == "peers" || name != "." && name != ".ci" && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		switch path.Ext(p) {
		case ".go", ".md", ".ts", ".txtar", ".yaml", ".yml", "":
		default:
			return nil
		}
		if path.Base(p) == "docs_test.go" || p == "CHANGELOG.md" || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for _, name := range docPath.FindAllString(string(text), -1) {
			found++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("%s: there is no %s", p, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 50 {
		t.Errorf("only %d paths found", found)
	}
}

// TestCommandsAreDocumented: docs/reference/commands.md ends with a row for each help
// text of cmd/shoal, with its first sentence. -update rewrites them.
func TestCommandsAreDocumented(t *testing.T) {
	files, err := filepath.Glob("cmd/shoal/testdata/help/shoal-*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d help texts, %v", len(files), err)
	}
	var rows []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		usage, rest, _ := strings.Cut(string(text), "\n\n")
		usage = strings.TrimPrefix(strings.Join(strings.Fields(usage), " "), "Usage: ")
		if strings.Contains(usage, " <command>") {
			continue
		}
		purpose, _, _ := strings.Cut(rest, "\n\n")
		usage = strings.ReplaceAll(strings.TrimSuffix(usage, " [flags]"), "|", `\|`)
		rows = append(rows, "| `"+usage+"` | "+strings.Join(strings.Fields(purpose), " ")+" |\n")
	}
	const file, head = "docs/reference/commands.md", "| Command | Purpose |\n|---|---|\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, have, ok := strings.Cut(string(page), head)
	if !ok {
		t.Fatalf("%s has no table with the head %q", file, head)
	}
	want := strings.Join(rows, "")
	switch {
	case have == want:
	case golden.Updating():
		golden.Write(t, file, []byte(before+head+want))
	default:
		t.Errorf("%s does not end with the table of the help texts: run go test ./internal/house -run Documented -update. Want\n%s", file, want)
	}
}

// TestReadmePlan: the lines of a plan that the README shows are those of the example.
func TestReadmePlan(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := os.ReadFile("docs/examples/plan.txt")
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(page), "\n```\n  example, recorded ")
	if i < 0 {
		t.Fatal("the README shows no plan")
	}
	shown, _, _ := strings.Cut(string(page)[i+5:], "```")
	lines, rest := strings.Split(strings.TrimSuffix(shown, "\n"), "\n"), string(plan)
	if len(lines) != 12 {
		t.Errorf("%d lines, want 12", len(lines))
	}
	for _, line := range lines {
		_, after, ok := strings.Cut(rest, "\n"+line+"\n")
		if !ok {
			t.Errorf("docs/examples/plan.txt does not have, in this order, %q", line)
			continue
		}
		rest = "\n" + after
	}
}
