package shuffler

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
)

// A sortKey decides the position of a report.
type sortKey [aes.BlockSize]byte

// An order is the permutation of a batch, twice over, as a function of its
// seed. Reports are sorted by their keys; equal reports, and for all practical
// purposes only they, have equal keys.
//
// The key of a report is a block cipher's image of its truncated digest. Under
// a random permutation of 2^128 blocks the keys of n distinct digests are a
// uniformly random sequence of n distinct blocks, so that each of the n!
// orders has exactly the same probability; AES-256 is used as the random
// permutation.
type order struct {
	within cipher.Block // order inside a crowd: which records are dropped
	final  cipher.Block // order of what is handed over
	groups cipher.Block // numbers of crowds that are blinded
}

func newOrder(seed dp.Seed) (order, error) {
	within, err := blockOf(seed, "shoal order within v1")
	if err != nil {
		return order{}, err
	}
	final, err := blockOf(seed, "shoal order final v1")
	if err != nil {
		return order{}, err
	}
	groups, err := blockOf(seed, "shoal group numbers v1")
	return order{within, final, groups}, err
}

func blockOf(seed dp.Seed, label string) (cipher.Block, error) {
	var key [32]byte
	if _, err := io.ReadFull(dp.NewStream(seed, label, nil), key[:]); err != nil {
		return nil, fmt.Errorf("deriving %s: %w", label, err)
	}
	return aes.NewCipher(key[:])
}

// keyOf writes the key of a report as it was received.
func (o order) keyOf(dst, report []byte) {
	digest := sha256.Sum256(report)
	o.within.Encrypt(dst[:keyWidth], digest[:keyWidth])
}

// groupOf returns the number of a crowd: at random, another for each.
func (o order) groupOf(tag esa.CrowdTag) (number esa.CrowdTag) {
	o.groups.Encrypt(number[:], tag[:])
	return number
}

// finalKey writes the key by which the record with the given first key is
// sorted in the end. The second order is independent of the first: that
// certain keys survived the dropping reveals nothing about it.
func (o order) finalKey(dst, first []byte) { o.final.Encrypt(dst, first) }
