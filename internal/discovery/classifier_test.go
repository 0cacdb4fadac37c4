package discovery

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

func readLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

func classifier(t testing.TB) *Classifier {
	t.Helper()
	c, err := NewClassifier()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDetection covers capability URLs: of each required kind of token at
// least 98 % are found at both levels.
func TestDetection(t *testing.T) {
	c := classifier(t)
	for i, k := range tokengen.Kinds() {
		for _, level := range []Strictness{Strict, Lax} {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			const n = 20_000
			missed := 0
			for range n {
				if kind, _ := c.Classify(k.Draw(r), level); kind == TokenPlain {
					missed++
				}
			}
			if k.Required && missed > n*2/100 {
				t.Errorf("%s, %s: %d of %d missed", k.Name, level, missed, n)
			}
		}
	}
}

// TestHarmlessSlugs bounds what the classifier costs: of slugs in many
// languages at most 1.5 % are taken for secrets.
func TestHarmlessSlugs(t *testing.T) {
	c := classifier(t)
	slugs := readLines(t, "testdata/slugs.txt")
	wrong := 0
	for _, slug := range slugs {
		if kind, part := c.Classify(slug, Strict); kind != TokenPlain {
			wrong++
			t.Logf("%s: %s %s", slug, kind, part)
		}
	}
	if wrong*1000 > len(slugs)*15 {
		t.Errorf("%d of %d slugs are taken for secrets", wrong, len(slugs))
	}
	r := rand.New(rand.NewPCG(7, 7))
	const n = 20_000
	wrong = 0
	for range n {
		slug := slugs[r.IntN(len(slugs))] + "-" + tokengen.Romanised(r) + "-" + tokengen.Brand(r)
		if kind, _ := c.Classify(slug, Strict); kind != TokenPlain {
			wrong++
		}
	}
	if wrong*1000 > n*15 {
		t.Errorf("%d of %d slugs with invented names are taken for secrets", wrong, n)
	}
}

// TestHeldOutReport: the committed report is about the committed model, and
// every figure in it keeps the promise.
func TestHeldOutReport(t *testing.T) {
	data, err := os.ReadFile("testdata/held-out.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(encodedModel)); !strings.Contains(string(data), want) {
		t.Errorf("testdata/held-out.md is about another model; run go generate ./discovery. Want %s", want)
	}
	if len(encodedModel) > 64<<10 {
		t.Errorf("the model has %d bytes", len(encodedModel))
	}
	_, slugs, _ := strings.Cut(string(data), "## Harmless")
	figures := 0
	for cell := range strings.SplitSeq(slugs, "|") {
		var percent float64
		if _, err := fmt.Sscanf(strings.TrimSpace(cell), "%f %%", &percent); err != nil {
			continue
		}
		if figures++; percent > 1.5 {
			t.Errorf("%s of harmless slugs are taken for secrets", cell)
		}
	}
	if figures < 60 {
		t.Errorf("only %d figures in the report", figures)
	}
}

func TestTokenShapes(t *testing.T) {
	c := classifier(t)
	for token, want := range map[string]TokenKind{
		"123e4567-e89b-12d3-a456-426614174000":        TokenUUID,
		"doc-123E4567-E89B-12D3-A456-426614174000-v2": TokenUUID,
		"9f86d081884c":               TokenHex,
		"abc123def456ghi":            TokenRandom,
		"123456789":                  TokenNumber,
		"invoice-20240517-000123456": TokenNumber,
		"20240517":                   TokenPlain,
		"facade":                     TokenPlain,
		"decade-of-beef":             TokenPlain,
		"wh-1000xm5":                 TokenPlain,
		"straßenverkehrsordnung":     TokenPlain,
		"東京都の天気予報":                   TokenPlain,
		"":                           TokenPlain,
		"----":                       TokenPlain,
	} {
		if got, _ := c.Classify(token, Strict); got != want {
			t.Errorf("%q: got %q, want %q", token, got, want)
		}
	}
}

func TestReadClassifier(t *testing.T) {
	if _, err := ReadClassifier(encodedModel[:100]); err == nil {
		t.Error("a torn model is read")
	}
	if _, err := ReadClassifier(append([]byte("X"), encodedModel[1:]...)); err == nil {
		t.Error("a model of another version is read")
	}
}

func FuzzClassify(f *testing.F) {
	c := classifier(f)
	f.Add("best-private-browser")
	f.Add("9f86d081884c7d65")
	f.Add("\xff\xfe%é日本")
	f.Fuzz(func(t *testing.T, token string) {
		for _, level := range []Strictness{Strict, Lax} {
			kind, part := c.Classify(token, level)
			if (kind == TokenPlain) != (part == "") {
				t.Fatalf("%q: kind %q with part %q", token, kind, part)
			}
		}
		if s, _ := c.Classify(token, Strict); s == TokenPlain {
			if l, part := c.Classify(token, Lax); l != TokenPlain {
				t.Fatalf("%q passes strict and not lax: %q", token, part)
			}
		}
	})
}
