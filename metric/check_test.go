package metric_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// TestCheck compares all that is wrong with each file of testdata/check with
// the golden file beside it.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if len(must(t, files, err)) == 0 {
		t.Fatal("no files")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src, err := os.ReadFile(path)
			must(t, src, err)
			f, err := metric.Read(filepath.Base(path), src, now())
			if err == nil {
				t.Fatalf("%d metrics pass", len(f.Metrics))
			}
			ps, ok := errors.AsType[metric.Problems](err)
			if !ok || f != nil {
				t.Fatalf("want nothing but problems, got %v and %v", f, err)
			}
			for _, p := range ps {
				if p.Line < 1 || p.Column < 1 || p.Text == "" {
					t.Errorf("no place or no words: %+v", p)
				}
			}
			golden.Equal(t, strings.TrimSuffix(path, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}

func TestExamplesPass(t *testing.T) {
	f, err := metric.Load(examples, now())
	if len(must(t, f, err).Metrics) != 3 {
		t.Errorf("%d metrics", len(f.Metrics))
	}
	if _, err := metric.Load(examples, day("2028-01-01")); err == nil || strings.Count(err.Error(), "expired on 2028-01-01") != 3 {
		t.Errorf("on the day they expire: %v", err)
	}
	if _, err := metric.Load("testdata/absent.yaml", now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestSecondShuffler covers the threat of a shuffler that confirms guesses: two
// shufflers prevent it, one does not, whatever the file declares.
func TestSecondShuffler(t *testing.T) {
	src := `
version: 1
owner: Example
parties:
  shufflers:
    - {url: https://one.example, identity: ` + task.FormatPublic(identity("one").Public()) + `}
    - {url: https://two.example, identity: ` + task.FormatPublic(identity("two").Public()) + `}
  analyzer: {url: https://three.example, identity: ` + task.FormatPublic(identity("three").Public()) + `}
metrics:
  secret:
    question: q
    consent: c
    record: {word: {type: string, max: 20, sensitive: true}}
    crowd: [word]
    privacy: {epsilon: 2, delta: 1e-6}
    expires: 2027-01-01
`
	f, err := metric.Read("two.yaml", []byte(src), now())
	must(t, f, err)
	one := append([]task.Party{f.Hops[0]}, f.Hops[2])
	if err := f.Check(one, now()); err == nil || !strings.Contains(err.Error(), "single shuffler") {
		t.Errorf("with one shuffler: %v", err)
	}
	if _, err := f.Build(one, identity("owner"), now()); err == nil {
		t.Error("built with one shuffler")
	}
	if b, err := f.Build(nil, identity("owner"), now()); len(must(t, b, err).Tasks) != 1 {
		t.Error("not built with two")
	}
}

// TestLimits holds that a hostile file is refused before it costs anything.
func TestLimits(t *testing.T) {
	for want, src := range map[string]string{
		"nested more":    strings.Repeat("[", 100_000),
		"65 deep":        "a: " + strings.Repeat("- ", 100_000),
		"bytes, want at": strings.Repeat("#\n", 1<<20),
	} {
		if want == "65 deep" {
			want = "nested more"
		}
		if _, err := metric.Read("x.yaml", []byte(src), now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %.200v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(paths, examples, aggregateExamples) {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		_, err := metric.Parse("fuzz.yaml", src)
		if err == nil {
			return
		}
		ps, ok := errors.AsType[metric.Problems](err)
		if !ok {
			t.Fatalf("not problems: %v", err)
		}
		lines := strings.Count(string(src), "\n") + strings.Count(string(src), "\r") + 2
		for _, p := range ps {
			if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Text == "" {
				t.Errorf("no place or no words: %+v", p)
			}
		}
	})
}
