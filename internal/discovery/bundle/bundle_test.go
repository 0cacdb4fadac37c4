package bundle

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

func testDocument(t testing.TB) *Document {
	t.Helper()
	source, err := os.ReadFile("embedded/test-site.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOpenRefuses names each way in which somebody could slip in rules.
func TestOpenRefuses(t *testing.T) {
	doc := testDocument(t)
	doc.Version = 7
	key := developmentKey()
	signed, err := Sign(doc, key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := []ed25519.PublicKey{DevelopmentKey()}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	otherPublic, _ := other.Public().(ed25519.PublicKey)
	line, body, _ := bytes.Cut(signed, []byte("\n"))
	words := strings.Fields(string(line))
	// resigned signs any bytes, valid or not, with the trusted key.
	resigned := func(body []byte) []byte { return signRaw(body, key) }
	flipped := func(i int) []byte { b := bytes.Clone(signed); b[i] ^= 1; return b }
	for name, c := range map[string]struct {
		signed []byte
		keys   []ed25519.PublicKey
		now    time.Time
		newest uint64
		want   error
	}{
		"as it should be":              {signed, trusted, today(), 7, nil},
		"second of two keys":           {signed, []ed25519.PublicKey{otherPublic, trusted[0]}, today(), 0, nil},
		"no signature":                 {body, trusted, today(), 0, ErrUnsigned},
		"nothing":                      {nil, trusted, today(), 0, ErrUnsigned},
		"empty signature":              {[]byte(words[0] + " " + words[1] + " \n" + string(body)), trusted, today(), 0, ErrUnsigned},
		"another format":               {append([]byte("shoal-rule-bundle-2"), signed[len(header):]...), trusted, today(), 0, ErrUnsigned},
		"no key trusted":               {signed, nil, today(), 0, ErrUnknownKey},
		"another key":                  {signed, []ed25519.PublicKey{otherPublic}, today(), 0, ErrUnknownKey},
		"a key that is no key":         {signed, []ed25519.PublicKey{{1, 2}}, today(), 0, ErrUnknownKey},
		"another key's signature":      {bytes.Replace(signRaw(body, other), []byte(KeyID(otherPublic)), []byte(KeyID(trusted[0])), 1), trusted, today(), 0, ErrUnsigned},
		"a byte of the body":           {flipped(len(signed) - 9), trusted, today(), 0, ErrUnsigned},
		"a byte of the signature":      {flipped(len(header) + 30), trusted, today(), 0, ErrUnsigned},
		"a carriage return before it":  {bytes.Replace(signed, []byte("\n"), []byte("\r\n"), 1), trusted, today(), 0, ErrUnsigned},
		"text after it":                {append(bytes.Clone(signed), '\n'), trusted, today(), 0, ErrUnsigned},
		"an older version":             {signed, trusted, today(), 8, ErrDowngraded},
		"expired to the second":        {signed, trusted, doc.Expires, 0, ErrExpired},
		"a second before expiry":       {signed, trusted, doc.Expires.Add(-time.Second), 0, nil},
		"not yet valid":                {signed, trusted, doc.NotBefore.Add(-time.Second), 0, ErrNotYetValid},
		"too large":                    {append(bytes.Clone(signed), make([]byte, MaxSize)...), trusted, today(), 0, ErrTooLarge},
		"signed, but spaced otherwise": {resigned(append(bytes.Clone(body), ' ')), trusted, today(), 0, ErrMalformed},
		"signed, with an unknown key":  {resigned(bytes.Replace(body, []byte(`"format"`), []byte(`"secret":1,"format"`), 1)), trusted, today(), 0, ErrMalformed},
		"signed, with a key twice":     {resigned(bytes.Replace(body, []byte(`"format":1`), []byte(`"format":1,"format":1`), 1)), trusted, today(), 0, ErrMalformed},
		"signed, in other case":        {resigned(bytes.Replace(body, []byte(`"format"`), []byte(`"Format"`), 1)), trusted, today(), 0, ErrMalformed},
		"signed, of another format":    {resigned(bytes.Replace(body, []byte(`"format":1`), []byte(`"format":3`), 1)), trusted, today(), 0, ErrMalformed},
		"signed, and no JSON":          {resigned([]byte("format: 1")), trusted, today(), 0, ErrMalformed},
	} {
		b, err := Open(c.signed, c.keys, c.now, c.newest)
		if !errors.Is(err, c.want) || (err == nil) != (b != nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// TestParseRefuses: errors in a document are reported, with their place.
func TestParseRefuses(t *testing.T) {
	source, err := os.ReadFile("embedded/test-site.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, replacement, want string }{
		{`"format": 1`, `"format": 1, "format": 1`, `duplicate key "format"`},
		{`"format": 1`, `"format": 1, "extra": 1`, `unknown field "extra"`},
		{`"version": 1`, `"version": 0`, "version 0"},
		{`"version": 1`, `"version": -1`, "cannot unmarshal"},
		{`"expires": "2027-11-30`, `"expires": "2036-11-30`, "at most 400 days"},
		{`"expires": "2027-11-30`, `"expires": "2026-10-30`, "at most 400 days"},
		{`"name": "finch"`, `"name": "Finch"`, `engine "Finch": name`},
		{`"name": "marlin"`, `"name": "finch"`, `engine "finch": duplicate`},
		{`"scheme": "https"`, `"scheme": "ftp"`, `scheme "ftp"`},
		{`["finch.example.net"]`, `["Finch.example.net"]`, `host "Finch.example.net"`},
		{`["finch.example.net"]`, `["*.*.example.net"]`, `host "*.*.example.net"`},
		{`["finch.example.net"]`, `["finch.example.net:444"]`, "host"},
		{`["finch.example.net"]`, `["other.example.net"]`, "the pattern does not recognise it"},
		{`"path": "/search"`, `"path": "search"`, `path "search"`},
		{`"path": "/search"`, `"path": "/sea*"`, `path "/sea*"`},
		{`"clean": "https://finch.example.net/search"`, `"clean": "https://finch.example.net/search?a=b"`, "without query"},
		{`"clean": "https://finch.example.net/search"`, `"clean": "http://finch.example.net/search"`, "same scheme"},
		{`"first": "input.words"`, `"first": "input.words", "all": "i"`, "either first or all"},
		{`input.words`, `input.words >`, "want a tag"},
		{`input.words`, `input:hover`, "unknown pseudo-class :hover"},
		{`input.words`, `input:nth-child(n+)`, "is no place"},
		{`input.words`, `:not(:not(:not(:not(:not(i)))))`, "inside of each other"},
		{`input.words`, `[a=`, "want a name"},
		{`input.words`, strings.Repeat("i ", 300) + "i", "want at most 512"},
		{`"text": true`, `"text": true, "attr": "x"`, "either attr or text"},
		{`["trim"]`, `["eval", "1"]`, `transform "eval": unknown`},
		{`["trim"]`, `["trim", "1"]`, "1 arguments, want 0 to 0"},
		{`["trim"]`, `["split", ",", "x"]`, "a number from 0"},
		{`"from": "box.words"`, `"from": "box.nothing"`, "no such field"},
		{`"from": "box.words"`, `"from": "nothing.words"`, "no such input"},
		{`"from": "box.words"`, `"from": "results.url"`, "want input.field"},
		{`"require": ["url", "title"]`, `"require": ["url", "price"]`, `require "price"`},
	} {
		changed := strings.Replace(string(source), c.old, c.replacement, 1)
		if changed == string(source) {
			t.Errorf("%s does not stand in the source", c.old)
			continue
		}
		if _, err := Parse([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.replacement, err, c.want)
		}
	}
	for _, text := range []string{"", "{", "[]", "1", "{}", string(source) + "{}", strings.Repeat("[", 100), `{"a":[}`, "\xff"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.20q is read", text)
		}
	}
}

func TestTransforms(t *testing.T) {
	page := parseURL(t, "https://e.example.org/a/b?c=d")
	for _, c := range []struct {
		words []string
		in    string
		want  string
		none  bool
	}{
		{[]string{"trim"}, " a \n b ", "a b", false},
		{[]string{"filterExact", "a", "b"}, "b", "", true},
		{[]string{"filterExact", "a", "b"}, "c", "c", false},
		{[]string{"requireURL"}, "../x?y#z", "https://e.example.org/x?y#z", false},
		{[]string{"requireURL"}, "//o.example.org", "https://o.example.org/", false},
		{[]string{"requireURL"}, "javascript:alert(1)", "", true},
		{[]string{"requireURL"}, "", "", true},
		{[]string{"requireURL"}, "mailto:joe@example.org", "", true},
		{[]string{"queryParam", "to"}, "/out?x=1&to=https%3A%2F%2Fo.example.org%2F%3Fa%3Db", "https://o.example.org/?a=b", false},
		{[]string{"queryParam", "to"}, "/out?too=1", "", true},
		{[]string{"removeParams", "utm_source", "b"}, "/x?a=1&utm_source=2&b=3&c#f", "https://e.example.org/x?a=1&c#f", false},
		{[]string{"removeParams", "*"}, "/x?a=1&b=2", "https://e.example.org/x", false},
		{[]string{"mask"}, "https://o.example.org/private?x", "https://o.example.org/ (PROTECTED)", false},
		{[]string{"split", " | ", "1"}, "a | b | c", "b", false},
		{[]string{"split", " | ", "3"}, "a | b | c", "", true},
		{[]string{"trySplit", " | ", "3"}, "a | b | c", "a | b | c", false},
		{[]string{"decodeURIComponent"}, "a%20b+c", "a b+c", false},
		{[]string{"decodeURIComponent"}, "a%2", "", true},
		{[]string{"decodeURIComponent"}, "%ff", "", true},
		{[]string{"tryDecodeURIComponent"}, "a%2", "a%2", false},
		{[]string{"json", "a.1.b"}, `{"a":[0,{"b":"c"}]}`, "c", false},
		{[]string{"json", "a"}, `{"a":1.5}`, "1.5", false},
		{[]string{"json", "a"}, `{"a":true}`, "true", false},
		{[]string{"json", "a"}, `{"a":{}}`, "", true},
		{[]string{"json", "a.9"}, `{"a":[1]}`, "", true},
		{[]string{"json", "a"}, `{"a":`, "", true},
	} {
		f, err := compileTransform(c.words, boundsOf(format2))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f(page, c.in); ok == c.none || ok && got != c.want {
			t.Errorf("%v of %q: %q %t, want %q", c.words, c.in, got, ok, c.want)
		}
	}
	if list := Transforms(); len(list) != len(transformers()) || list[0].Name != "cutPrefix" {
		t.Errorf("list: %v", list)
	}
}

func FuzzOpen(f *testing.F) {
	small := []byte(`{"format":1,"name":"n","version":1,"not_before":"2026-11-01T00:00:00Z","expires":"2027-11-01T00:00:00Z","engines":[{"name":"e","pages":[{"scheme":"https","hosts":["e.org"],"path":"/s","query":"q","clean":"https://e.org/s"}],"content":[{"input":[{"name":"i","all":"a.b","fields":[{"name":"t","ways":[{"text":true,"transform":[["trim"]]}]}]}],"output":[{"action":"a","fields":[{"key":"k","from":"i"}]}]}]}]}`)
	f.Add(small)
	f.Add(signRaw(small, developmentKey()))
	f.Add([]byte(header + " 0011223344556677 x\n{}"))
	keys := []ed25519.PublicKey{DevelopmentKey()}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Open(data, keys, today(), 0); err == nil {
			if doc, err := Verify(data, keys); err != nil || doc.Version == 0 {
				t.Fatal("opened and not verified")
			}
		}
		// The same bytes, signed: the decoder behind the signature.
		b, err := Open(signRaw(data, developmentKey()), keys, today(), 0)
		if err != nil {
			return
		}
		again, err := Sign(b.doc, developmentKey())
		if err != nil || !bytes.Equal(again, signRaw(data, developmentKey())) {
			t.Fatalf("a bundle that is not canonical is opened: %v", err)
		}
	})
}

func FuzzTransforms(f *testing.F) {
	f.Add("requireURL", "", "../x?y=%41#z")
	f.Add("json", "a.0", `{"a":["b"]}`)
	f.Add("split", ",", "a,b")
	page := parseURL(f, "https://e.example.org/a/b?c=d")
	f.Fuzz(func(t *testing.T, name, arg, text string) {
		words := []string{name}
		if arg != "" {
			words = append(words, arg)
		}
		if strings.HasSuffix(strings.ToLower(name), "split") {
			words = append(words, "1")
		}
		transform, err := compileTransform(words, boundsOf(format2))
		if err != nil {
			return
		}
		got, ok := transform(page, text)
		again, okAgain := transform(page, text)
		if got != again || ok != okAgain {
			t.Fatal("the transform has a state")
		}
		if ok && (name == "requireURL" || name == "removeParams") {
			if _, err := discovery.ParseURL(got); err != nil {
				t.Fatalf("%s of %q gives %q", name, text, got)
			}
		}
	})
}

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"a > b", `div:not(.ad):has(> [x="y" i])`, "li:nth-child(2n+1), #a\\:b", ":is(a,b)~c"} {
		f.Add(s)
	}
	tree, err := readTree([]byte(finchList))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := parseSelector(s)
		if err != nil {
			return
		}
		x := extraction{tree: tree, steps: maxSteps}
		if m, err := x.match(l); err != nil || len(m) != len(tree.elements) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func FuzzSearchPage(f *testing.F) {
	b := openEmbedded(f, SearchEngines)
	f.Add("https://www.google.com/search?q=a%2Bb+c&gl=us")
	f.Add("https://x.search.yahoo.com/search?p=%ff%00&p=2")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := discovery.ParseURL(raw)
		if err != nil {
			return
		}
		s, ok := b.SearchPage(u)
		if !ok {
			return
		}
		if again, ok := b.SearchPage(s.Clean); !ok || again != s {
			t.Fatalf("%q gives %+v, and its clean URL %+v %t", raw, s, again, ok)
		}
	})
}

func ExampleOpen() {
	signed, err := Embedded(TestSite) // yours comes from a file or a download
	if err != nil {
		panic(err)
	}
	b, err := Open(signed, []ed25519.PublicKey{DevelopmentKey()}, today(), 0)
	if err != nil {
		panic(err)
	}
	u, err := discovery.ParseURL("https://finch.example.net/search?q=green+tea&session=12345")
	if err != nil {
		panic(err)
	}
	search, _ := b.SearchPage(u)
	fmt.Println(search.Engine, "|", search.Query, "|", search.Clean)
	// Output: finch | green tea | https://finch.example.net/search?q=green+tea
}
