package vocab

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

func run(t *testing.T, c Config) *Result {
	t.Helper()
	c.Dir, c.Collections, c.Clock = t.TempDir(), 1, clock.NewVirtual(time.Unix(0, 0))
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%d files are left over, %v", len(left), err)
	}
	return r
}

func TestRunIsRightAndRepeatable(t *testing.T) {
	c := Config{Sizes: []int{2000}, Seed: 5, Sealed: 2000}
	r := run(t, c)
	row := r.Rows[0]
	var truth, least20, atMost int
	for _, n := range draw(2000, (&runner{Config: c}).seed("words", 2000)).counts {
		if n > 0 {
			truth++
		}
		if n >= quorum {
			least20++
		}
		if n >= quorum+2 { // the noise drops 10 reports with a deviation of 2: hardly ever less than 2
			atMost++
		}
	}
	if row.Truth != truth || row.NoCrowd != least20 {
		t.Errorf("ground truth %d and NoCrowd %d, want %d and %d", row.Truth, row.NoCrowd, truth, least20)
	}
	if row.Crowd == 0 || row.Crowd > atMost || row.SecretCrowd != row.Crowd {
		t.Errorf("Crowd %d, Secret-Crowd %d: want equal, 1 to %d", row.Crowd, row.SecretCrowd, atMost)
	}
	if row.Ours <= row.NoCrowd || row.Ours >= row.Truth {
		t.Errorf("ours %d: want between NoCrowd %d and ground truth %d", row.Ours, row.NoCrowd, row.Truth)
	}
	if s := row.Sealed; s == nil || s.Words == 0 || s.Words > atMost {
		t.Errorf("sealed: %+v, want 1 to %d words", s, atMost)
	}
	if b := row.Blinded; b == nil || b.Crowds != truth || b.ReportBytes <= row.Sealed.ReportBytes {
		t.Errorf("blinded: %+v, want %d crowds, and longer reports", b, truth)
	}
	c.Sealed = 0
	row.Sealed, row.Blinded = nil, nil
	if again := run(t, c).Rows[0]; !reflect.DeepEqual(again, row) {
		t.Errorf("the same seed gives %+v, then %+v", row, again)
	}
}

// Counted shares and real ones must come to the same words.
func TestCountingEqualsSharing(t *testing.T) {
	r := &runner{Config: Config{Dir: t.TempDir(), Clock: clock.NewVirtual(time.Unix(0, 0))}}
	for rank := range r.words {
		r.words[rank] = Word(rank)
	}
	var err error
	if r.threshold, err = crowdThreshold(); err != nil {
		t.Fatal(err)
	}
	if r.ours, err = NewNoisyCount(9, 4, ourMaxDelta); err != nil {
		t.Fatal(err)
	}
	s := draw(20_000, [32]byte{1})
	var rows [2]Row
	for i, shares := range []bool{false, true} {
		rows[i].Shares = shares
		if err := r.crowds(t.Context(), s, &rows[i]); err != nil {
			t.Fatal(err)
		}
		rows[i].Shares = false
	}
	if rows[0] != rows[1] || rows[0].SecretCrowd == 0 {
		t.Errorf("counted: %+v; shared: %+v", rows[0], rows[1])
	}
}

func TestRefusesSizes(t *testing.T) {
	for _, sizes := range [][]int{nil, {MinSize - 1}, {1000, MaxSize + 1}} {
		if _, err := Run(t.Context(), Config{Sizes: sizes, Clock: clock.System()}); err == nil {
			t.Errorf("sizes %v are taken", sizes)
		}
	}
}

func TestStopsWhenTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c := Config{Sizes: []int{1000}, Sealed: 1000, Collections: 1, Dir: t.TempDir(), Clock: clock.System()}
	for _, when := range []string{"crowds", "sealed"} {
		c.Progress = func(what string) {
			if strings.HasSuffix(what, when) {
				stop()
			}
		}
		if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %s: %v", when, err)
		}
		ctx, stop = context.WithCancel(t.Context())
	}
	stop()
}

// expected returns the expected number of words whose crowd survives, for
// samples of n words.
func expected(c *Corpus, n float64, survival func(k uint64) float64) float64 {
	const most = 80 // from here on every crowd survives
	chance := make([]float64, most)
	for k := range chance {
		chance[k] = survival(uint64(k))
	}
	total := 0.0
	for rank := range Words {
		mean := n * c.Probability(rank)
		survives, term := 1.0, math.Exp(-mean) // of the Poisson distribution
		for k := range most {
			survives -= term * (1 - chance[k])
			term *= mean / float64(k+1)
		}
		total += survives
	}
	return total
}

// The acceptance of the evaluation, on the model's expected values: Crowd
// within 10% of the paper from 100K on; our mechanism, at equal epsilon and no
// more delta, at least twice Crowd at 1M and above.
func TestExpectedWords(t *testing.T) {
	c := NewCorpus([32]byte{})
	threshold, err := crowdThreshold()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := NewNoisyCount(9, 4, ourMaxDelta)
	if err != nil {
		t.Fatal(err)
	}
	if ours.Delta() > threshold.Delta(ours.Epsilon()) {
		t.Errorf("our delta %v exceeds Crowd's %v", ours.Delta(), threshold.Delta(ours.Epsilon()))
	}
	for _, n := range []int{100_000, 1_000_000, 10_000_000} {
		crowd, our := expected(c, float64(n), threshold.Survival), expected(c, float64(n), ours.Survival)
		paper, _ := paperRow(n)
		t.Logf("%d words: Crowd %.0f (paper %d), ours %.0f: %.2f times", n, crowd, paper.Crowd, our, our/crowd)
		if math.Abs(crowd/float64(paper.Crowd)-1) > 0.1 {
			t.Errorf("%d words: Crowd recovers %.0f, the paper %d", n, crowd, paper.Crowd)
		}
		if n >= 1_000_000 && our < 2*crowd {
			t.Errorf("%d words: ours recovers %.0f, Crowd %.0f", n, our, crowd)
		}
	}
}

func sampleResult() *Result {
	r := &Result{Seed: 1, Crowd: Rule{"crowd rule", 2.25, 1e-6}, Ours: Rule{"our rule", 2.25, 1e-7}}
	for _, n := range []int{10_000, 100_000, 12_345_678} {
		row := Row{Size: n, Truth: n / 10, NoCrowd: n / 100, Crowd: n / 200, SecretCrowd: n / 200, Ours: n / 50, RAPPOR: Decoded{2, 0.5, 1}, Partition: Decoded{3, 0, 0}}
		if p, ok := paperRow(n); ok {
			row.Paper = &p
		}
		if p, ok := paperTime(n); ok {
			row.Sealed = &Sealed{Encode: 2, Paper: &p}
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

func TestTables(t *testing.T) {
	text := sampleResult().String()
	for _, want := range []string{"18,665", "12,345,678", "578", "71.0 s", "crowd rule", "5% chance"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the tables:\n%s", want, text)
		}
	}
	out, err := json.Marshal(sampleResult())
	var back Result
	if err == nil {
		err = json.Unmarshal(out, &back)
	}
	if err != nil || !reflect.DeepEqual(&back, sampleResult()) {
		t.Errorf("JSON does not come back: %v", err)
	}
}

func TestChartIsWellFormed(t *testing.T) {
	for _, r := range []*Result{sampleResult(), {}} {
		d := xml.NewDecoder(strings.NewReader(r.SVG()))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("chart of %d rows: %v", len(r.Rows), err)
			}
		}
	}
	svg := sampleResult().SVG()
	for _, want := range []string{"prefers-color-scheme: dark", `class="rappor paper"`, "Ours, noisy count 246,913", "NaN"} {
		if strings.Contains(svg, want) == (want == "NaN") {
			t.Errorf("the chart and %q do not agree", want)
		}
	}
}

func ExampleNewNoisyCount() {
	m, err := NewNoisyCount(9, 4, 1e-6) // epsilon 2.25
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v: delta %.2g\n", m, m.Delta())
	// Output: discrete Laplace of scale 1/2.25, released from 8 on: delta 1.3e-07
}
