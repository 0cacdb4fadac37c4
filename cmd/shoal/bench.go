package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/shoal-project/shoal/bench/flix"
	"github.com/shoal-project/shoal/bench/perms"
	"github.com/shoal-project/shoal/bench/suggest"
	"github.com/shoal-project/shoal/bench/vocab"
)

// benchCmd groups the evaluations.
type benchCmd struct {
	Flix    benchFlixCmd    `cmd:"" help:"Repeat the Flix evaluation of the Prochlo paper: ratings predicted from pairs."`
	Perms   benchPermsCmd   `cmd:"" help:"Repeat the Perms evaluation of the Prochlo paper: pages recovered, by feature and action."`
	Suggest benchSuggestCmd `cmd:"" help:"Repeat the Suggest evaluation of the Prochlo paper: next views predicted from triples."`
	Vocab   benchVocabCmd   `cmd:"" help:"Repeat the Vocab evaluation of the Prochlo paper: words recovered by each way of asking."`
}

// benchVocabCmd runs the Vocab evaluation.
type benchVocabCmd struct {
	Sizes  []int  `default:"10000,100000,1000000,10000000" placeholder:"N,..." help:"Sample sizes (${default})."`
	Seed   uint64 `default:"1" help:"Same seed, same words and counts (${default})."`
	Sealed int    `default:"100000" placeholder:"N" help:"Samples up to this size also go through all layers of encryption (${default}); a million takes minutes."`
	JSON   bool   `name:"json" help:"Write JSON instead of tables."`
	SVG    string `name:"svg" placeholder:"FILE" help:"Also write a chart."`
	Dir    string `placeholder:"DIR" help:"Where intermediate files go; default the system's directory for such. 10 million words need about 2 GB."`
}

// Run runs the evaluation and writes its tables.
func (c *benchVocabCmd) Run(e *env) error {
	for _, n := range c.Sizes {
		if n < vocab.MinSize || n > vocab.MaxSize {
			return setup(fmt.Errorf("--sizes: sample of %d words: want %d to %d", n, vocab.MinSize, vocab.MaxSize))
		}
	}
	result, err := vocab.Run(e.ctx, vocab.Config{
		Sizes: c.Sizes, Seed: c.Seed, Sealed: c.Sealed, Dir: c.Dir, Clock: e.clock,
		Progress: func(what string) { fmt.Fprintf(e.stderr, "shoal: %s\n", what) },
	})
	if err != nil {
		return err
	}
	return writeEvaluation(e, result, c.JSON, c.SVG)
}

// An evaluation is what a run has found.
type evaluation interface {
	String() string
	SVG() string
}

// writeEvaluation writes tables or JSON, and a chart to the file svg, if it has a name.
func writeEvaluation(e *env, result evaluation, asJSON bool, svg string) error {
	if svg != "" {
		if err := os.WriteFile(svg, []byte(result.SVG()), 0o644); err != nil {
			return setup(fmt.Errorf("writing the chart: %w", err))
		}
	}
	if asJSON {
		out := json.NewEncoder(e.stdout)
		out.SetIndent("", "  ")
		return out.Encode(result)
	}
	_, err := fmt.Fprint(e.stdout, result)
	return err
}

// benchPermsCmd runs the Perms evaluation.
type benchPermsCmd struct {
	Seed   uint64 `default:"1" help:"Same seed, same requests and pages (${default})."`
	Part   int    `default:"1" placeholder:"N" help:"Draw one in N of the requests only, for a quick look (${default})."`
	Sealed int    `default:"100000" placeholder:"N" help:"So many requests of each feature also go through all layers of encryption (${default})."`
	JSON   bool   `name:"json" help:"Write JSON instead of tables."`
	SVG    string `name:"svg" placeholder:"FILE" help:"Also write a chart."`
	Dir    string `placeholder:"DIR" help:"Where intermediate files go; default the system's directory for such. They need about 3 GB."`
}

// Run runs the evaluation and writes its table.
func (c *benchPermsCmd) Run(e *env) error {
	if c.Sealed < 0 || c.Part < 1 {
		return setup(fmt.Errorf("--sealed %d, --part %d: want 0 or more requests, and one in 1 or more", c.Sealed, c.Part))
	}
	result, err := perms.Run(e.ctx, perms.Config{
		Seed: c.Seed, Part: c.Part, Sealed: c.Sealed, Dir: c.Dir, Clock: e.clock,
		Progress: func(what string) { fmt.Fprintf(e.stderr, "shoal: %s\n", what) },
	})
	if err != nil {
		return err
	}
	return writeEvaluation(e, result, c.JSON, c.SVG)
}

// benchFlixCmd runs the Flix evaluation.
type benchFlixCmd struct {
	Movies []int  `default:"200" placeholder:"N,..." help:"Sizes: 200, or 2000, which takes long (${default})."`
	Users  int    `placeholder:"N" help:"So many users only, for a quick look."`
	Seed   uint64 `default:"1" help:"Same seed, same ratings and errors (${default})."`
	JSON   bool   `name:"json" help:"Write JSON instead of tables."`
	SVG    string `name:"svg" placeholder:"FILE" help:"Also write a chart."`
	Dir    string `placeholder:"DIR" help:"Where intermediate files go; default the system's directory for such. They need about 1 GB."`
}

// Run runs the evaluation and writes its table.
func (c *benchFlixCmd) Run(e *env) error {
	var sizes []flix.Size
	for _, n := range c.Movies {
		i := slices.IndexFunc(flix.Sizes(), func(s flix.Size) bool { return s.Movies == n })
		if i < 0 {
			return setup(fmt.Errorf("--movies: %d: want 200 or 2000", n))
		}
		s := flix.Sizes()[i]
		if c.Users > 0 {
			s.Users = min(s.Users, c.Users)
		}
		sizes = append(sizes, s)
	}
	result, err := flix.Run(e.ctx, flix.Config{
		Sizes: sizes, Seed: c.Seed, Dir: c.Dir, Clock: e.clock,
		Progress: func(what string) { fmt.Fprintf(e.stderr, "shoal: %s\n", what) },
	})
	if err != nil {
		return err
	}
	return writeEvaluation(e, result, c.JSON, c.SVG)
}

// benchSuggestCmd runs the Suggest evaluation.
type benchSuggestCmd struct {
	Histories int    `default:"150000" placeholder:"N" help:"So many histories, ${default} at most."`
	Seed      uint64 `default:"1" help:"Same seed, same histories and figures (${default})."`
	Sealed    int    `default:"20000" placeholder:"N" help:"So many histories also go through all layers of encryption (${default})."`
	JSON      bool   `name:"json" help:"Write JSON instead of text."`
	SVG       string `name:"svg" placeholder:"FILE" help:"Also write a chart."`
	Dir       string `placeholder:"DIR" help:"Where intermediate files go; default the system's directory for such. They need about 500 MB."`
}

// Run runs the evaluation and writes its figures.
func (c *benchSuggestCmd) Run(e *env) error {
	if c.Histories < 1 || c.Histories > suggest.Histories || c.Sealed < 0 {
		return setup(fmt.Errorf("--histories %d, --sealed %d: want 1 to %d, and 0 or more", c.Histories, c.Sealed, suggest.Histories))
	}
	result, err := suggest.Run(e.ctx, suggest.Config{
		Histories: c.Histories, Seed: c.Seed, Sealed: c.Sealed, Dir: c.Dir, Clock: e.clock,
		Progress: func(what string) { fmt.Fprintf(e.stderr, "shoal: %s\n", what) },
	})
	if err != nil {
		return err
	}
	return writeEvaluation(e, result, c.JSON, c.SVG)
}
