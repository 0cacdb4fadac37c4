package vocab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/secretshare"
)

// quorum is the number of shares that open a word: the paper's t.
const quorum = 20

// wordWidth is the length to which words are padded with zeros.
const wordWidth = 8

// cipherWidth is the length of an encrypted word.
const cipherWidth = wordWidth + secretshare.Overhead

// shareWidth is the length of a record with a share: a ciphertext and a share.
const shareWidth = cipherWidth + secretshare.ShareSize

// binding separates the shares of this evaluation from all others.
var binding = secretshare.Binding("shoal bench vocab")

// padded returns a word at its fixed length.
func padded(word string) []byte {
	b := make([]byte, wordWidth)
	copy(b, word)
	return b
}

// appendShare appends a record that holds a share of the word.
func appendShare(ctx context.Context, dst []byte, e *secretshare.Encoder, word string, random io.Reader) ([]byte, error) {
	enc, err := e.Encode(ctx, padded(word), random)
	if err != nil {
		return nil, fmt.Errorf("sharing a word: %w", err)
	}
	return append(append(dst, enc.Ciphertext...), enc.Share[:]...), nil
}

// An analysis is what the analyzer does with the records it gets: group them,
// and count or recover the words that enough of them hold.
type analysis interface {
	add(record []byte)
	words() (int, error)
}

// A shareAnalysis recovers words from shares.
type shareAnalysis struct {
	groups map[[cipherWidth]byte][]secretshare.Share
	random io.Reader
	known  func(word string) bool // the words of the sample
}

func (a *shareAnalysis) add(record []byte) {
	c := [cipherWidth]byte(record)
	a.groups[c] = append(a.groups[c], secretshare.Share(record[cipherWidth:]))
}

// words recovers every group with enough shares, and fails if a word comes out
// that no client sent.
func (a *shareAnalysis) words() (int, error) {
	r, err := secretshare.NewRecoverer(binding, quorum)
	if err != nil {
		return 0, err
	}
	n := 0
	for ciphertext, shares := range a.groups {
		result, err := r.Recover(ciphertext[:], shares, a.random)
		if errors.Is(err, secretshare.ErrTooFew) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("recovering a word from %d shares: %w", len(shares), err)
		}
		word := string(bytes.TrimRight(result.Message, "\x00"))
		if !a.known(word) {
			return 0, fmt.Errorf("the shares give %q, which nobody sent", word)
		}
		n++
	}
	return n, nil
}

// A countAnalysis replaces a shareAnalysis where there are too many reports:
// records are plain words, and a word counts as recovered if at least quorum
// records hold it.
type countAnalysis struct {
	counts map[[wordWidth]byte]uint32
}

func (a *countAnalysis) add(record []byte) { a.counts[[wordWidth]byte(record)]++ }

func (a *countAnalysis) words() (int, error) {
	n := 0
	for _, c := range a.counts {
		if c >= quorum {
			n++
		}
	}
	return n, nil
}
