package shuffler_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/crypto/x25519"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// guessWords are the crowds of the game, of equal size: their sizes tell nothing.
var guessWords = []string{"alpha", "beta", "gamma", "delta"}

// A guesser is shuffler 2 of a batch in which each word has two reports, in the random order
// that an honest shuffler 1 gives them.
type guesser struct {
	*forger
	inner *esa.Opener
	epoch task.Epoch
	a     *blind.Exponent // of shuffler 1, which the guesser does not use
	tags  [][]byte        // of the crowds, as it sees them, each once
	truth map[string]string
}

// newBatch lets each word be reported in an epoch of its own, under a new exponent.
func (g *guesser) newBatch(t testing.TB, i int) {
	t.Helper()
	g.epoch, g.a, g.tags, g.truth = g.Epoch(i), exponent(t, uint64(i)), nil, map[string]string{}
	order := rand.New(rand.NewPCG(3, uint64(i))).Perm(2 * len(guessWords))
	for _, k := range order {
		word := guessWords[k%len(guessWords)]
		tag := g.tagOf(t, word, int64(k))
		if !slices.ContainsFunc(g.tags, func(have []byte) bool { return bytes.Equal(have, tag) }) {
			g.tags = append(g.tags, tag)
		}
		g.truth[word] = string(tag)
	}
}

// tagOf is what the guesser sees of a report that is admitted to the batch.
func (g *guesser) tagOf(t testing.TB, word string, n int64) []byte {
	t.Helper()
	outer, err := g.outer.Open(g.Report(t, g.epoch, word, n), g.epoch)
	must(t, err)
	l, err := g.inner.Open(outer.Next, g.epoch)
	must(t, err)
	if !g.Task.Protection.Blinded {
		return l.Crowd[:]
	}
	tags, err := blind.Unblind([]blind.Factor{l.Factor}, [][32]byte{[32]byte(row(g.a, outer))})
	must(t, err)
	return tags[0].Value[:]
}

// guess returns which tag is that of a word: one that it can confirm from what it has, the
// word's salted hash, its point, and products of points with what it received; else one that
// a hash picks.
func (g *guesser) guess(t testing.TB, word string) (tag string, sure bool) {
	t.Helper()
	rec := task.Record{word, int64(0)}
	salted, point := g.Tag(t, g.epoch, rec), g.Point(t, g.epoch, rec)
	known := [][]byte{salted[:], point[:]}
	for _, have := range g.tags {
		if len(have) == 32 {
			if secret, ok := product(have, point).Secret(); ok {
				known = append(known, secret[:])
			}
		}
	}
	for _, have := range g.tags {
		for _, k := range known {
			if bytes.Equal(have, k) {
				return string(have), true
			}
		}
	}
	sum := sha256.Sum256(fmt.Append(nil, word, g.epoch))
	return string(g.tags[int(sum[0])%len(g.tags)]), false
}

func product(scalar []byte, point [32]byte) *x25519.Shared {
	p := x25519.Multiply((*[32]byte)(scalar), &point)
	return &p
}

func newGuesser(t *testing.T, edit func(*task.Task)) *guesser {
	t.Helper()
	f := &forger{chain2: newChain2With(t, edit)}
	var err error
	f.outer, err = esa.NewOpener(f.Task, f.ID, 0, f.Parties[0].Keys.Private...)
	must(t, err)
	inner, err := esa.NewOpener(f.Task, f.ID, 1, f.Parties[1].Keys.Private...)
	must(t, err)
	return &guesser{forger: f, inner: inner}
}

// TestGuessGame: shuffler 2 guesses which of four equally large crowds is a word. Of tags
// every guess is right. Of blinded crowds as many are as chance gives, in 400 batches with
// exponents that are fixed: 100, and 78 to 123 with a probability of 99 %. The keys of seals are
// not fixed and make no difference to tags or order.
func TestGuessGame(t *testing.T) {
	const batches = 400
	play := func(edit func(*task.Task), batches int) (right, confirmed int) {
		g := newGuesser(t, edit)
		for i := range batches {
			g.newBatch(t, i)
			word := guessWords[i%len(guessWords)]
			tag, sure := g.guess(t, word)
			if tag == g.truth[word] {
				right++
			}
			if sure {
				confirmed++
			}
		}
		return right, confirmed
	}
	if right, confirmed := play(nil, 40); right != 40 || confirmed != 40 {
		t.Errorf("of tags %d guesses of 40 are right, %d confirmed: the test sees nothing", right, confirmed)
	}
	if right, confirmed := play(blinded, batches); right < 78 || right > 123 || confirmed != 0 {
		t.Errorf("of blinded crowds %d guesses of %d are right, %d confirmed, want 78 to 123 and none", right, batches, confirmed)
	}
}

// TestGuessesWithOwnReports: with k reports of its own in the batch shuffler 2 confirms
// exactly the k words that these are of.
func TestGuessesWithOwnReports(t *testing.T) {
	g := newGuesser(t, blinded)
	for k := range len(guessWords) + 1 {
		g.newBatch(t, k)
		own := map[string]bool{}
		for i := range k {
			own[string(g.tagOf(t, guessWords[i], 99))] = true
		}
		confirmed := 0
		for i, w := range guessWords {
			if own[g.truth[w]] != (i < k) {
				t.Errorf("with %d own reports the guess of word %d is confirmed: %v", k, i, own[g.truth[w]])
			}
			if own[g.truth[w]] {
				confirmed++
			}
		}
		if confirmed != k {
			t.Errorf("%d own reports confirm %d guesses", k, confirmed)
		}
	}
}
