package server

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

// These tests compare what docs/guide/operator.md and the package's documentation
// state with the code.

// manualTable returns the rows of the table of docs/guide/operator.md whose first
// column has the given title, by the first column.
func manualTable(t *testing.T, title string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/guide/operator.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n| "+title+" |")
	if !found {
		t.Fatalf("docs/guide/operator.md has no table with the column %q", title)
	}
	rows := map[string]string{}
	for i, line := range strings.Split(rest, "\n") {
		if i < 2 { // the title's rest and the rule
			continue
		}
		cells := strings.SplitN(line, " | ", 2)
		if len(cells) < 2 || !strings.HasPrefix(line, "| ") {
			break
		}
		rows[strings.TrimPrefix(cells[0], "| ")] = strings.TrimSuffix(cells[1], " |")
	}
	return rows
}

// reasonFormats returns the constants of reasons.go: the formats of the reasons.
func reasonFormats(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		return true
	})
	return all
}

// placeholder is what the manual writes for a value: a size, a word in capitals.
const placeholder = `([0-9]+MiB|[A-Z]+)`

// TestReadinessReasonsInManual: the manual has a row for each reason of /readyz,
// which is the reason or its beginning, and no row for another.
func TestReadinessReasonsInManual(t *testing.T) {
	rows := manualTable(t, "Reason of `/readyz`")
	matched := map[string]bool{}
	for _, format := range reasonFormats(t) {
		found := ""
		for row := range rows {
			if beginsLike(format, row) && len(row) > len(found) {
				found = row
			}
		}
		if found == "" || matched[found] {
			t.Errorf("docs/guide/operator.md has no row of its own for the reason %q", format)
		}
		matched[found] = true
	}
	for row := range rows {
		if !matched[row] {
			t.Errorf("docs/guide/operator.md has the reason %q, which reasons.go has not", row)
		}
	}
	if full := fmt.Sprintf(whyDiskFull, Size(leastFree)); !matched[full] {
		t.Errorf("docs/guide/operator.md has no row %q", full)
	}
}

// beginsLike reports whether a text that the format makes begins with row, which
// has placeholders for values.
func beginsLike(format, row string) bool {
	pattern := regexp.MustCompile(`%[sdq]`).ReplaceAllString(regexp.QuoteMeta(format), placeholder)
	for end := len(pattern); end > 0; end-- { // the row may end at each word
		if end < len(pattern) && pattern[end] != ' ' && pattern[end] != ':' && pattern[end] != '(' && pattern[end] != '\\' && pattern[end] != ';' {
			continue
		}
		if re, err := regexp.Compile("^" + pattern[:end] + "$"); err == nil && re.MatchString(row) {
			return true
		}
	}
	return false
}

// TestReadinessReasonsAreNamed: what makes the server unready is in reasons.go, so
// that the manual has it.
func TestReadinessReasonsAreNamed(t *testing.T) {
	deciding := []string{"Server.unready", "Server.lossReasons", "crowdHost.Health", "aggregator.Health", "collectorHost.Health", "shufflerHealth", "analyzerHealth", "leaderReason", "helperHealth"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !slices.Contains(deciding, strings.TrimPrefix(receiver(f)+"."+f.Name.Name, ".")) {
				continue
			}
			looked++
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(l.Value, " ") {
					t.Errorf("%s: %s is not in reasons.go", fset.Position(l.Pos()), l.Value)
				}
				return true
			})
		}
	}
	if looked != len(deciding) {
		t.Errorf("found %d of the functions %v", looked, deciding)
	}
}

// receiver is the type of a method's receiver, "" of a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// TestScopesInManual: the manual lists each scope with the routes that it opens,
// as the routes and the OpenAPI document have them.
func TestScopesInManual(t *testing.T) {
	routes := map[string][]string{}
	for _, r := range (&Server{}).managementRoutes() {
		routes[string(r.scope)] = append(routes[string(r.scope)], "`"+r.pattern+"`")
	}
	rows := manualTable(t, "Scope")
	for _, s := range scopes {
		if got, want := rows["`"+string(s)+"`"], strings.Join(routes[string(s)], ", "); got != want {
			t.Errorf("docs/guide/operator.md: scope %s opens %q, want %q", s, got, want)
		}
		if _, err := ParseScope("other"); !strings.Contains(err.Error(), string(s)) {
			t.Errorf("the error of an unknown scope does not name %s: %v", s, err)
		}
	}
	if len(rows) != len(scopes) || len(routes) != len(scopes) {
		t.Errorf("%d scopes, %d in the manual, %d with routes", len(scopes), len(rows), len(routes))
	}
	help, err := os.ReadFile("../../cmd/shoal/testdata/help/shoal-token-create.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scopes {
		if !regexp.MustCompile(`\b` + string(s) + `\b`).Match(help) {
			t.Errorf("the help of \"shoal token create\" does not name the scope %s", s)
		}
	}
}

// TestKeyAlarmInManual: the manual names the roles that have the gauge, and it is
// above the limit of its alarm while keys rotate.
func TestKeyAlarmInManual(t *testing.T) {
	row := manualTable(t, "Counter")["`shoal_key_seconds_left`"]
	if !strings.Contains(row, "below `keys.overlap`") {
		t.Errorf("docs/guide/operator.md: the alarm of keys is %q", row)
	}
	gauge := regexp.MustCompile(`(?m)^shoal_key_seconds_left\{role="(\w+)"\} (\S+)$`)
	crowd, sums := newWorld(t), newAggregateWorld(t)
	sums.pair()
	has := map[string]bool{}
	for _, o := range []*org{crowd.a, crowd.b, sums.a, sums.b} {
		for _, r := range o.config().Roles {
			has[r.String()] = false
		}
	}
	for _, o := range []*org{crowd.a, crowd.b, sums.a, sums.b} {
		o.start()
	}
	for _, o := range []*org{crowd.a, crowd.b, sums.a, sums.b} {
		if err := o.w.tick(o); err != nil {
			t.Fatal(err)
		}
		_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
		for _, m := range gauge.FindAllStringSubmatch(string(body), -1) {
			has[m[1]] = true
			if left, err := strconv.ParseFloat(m[2], 64); err != nil || left < o.config().Keys.Overlap.D().Seconds() {
				t.Errorf("%s: %v seconds left, below keys.overlap", m[1], m[2])
			}
		}
	}
	if len(has) != 6 { // with the gateway
		t.Errorf("the worlds have the roles %v", slices.Sorted(maps.Keys(has)))
	}
	for role, set := range has {
		if set != strings.Contains(row, role) {
			t.Errorf("%s has the gauge: %t; docs/guide/operator.md: %q", role, set, row)
		}
	}
}

// TestPackageDocNamesRoles: the package's documentation names every role.
func TestPackageDocNamesRoles(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(file.Doc.Text(), "\n\n")
	for _, r := range []task.Role{task.Shuffler, task.Analyzer, task.Leader, task.Helper, task.Collector, task.Relay} {
		if !strings.Contains(first, r.String()) {
			t.Errorf("the first paragraph of doc.go does not name the role %s", r)
		}
	}
}
