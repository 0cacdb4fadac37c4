// Command train makes discovery/model.bin, the model of the token classifier,
// and prints how it does on words and tokens that it was not trained on.
//
// It reads word lists in the manner of /usr/share/dict; the model that is
// committed was made from the Debian 12 packages wamerican, wbritish, wngerman,
// wfrench, wspanish, witalian, wportuguese, wdutch, wdanish and wpolish. The
// lists are not part of this repository; only letter statistics of them are.
// The same lists and seed give the same model on the same architecture:
//
//	go generate ./internal/discovery
package main

import (
	"flag"
	"fmt"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret
	"os"

	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

func run() error {
	dir := flag.String("words", "/usr/share/dict", "`folder` of the word lists")
	out := flag.String("out", "model.bin", "`file` to write the model to")
	reportTo := flag.String("report", "", "`file` to write the report to; standard output if empty")
	seed := flag.Uint64("seed", 1, "`seed` of all randomness")
	count := flag.Int("samples", 700_000, "`number` of samples")
	epochs := flag.Int("epochs", 12, "`passes` over the samples")
	only := flag.Bool("only-report", false, "report on the model that is there, train nothing")
	flag.Parse()

	languages, err := readLists(*dir)
	if err != nil {
		return err
	}
	if !*only {
		r := rand.New(rand.NewPCG(*seed, 1))
		var m tokenmodel.Model
		learnTrigrams(r, languages, &m.Trigrams)
		learn(r, &m.Network, draw(r, &m.Trigrams, languages, *count), *epochs)
		if err := os.WriteFile(*out, m.Encode(), 0o644); err != nil {
			return err
		}
	}
	model, err := os.ReadFile(*out)
	if err != nil {
		return err
	}
	text, err := report(model, languages, *seed)
	if err != nil {
		return err
	}
	if *reportTo == "" {
		fmt.Print(text)
		return nil
	}
	return os.WriteFile(*reportTo, []byte(text), 0o644)
}
