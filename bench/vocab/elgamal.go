package vocab

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/shoal-project/shoal/crypto/xmd"
	"github.com/shoal-project/shoal/internal/p256"
)

// This file has the blinded crowd IDs of the Prochlo paper (section 4.3) for a comparison of
// costs: El Gamal on P-256. It is no part of Shoal, whose crowds are blinded by package
// blind: here shuffler 1 can put another ciphertext in place of a client's, and so merge
// crowds.

// An elGamal has the keys of both shufflers.
type elGamal struct {
	private p256.Scalar // of shuffler 2
	public  *p256.Affine
	blind   p256.Scalar // of shuffler 1, for one batch
}

func newElGamal() (*elGamal, error) {
	e := &elGamal{private: randomScalar(), blind: randomScalar()}
	var p p256.Point
	p.Mult(p256.Generator(), &e.private)
	var err error
	e.public, err = affine(&p)
	return e, err
}

// randomScalar draws a scalar below 2^255, which is below the order.
func randomScalar() (s p256.Scalar) {
	_, _ = rand.Read(s[:])
	s[0] &= 0x7f
	return s
}

func affine(p *p256.Point) (*p256.Affine, error) {
	var out [1]p256.Affine
	if !p256.Normalize(out[:], []p256.Point{*p}) {
		return nil, errors.New("a point is the identity")
	}
	return &out[0], nil
}

// A crowdID is an encryption of a word's point, both halves compressed.
type crowdID [2][p256.Size]byte

// encrypt is the client's part: (rG, M + rY).
func (e *elGamal) encrypt(word string) (crowdID, error) {
	m, err := p256.MapUniform((*[p256.UniformSize]byte)(xmd.Expand(sha256.New, []byte(word), "shoal vocab crowd", p256.UniformSize)))
	if err != nil {
		return crowdID{}, err
	}
	r := randomScalar()
	var points [2]p256.Point
	points[0].Mult(p256.Generator(), &r)
	points[1].Mult(e.public, &r)
	points[1].Add(&points[1], m)
	return encodeBoth(points[:])
}

func encodeBoth(points []p256.Point) (id crowdID, err error) {
	var out [2]p256.Affine
	if !p256.Normalize(out[:], points) {
		return id, errors.New("a half of a crowd ID is the identity")
	}
	id[0], id[1] = out[0].Bytes(), out[1].Bytes()
	return id, nil
}

func (id *crowdID) decode() (halves [2]*p256.Affine, err error) {
	for i := range id {
		if halves[i], err = p256.Decode(id[i][:]); err != nil {
			return halves, fmt.Errorf("half %d of a crowd ID: %w", i+1, err)
		}
	}
	return halves, nil
}

// blindOne is shuffler 1's part: both halves times its exponent.
func (e *elGamal) blindOne(id *crowdID) (crowdID, error) {
	halves, err := id.decode()
	if err != nil {
		return crowdID{}, err
	}
	var points [2]p256.Point
	points[0].Mult(halves[0], &e.blind)
	points[1].Mult(halves[1], &e.blind)
	return encodeBoth(points[:])
}

// open is shuffler 2's part: the pseudonym of the crowd.
func (e *elGamal) open(id *crowdID) (tag [p256.Size]byte, err error) {
	halves, err := id.decode()
	if err != nil {
		return tag, err
	}
	var shared p256.Point
	shared.Mult(halves[0], &e.private)
	shared.Negate(&shared)
	shared.AddAffine(&shared, halves[1])
	out, err := affine(&shared)
	if err != nil {
		return tag, err
	}
	return out.Bytes(), nil
}

// runElGamal lets the crowd IDs of all words go through the three parts on all cores, and
// returns the number of crowds that shuffler 2 distinguishes.
func (r *runner) runElGamal(words []string, cores int, out *CrowdSeconds) (int, error) {
	e, err := newElGamal()
	if err != nil {
		return 0, err
	}
	ids := make([]crowdID, len(words))
	tags := make([][p256.Size]byte, len(words))
	for _, part := range []struct {
		seconds *float64
		one     func(i int) error
	}{
		{&out.Encode, func(i int) (err error) { ids[i], err = e.encrypt(words[i]); return err }},
		{&out.Shuffler1, func(i int) (err error) { ids[i], err = e.blindOne(&ids[i]); return err }},
		{&out.Shuffler2, func(i int) (err error) { tags[i], err = e.open(&ids[i]); return err }},
	} {
		if err := r.timed(part.seconds, func() error { return onCores(len(words), cores, part.one) }); err != nil {
			return 0, err
		}
	}
	seen := map[[p256.Size]byte]string{}
	for i, tag := range tags {
		if word, ok := seen[tag]; ok && word != words[i] {
			return 0, errors.New("two words have one pseudonym")
		}
		seen[tag] = words[i]
	}
	if len(words) > 0 && bytes.Equal(ids[0][0][:], ids[0][1][:]) {
		return 0, errors.New("a crowd ID has two equal halves")
	}
	return len(seen), nil
}

// onCores calls one for each number below n, in some order.
func onCores(n, cores int, one func(i int) error) error {
	errs := make([]error, cores)
	var group sync.WaitGroup
	for c := range cores {
		group.Go(func() {
			for i := c; i < n && errs[c] == nil; i += cores {
				errs[c] = one(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
