package house_test

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// These tests hold the texts of the code to the field's words: what an engineer
// would search for. Prose for people (README, guides) may use plain words, but none of
// those that are never used.

// never lists words that comments, texts and identifiers do not use.
var never = regexp.MustCompile(`(?i)\b(anew|mend(s|ed|ing)?|couriers?|bells?|glanc(e|es|ed|ing)|unwell|hopeless|tend(s|ed|ing|er)?|linger(s|ed|ing)?|whoever|is none|but for|for good)\b`)

// rarely lists words that comments use seldom: 7 times in 1,000 lines at most,
// as often as those of net/http do.
var rarely = regexp.MustCompile(`(?i)\b(told|tells?|stands?|stood|says?|saying|said|who|nobody|tak(e|es|ing|en) (up|in)|took (up|in))\b`)

// rarelyIn1000 is the most of the latter in 1,000 lines of comments.
const rarelyIn1000 = 7

// words are the texts of a Go file, line by line.
type words struct {
	comments, strings, idents []spoken
}

// spoken is a text and its place.
type spoken struct {
	at   token.Position
	text string
}

// read splits a file into its texts.
func read(name string, source []byte) (w words) {
	fset := token.NewFileSet()
	file := fset.AddFile(name, -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		pos, tok, lit := s.Scan()
		at := fset.Position(pos)
		switch tok {
		case token.EOF:
			return w
		case token.COMMENT:
			for i, line := range strings.Split(lit, "\n") {
				w.comments = append(w.comments, spoken{token.Position{Filename: name, Line: at.Line + i}, strings.Trim(line, "/* \t")})
			}
		case token.STRING:
			w.strings = append(w.strings, spoken{at, lit})
		case token.IDENT:
			w.idents = append(w.idents, spoken{at, apart(lit)})
		}
	}
}

// apart puts spaces between the words of an identifier.
func apart(ident string) string {
	var b strings.Builder
	for i, r := range ident {
		if i > 0 && unicode.IsUpper(r) || r == '_' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// sources calls f with each Go file of the repository that is not test data.
func sources(t *testing.T, f func(name string, source []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "target"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "house/words_test.go"):
			return nil
		}
		source, err := os.ReadFile(name)
		if err == nil {
			f(name, source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWords(t *testing.T) {
	lines, seldom := 0, []spoken{}
	sources(t, func(name string, source []byte) {
		w := read(name, source)
		lines += len(w.comments)
		for kind, texts := range map[string][]spoken{"a comment": w.comments, "a text": w.strings, "an identifier": w.idents} {
			for _, s := range texts {
				if m := never.FindString(s.text); m != "" {
					t.Errorf("%s: %s has %q: use the field's word (CONTRIBUTING.md)", s.at, kind, m)
				}
			}
		}
		for _, s := range w.comments {
			if m := rarely.FindString(s.text); m != "" {
				seldom = append(seldom, spoken{s.at, m})
			}
		}
	})
	if lines < 10_000 {
		t.Fatalf("%d lines of comments were found", lines)
	}
	t.Logf("%d of %d lines of comments have a word that is used rarely: %.1f in 1,000", len(seldom), lines, 1000*float64(len(seldom))/float64(lines))
	if limit := lines * rarelyIn1000 / 1000; len(seldom) > limit {
		for _, s := range seldom {
			t.Logf("%s: %q", s.at, s.text)
		}
		t.Errorf("%d lines of comments have a word that is used rarely, at most %d may", len(seldom), limit)
	}
}

// TestWordsOfPages: the documentation has none of the words that are never used.
func TestWordsOfPages(t *testing.T) {
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "web/sdk/*.md", "examples/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, more...)
	}
	if len(names) < 25 {
		t.Fatalf("only the pages %v", names)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line, rest := range strings.Split(string(text), "\n") {
			if m := never.FindString(rest); m != "" {
				t.Errorf("%s:%d: %q: use the field's word (CONTRIBUTING.md)", name, line+1, m)
			}
		}
	}
}

// TestWordsAreSeen shows that the test above sees what it looks for.
func TestWordsAreSeen(t *testing.T) {
	w := read("x.go", []byte("package x\n\n// f asks anew.\nfunc f() error {\n\tnewBell := 1 /* it stands\n\there */\n\treturn errors.New(\"it is none of ours\")\n}\n"))
	count := func(texts []spoken, r *regexp.Regexp) (n int) {
		for _, s := range texts {
			n += len(r.FindAllString(s.text, -1))
		}
		return n
	}
	if got := [...]int{count(w.comments, never), count(w.strings, never), count(w.idents, never), count(w.comments, rarely), len(w.comments)}; got != [...]int{1, 1, 1, 1, 3} {
		t.Errorf("seen %v", got)
	}
	if s := w.idents[len(w.idents)-1]; s.at.Line != 7 {
		t.Errorf("the last identifier %q is at %v", s.text, s.at)
	}
}
