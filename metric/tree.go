package metric

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits of a file. The parser recurses, so depth is bounded before it runs.
const (
	maxFile  = 1 << 20
	maxDepth = 64
)

// A position is a place in a file.
type position struct{ line, column int }

// A reader walks the syntax tree of one file and gathers what is wrong with it.
type reader struct {
	file     string
	metric   string // the metric at hand
	problems Problems
}

func (r *reader) failAt(at position, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file, Line: max(1, at.line), Column: max(1, at.column), Metric: r.metric, Text: fmt.Sprintf(format, args...),
	})
}

func (r *reader) fail(n ast.Node, format string, args ...any) { r.failAt(where(n), format, args...) }

// where returns where a node begins. A mapping's own token is the colon after
// its first key.
func where(n ast.Node) position {
	if m, ok := n.(ast.MapNode); ok {
		if it := m.MapRange(); it != nil && it.Next() {
			n = it.Key()
		}
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{}
	}
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}

// root parses the file into the node at its top, or reports why not.
func (r *reader) root(src []byte) (top ast.Node) {
	if len(src) > maxFile {
		r.failAt(position{}, "the file has %d bytes, want at most %d", len(src), maxFile)
		return nil
	}
	if line := tooDeep(src); line > 0 {
		r.failAt(position{line, 1}, "brackets or dashes are nested more than %d deep", maxDepth)
		return nil
	}
	// The parser is known to panic on some malformed documents. They are
	// malformed documents here, no more.
	defer func() {
		if recover() != nil {
			r.failAt(position{}, "this is not YAML")
			top = nil
		}
	}()
	f, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil
	}
	var bodies []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType && d.Body.Type() != ast.CommentGroupType {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) == 0 {
		r.failAt(position{}, "the file is empty; begin with version: 1")
		return nil
	}
	if len(bodies) > 1 {
		r.fail(bodies[1], "a second document; write one")
	}
	return bodies[0]
}

func (r *reader) syntax(err error) {
	var at position
	text := err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		text = e.GetMessage()
		if tk := e.GetToken(); tk != nil && tk.Position != nil {
			at = position{tk.Position.Line, tk.Position.Column}
		}
	}
	line, _, _ := strings.Cut(text, "\n")
	r.failAt(at, "this is not YAML: %s", line)
}

// tooDeep returns the line at which brackets, or dashes on one line, nest too
// deeply, or 0. It may count brackets in texts; those do not come in scores.
func tooDeep(src []byte) int {
	depth, line, dashes := 0, 1, 0
	for _, c := range src {
		switch c {
		case '\n':
			line, dashes = line+1, 0
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '-', '?', ':':
			dashes++
		}
		if depth > maxDepth || dashes > 4*maxDepth {
			return line
		}
	}
	return 0
}

// A table is a mapping whose keys are known.
type table struct {
	at     position
	keys   []string // in the file's order
	values map[string]ast.Node
	places map[string]position
}

// place returns the position of a key, or of the table if it is absent.
func (t *table) place(key string) position {
	if at, ok := t.places[key]; ok {
		return at
	}
	return t.at
}

// table reads a mapping. With allowed keys any other is a problem; without,
// keys are names of the file's own.
func (r *reader) table(n ast.Node, what string, allowed ...string) *table {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.fail(n, "%s: want keys with values, have %s", what, describe(n))
		return nil
	}
	t := &table{at: where(n), values: map[string]ast.Node{}, places: map[string]position{}}
	for it := m.MapRange(); it.Next(); {
		key, ok := it.Key().(*ast.StringNode)
		switch {
		case !ok:
			r.fail(it.Key(), "%s: %q cannot be a key; write a plain word", what, tokenText(it.Key()))
		case t.values[key.Value] != nil:
			r.fail(key, "%s: key %q stands twice, first on line %d; keep one", what, key.Value, t.places[key.Value].line)
		case len(allowed) > 0 && !slices.Contains(allowed, key.Value):
			r.fail(key, "%s: unknown key %q; %s", what, key.Value, hint(key.Value, allowed))
		default:
			t.keys = append(t.keys, key.Value)
			t.values[key.Value], t.places[key.Value] = it.Value(), where(key)
		}
	}
	return t
}

// need reports the keys that are missing.
func (r *reader) need(t *table, what string, keys ...string) bool {
	ok := true
	for _, k := range keys {
		if t.values[k] == nil {
			r.failAt(t.at, "%s: key %q is missing", what, k)
			ok = false
		}
	}
	return ok
}

// sequence reads a list.
func (r *reader) sequence(n ast.Node, what string) ([]ast.Node, bool) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(n, "%s: want a list in brackets, have %s", what, describe(n))
		return nil, false
	}
	return s.Values, true
}

// text reads a string of low to high bytes.
func (r *reader) text(n ast.Node, what string, low, high int) (string, bool) {
	s, ok := plainText(n)
	if !ok {
		r.fail(n, "%s: want text, have %s%s", what, describe(n), quoteHint(n))
		return "", false
	}
	if len(s) < low || len(s) > high {
		r.fail(n, "%s: %d bytes, want %d to %d", what, len(s), low, high)
		return "", false
	}
	return s, true
}

func plainText(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(x.Value.Value, "\n"), true
	}
	return "", false
}

func quoteHint(n ast.Node) string {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return fmt.Sprintf("; write it in quotes: %q", tokenText(n))
	}
	return ""
}

// words reads a list of strings, or one string as a list of one.
func (r *reader) words(n ast.Node, what string) ([]string, bool) {
	if s, ok := plainText(n); ok {
		return []string{s}, true
	}
	nodes, ok := r.sequence(n, what)
	var out []string
	for _, x := range nodes {
		s, good := r.text(x, what, 1, maxFile)
		ok = ok && good
		out = append(out, s)
	}
	return out, ok
}

// oneOf reads one word of a closed list.
func (r *reader) oneOf(n ast.Node, what string, allowed ...string) (string, bool) {
	s, ok := plainText(n)
	if ok && slices.Contains(allowed, s) {
		return s, true
	}
	r.fail(n, "%s: %s; want one of %s", what, describe(n), strings.Join(allowed, ", "))
	return "", false
}

// integer reads a decimal integer from low to high.
func (r *reader) integer(n ast.Node, what string, low, high int64) (int64, bool) {
	if _, ok := n.(*ast.IntegerNode); ok {
		v, err := strconv.ParseInt(strings.ReplaceAll(tokenText(n), "_", ""), 10, 64)
		if err == nil && v >= low && v <= high {
			return v, true
		}
	}
	r.fail(n, "%s: %s; want a whole number from %d to %d", what, describe(n), low, high)
	return 0, false
}

// number reads a decimal number with low <= v <= high.
func (r *reader) number(n ast.Node, what string, low, high float64) (float64, bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		v, err := strconv.ParseFloat(tokenText(n), 64)
		if err == nil && v >= low && v <= high {
			return v, true
		}
	}
	r.fail(n, "%s: %s; want a number from %g to %g", what, describe(n), low, high)
	return 0, false
}

// boolean reads a truth value; of another node it is false, with an error noted.
func (r *reader) boolean(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.fail(n, "%s: %s; want true or false", what, describe(n))
		return false
	}
	return b.Value
}

// describe names a node for a message.
func describe(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case ast.MapNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "an anchor, alias or tag, which this format does not use"
	}
	s, ok := plainText(n)
	if !ok {
		s = tokenText(n)
	}
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "..."
	}
	return strconv.Quote(s)
}

func tokenText(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

// hint names the nearest of the allowed words, or all.
func hint(word string, allowed []string) string {
	best, least := "", 3
	for _, a := range allowed {
		if d := distance(word, a); d < least {
			best, least = a, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known are " + strings.Join(allowed, ", ")
}

// distance is the number of letters inserted, deleted or replaced between a
// and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
