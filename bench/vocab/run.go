package vocab

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/engine/local"
)

const (
	// MinSize is the smallest size of a sample.
	MinSize = 100
	// MaxSize is the largest size of a sample.
	MaxSize = 100_000_000
	// SharesUpTo is the largest sample whose clients really share their words;
	// beyond it, shares are counted.
	SharesUpTo = 1_000_000
	// ourMaxDelta is the delta that our mechanism must not exceed: the paper's.
	ourMaxDelta = 1e-6
	// localEpsilon is the epsilon of the local baselines.
	localEpsilon = 2
)

// A Config selects what to run.
type Config struct {
	Sizes  []int  // of the samples
	Seed   uint64 // the same seed gives the same words and the same counts
	Sealed int    // samples up to this size also go through all layers of encryption
	Dir    string // for intermediate files; default the system's for temporary ones; left as it was

	// Collections is how often the clients of RAPPOR and Partition answer afresh:
	// the results of these vary. Default 5.
	Collections int

	Clock    clock.Clock  // measures
	Progress func(string) // is called with what begins; may be nil
}

// A Result is what a run has found.
type Result struct {
	Seed        uint64 `json:"seed"`
	Collections int    `json:"collections"` // of randomised responses, averaged
	Crowd       Rule   `json:"crowd_rule"`
	Ours        Rule   `json:"our_rule"`
	Rows        []Row  `json:"rows"`
}

// A Rule describes a mechanism and what it guarantees.
type Rule struct {
	Name    string  `json:"name"`
	Epsilon float64 `json:"epsilon"`
	Delta   float64 `json:"delta"` // the exact one for this epsilon, rounded up
}

// A Row is the evaluation of one sample: how many unique words each way of
// asking recovered.
type Row struct {
	Size        int     `json:"size"`
	Truth       int     `json:"truth"` // words in the sample
	NoCrowd     int     `json:"no_crowd"`
	Crowd       int     `json:"crowd"`
	SecretCrowd int     `json:"secret_crowd"`
	Ours        int     `json:"ours"`
	RAPPOR      Decoded `json:"rappor"`
	Partition   Decoded `json:"partition"`
	Partitions  int     `json:"partitions"`
	// Shares reports that words were shared and recovered; else shares were
	// counted.
	Shares bool      `json:"shares"`
	Paper  *PaperRow `json:"paper,omitempty"`

	Seconds Seconds  `json:"seconds"`
	Sealed  *Sealed  `json:"sealed,omitempty"`
	Blinded *Blinded `json:"blinded,omitempty"` // with Sealed
}

// Seconds is how long the parts of the evaluation of a sample took.
type Seconds struct {
	Draw      float64 `json:"draw"`      // the words, and their encoding without encryption
	Threshold float64 `json:"threshold"` // counting, dropping and permuting crowds
	NoCrowd   float64 `json:"no_crowd"`  // permuting everything
	Recover   float64 `json:"recover"`   // both analyses
	RAPPOR    float64 `json:"rappor"`    // all collections, decoded
	Partition float64 `json:"partition"` // the same
}

// crowdThreshold is the paper's: T=20, D=10, sigma=2.
func crowdThreshold() (dp.Threshold, error) { return dp.NewNoisyDrop(quorum, 10, 2000) }

// Run runs the evaluation.
func Run(ctx context.Context, c Config) (*Result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Collections = cmp.Or(c.Collections, 5)
	threshold, err := crowdThreshold()
	if err != nil {
		return nil, err
	}
	ours, err := NewNoisyCount(9, 4, ourMaxDelta)
	if err != nil {
		return nil, err
	}
	r := &runner{Config: c, threshold: threshold, ours: ours, decoder: newDecoder(localEpsilon)}
	for rank := range r.words {
		r.words[rank] = Word(rank)
	}
	result := &Result{
		Seed: c.Seed, Collections: c.Collections,
		Crowd: Rule{threshold.String(), ours.Epsilon(), threshold.Delta(ours.Epsilon())},
		Ours:  Rule{ours.String(), ours.Epsilon(), ours.Delta()},
	}
	for _, n := range c.Sizes {
		row, err := r.row(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("sample of %d words: %w", n, err)
		}
		result.Rows = append(result.Rows, row)
	}
	return result, nil
}

func (c Config) check() error {
	if len(c.Sizes) == 0 {
		return errors.New("vocab evaluation: no sample sizes")
	}
	if c.Collections < 0 {
		return fmt.Errorf("vocab evaluation: %d collections", c.Collections)
	}
	for _, n := range c.Sizes {
		if n < MinSize || n > MaxSize {
			return fmt.Errorf("vocab evaluation: sample size %d: want %d to %d", n, MinSize, MaxSize)
		}
	}
	return nil
}

// A runner holds what all samples share.
type runner struct {
	Config
	threshold dp.Threshold
	ours      NoisyCount
	decoder   *decoder
	words     [Words]string
}

func (r *runner) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// timed adds the time that f takes to seconds.
func (r *runner) timed(seconds *float64, f func() error) error {
	start := r.Clock.Now()
	err := f()
	*seconds += r.Clock.Now().Sub(start).Round(time.Millisecond).Seconds()
	return err
}

// seed returns the seed of one use in the evaluation of a sample of n words.
func (r *runner) seed(use string, n int) [32]byte {
	b := append([]byte("shoal vocab v1 "+use+" "), make([]byte, 16)...)
	binary.BigEndian.PutUint64(b[len(b)-16:], r.Seed)
	binary.BigEndian.PutUint64(b[len(b)-8:], uint64(n))
	return sha256.Sum256(b)
}

// row evaluates a sample of n words.
func (r *runner) row(ctx context.Context, n int) (Row, error) {
	row := Row{Size: n, Partitions: partitionsOf(n), Shares: n <= SharesUpTo}
	if p, ok := paperRow(n); ok {
		row.Paper = &p
	}
	r.progress("%d words: crowds", n)
	var s sample
	_ = r.timed(&row.Seconds.Draw, func() error { s = draw(n, r.seed("words", n)); return nil })
	for _, c := range s.counts {
		if c > 0 {
			row.Truth++
		}
	}
	if err := r.crowds(ctx, s, &row); err != nil {
		return row, err
	}
	r.progress("%d words: randomised response", n)
	noise := func(use string) func(i int) *rand.ChaCha8 {
		return func(i int) *rand.ChaCha8 { return rand.NewChaCha8(r.seed(fmt.Sprintf("%s %d", use, i), n)) }
	}
	err := r.timed(&row.Seconds.RAPPOR, func() (err error) {
		row.RAPPOR, err = r.decoder.repeat(ctx, r.Collections, s.counts, 1, noise("RAPPOR"))
		return err
	})
	if err != nil {
		return row, err
	}
	err = r.timed(&row.Seconds.Partition, func() (err error) {
		row.Partition, err = r.decoder.repeat(ctx, r.Collections, s.counts, row.Partitions, noise("Partition"))
		return err
	})
	if err != nil {
		return row, err
	}
	if n > r.Sealed {
		return row, nil
	}
	r.progress("%d words: sealed", n)
	sealed, err := r.sealed(ctx, s)
	row.Sealed = sealed
	if err != nil {
		return row, err
	}
	r.progress("%d words: two shufflers, blinded crowds", n)
	row.Blinded, err = r.blinded(ctx, s)
	return row, err
}

// A sample is the words of n clients, by rank.
type sample struct {
	ranks  []uint32 // by client
	counts []uint32 // by rank
}

func draw(n int, seed [32]byte) sample {
	c := NewCorpus(seed)
	s := sample{make([]uint32, n), make([]uint32, Words)}
	for i := range s.ranks {
		rank := c.Draw()
		s.ranks[i] = uint32(rank)
		s.counts[rank]++
	}
	return s
}

// newAnalysis returns the analyzer for the records of a sample.
func (r *runner) newAnalysis(s sample, shares bool) analysis {
	if !shares {
		return &countAnalysis{map[[wordWidth]byte]uint32{}}
	}
	sent := map[string]bool{}
	for rank, c := range s.counts {
		if c > 0 {
			sent[r.words[rank]] = true
		}
	}
	return &shareAnalysis{
		groups: map[[cipherWidth]byte][]secretshare.Share{}, random: rand.NewChaCha8(r.seed("recovery", len(s.ranks))),
		known: func(word string) bool { return sent[word] },
	}
}

// scratch calls f with an engine on an empty directory, which it removes after.
func (r *runner) scratch(f func(e *local.Engine, dir string) error) (err error) {
	dir, err := os.MkdirTemp(r.Dir, "shoal-vocab-")
	if err != nil {
		return fmt.Errorf("making a directory for intermediate files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	e, err := local.New(filepath.Join(dir, "engine"), local.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	return f(e, dir)
}
