package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/shoal-project/shoal/bench/vocab"
)

// benchCmd groups the evaluations.
type benchCmd struct {
	Vocab benchVocabCmd `cmd:"" help:"Repeat the Vocab evaluation of the Prochlo paper: words recovered by each way of asking."`
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
	if c.SVG != "" {
		if err := os.WriteFile(c.SVG, []byte(result.SVG()), 0o644); err != nil {
			return setup(fmt.Errorf("writing the chart: %w", err))
		}
	}
	if c.JSON {
		out := json.NewEncoder(e.stdout)
		out.SetIndent("", "  ")
		return out.Encode(result)
	}
	_, err = fmt.Fprint(e.stdout, result)
	return err
}
