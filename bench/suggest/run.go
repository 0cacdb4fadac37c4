package suggest

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/bench/stages"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/metric/task"
)

// width is how many views a report has, as in the paper.
const width = 3

// A Config selects what to run.
type Config struct {
	Seed      uint64 // same histories, same figures
	Histories int    // default [Histories]
	Sealed    int    // so many histories also go through all layers of encryption
	Dir       string // for intermediate files; default the system's for temporary ones; left as it was

	Clock    clock.Clock  // measures
	Progress func(string) // is called with what begins; may be nil
}

// A Result is what a run has found: shares of next views that are predicted.
type Result struct {
	Seed      uint64  `json:"seed"`
	Histories int     `json:"histories"`
	Views     int     `json:"views"`
	Reports   int     `json:"reports"`  // triples that were sent
	Released  int     `json:"released"` // and read by the analyzer
	Popular   float64 `json:"popular"`  // of the most popular item
	Whole     float64 `json:"whole"`    // of a model of whole histories, not private
	Triples   float64 `json:"triples"`  // of the same model of released triples
	Seconds   float64 `json:"seconds"`
	Sealed    *Sealed `json:"sealed,omitempty"`
}

// Sealed is a run through all layers.
type Sealed struct {
	Histories int     `json:"histories"`
	Released  int     `json:"released"`
	Seconds   float64 `json:"seconds"`
}

// Ratio is the accuracy of triples as a share of that of whole histories.
func (r *Result) Ratio() float64 { return r.Triples / max(r.Whole, 1e-9) }

// question is the task. All reports are one crowd: what protects is that triples of one person
// cannot be put together.
func question() *task.Task {
	values := make([]string, Items)
	for i := range values {
		values[i] = strconv.Itoa(i)
	}
	return &task.Task{
		Metric: "suggest", Question: "What do people view after what?",
		Schema:    task.Schema{{Name: "views", Kind: task.List, Elem: task.Enum, Max: 1000, Values: values}},
		Fragment:  task.Fragment{Kind: task.Tuples, Field: 0, M: width},
		Crowd:     task.CrowdRule{Kind: task.Constant, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},
		PerEpoch:  400, PerCrowd: 400, PayloadSize: 64,
	}
}

func recordOf(views []uint16) task.Record {
	list := make([]task.Value, len(views))
	for i, v := range views {
		list[i] = strconv.Itoa(int(v))
	}
	return task.Record{list}
}

// A reader adds what the analyzer reads to a model.
type reader struct {
	model *model
	n     int
	other int // records of another form, of which there are none
}

func (r *reader) add(record task.Record) {
	r.n++
	list, _ := record[0].([]task.Value)
	views := make([]uint16, 0, width)
	for _, v := range list {
		text, _ := v.(string)
		if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < Items {
			views = append(views, uint16(n))
		}
	}
	if len(views) != width {
		r.other++
		return
	}
	r.model.add(views)
}

// Run runs the evaluation.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.Histories < 0 || c.Histories > Histories || c.Sealed < 0 {
		return nil, fmt.Errorf("suggest evaluation: %d histories, %d sealed: want 0 to %d", c.Histories, c.Sealed, Histories)
	}
	start := c.Clock.Now()
	r := &Result{Seed: c.Seed, Histories: cmp.Or(c.Histories, Histories)}
	chain := newChain(c.Seed)
	c.progress("whole histories")
	whole := newModel()
	for n := range r.Histories {
		h := chain.history(n)
		r.Views += len(h)
		whole.add(h)
	}
	whole.fit()
	r.Whole, r.Popular = whole.accuracy(chain)
	c.progress("clients, shuffler, analyzer")
	read := reader{model: newModel()}
	histories := func(yield func(task.Record) bool) {
		for n := range r.Histories {
			if !yield(recordOf(chain.history(n))) {
				return
			}
		}
	}
	err := c.scratch(func(e *local.Engine) error {
		route, err := stages.NewRoute(question(), use("keys", c.Seed))
		if err != nil {
			return err
		}
		rule, err := route.Task.Threshold.Rule()
		if err != nil {
			return err
		}
		b, err := stages.NewBatch(e, use("shuffler", c.Seed), route.RowWidth())
		if err != nil {
			return err
		}
		if r.Reports, err = route.Encode(ctx, b, use("clients", c.Seed), histories); err != nil {
			return fmt.Errorf("clients: %w", err)
		}
		if _, err := route.Shuffle(ctx, b, rule); err != nil {
			return fmt.Errorf("the shuffler: %w", err)
		}
		return route.Analyze(ctx, b, read.add)
	})
	if err == nil && read.other > 0 {
		err = fmt.Errorf("the analyzer: %d records that no client sent", read.other)
	}
	if err != nil {
		return nil, err
	}
	r.Released = read.n
	read.model.fit()
	r.Triples, _ = read.model.accuracy(chain)
	r.Seconds = c.Clock.Now().Sub(start).Round(100 * time.Millisecond).Seconds()
	if c.Sealed > 0 {
		r.Sealed, err = c.sealed(ctx, chain)
	}
	return r, err
}

// sealed sends the first histories through all layers.
func (c Config) sealed(ctx context.Context, chain *chain) (*Sealed, error) {
	s := &Sealed{Histories: c.Sealed}
	var clients []task.Record
	for n := range s.Histories {
		clients = append(clients, recordOf(chain.history(n)))
	}
	route, err := stages.NewRoute(question(), use("keys", c.Seed))
	if err != nil {
		return nil, err
	}
	rule, err := route.Task.Threshold.Rule()
	if err != nil {
		return nil, err
	}
	start := c.Clock.Now()
	read := reader{model: newModel()}
	err = c.scratch(func(e *local.Engine) error {
		counts, err := route.Sealed(ctx, e, use("sealed", c.Seed), rule, clients, read.add)
		if err == nil && (read.other > 0 || uint64(read.n) != counts.Released) {
			err = fmt.Errorf("%d records were read, %d of another form; the shuffler released %d", read.n, read.other, counts.Released)
		}
		return err
	})
	s.Released, s.Seconds = read.n, c.Clock.Now().Sub(start).Round(100*time.Millisecond).Seconds()
	return s, err
}

func (c Config) progress(what string) {
	if c.Progress != nil {
		c.Progress(what)
	}
}

// scratch calls f with an engine on an empty directory, which it removes after.
func (c Config) scratch(f func(*local.Engine) error) (err error) {
	dir, err := os.MkdirTemp(c.Dir, "shoal-suggest-")
	if err != nil {
		return fmt.Errorf("making a directory for intermediate files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	e, err := local.New(filepath.Join(dir, "engine"), local.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	return f(e)
}

// String returns the figures, the paper's beside ours.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Next views predicted (Prochlo paper, section 5.4); seed %d, %d histories, %d views over %d items\n\n", r.Seed, r.Histories, r.Views, Items)
	fmt.Fprintf(&b, "most popular item   %5.2f %%\n", 100*r.Popular)
	fmt.Fprintf(&b, "whole histories     %5.2f %%  (no privacy)\n", 100*r.Whole)
	fmt.Fprintf(&b, "triples             %5.2f %%  (paper: more than 1 in 8)\n", 100*r.Triples)
	fmt.Fprintf(&b, "share               %5.1f %%  (paper: around 90)\n\n", 100*r.Ratio())
	fmt.Fprintf(&b, "%d triples sent, %d released; %.1f s\n", r.Reports, r.Released, r.Seconds)
	if s := r.Sealed; s != nil {
		fmt.Fprintf(&b, "%d histories through all layers of encryption: %d triples released, %.1f s\n", s.Histories, s.Released, s.Seconds)
	}
	b.WriteString("Triples of one history do not overlap, and nothing links them. No epsilon: a triple is exact, and all reports are one crowd.\n")
	return b.String()
}

const chartStyle = `.bg{fill:#fbfaf7}.t{font-size:20px;font-weight:650;fill:#1d2b36}.s{font-size:13px;fill:#5c6770}.b0{fill:#b9c0c6}.b1{fill:#1f5fbf}.b2{fill:#0b6e69}` +
	`@media (prefers-color-scheme: dark){.bg{fill:#12181d}.t{fill:#eef2f4}.s{fill:#93a1ac}.b0{fill:#5c6770}.b1{fill:#82b1ff}.b2{fill:#5fd3c6}}`

// SVG returns a chart of the accuracies, for light and dark surroundings.
func (r *Result) SVG() string {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 170" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, Segoe UI, sans-serif">` + "\n")
	b.WriteString(`<title id="t">Next views predicted</title><desc id="d">`)
	_ = xml.EscapeText(&b, fmt.Appendf(nil, "Most popular item %.4f, whole histories %.4f, triples %.4f.", r.Popular, r.Whole, r.Triples)) // a Builder takes everything
	b.WriteString("</desc>\n<style>" + chartStyle + "</style>\n" + `<rect class="bg" width="680" height="170" rx="14"/><text class="t" x="28" y="38">Next views predicted</text>` + "\n")
	for i, v := range []float64{r.Popular, r.Whole, r.Triples} {
		y := 60 + 32*i
		fmt.Fprintf(&b, `<text class="s" x="180" y="%d" text-anchor="end">%s</text><rect class="b%d" x="190" y="%d" width="%.1f" height="20"/><text class="s" x="%.1f" y="%d">%.2f %%</text>`+"\n",
			y+15, []string{"most popular item", "whole histories", "triples"}[i], i, y, v*2400, 198+v*2400, y+15, 100*v)
	}
	return b.String() + "</svg>\n"
}
