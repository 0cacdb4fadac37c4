package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/metric/kind"
)

// A Kind is what authors, plans, pages and simulations need of one [kind.Kind].
// The set is closed: [all] lists it.
type Kind interface {
	// Value describes what one client's report holds.
	Value() string
	// Several describes how several values of one epoch become one.
	Several() string
	// Nothing describes what a client without a value counts as, with presence hidden.
	Nothing() string
	// Unit is what is counted, for pages; "" if single numbers of the result have no
	// meaning.
	Unit() string
	// Title is the title of the result if it is one number, else "".
	Title() string
	// Bars returns the errors of the figures of a result of n clients, the main one
	// first. wide is how far noise moves one element in 95 cases of 100.
	Bars(wide float64, n int) []Bar
	// Most is the greatest contribution of one client to the main figure; 0 where the
	// figure is a mean or has no zero.
	Most() float64
	// Quantisation is the greatest error that the quantisation of values makes of an
	// element of the mean; 0 for integers.
	Quantisation() float64
	// Tight returns the key of the bound that the file's example must come near, and
	// the bound; "" if none is needed.
	Tight() (key string, bound float64)

	// Input is the form in which an app records a value.
	Input() Input
	// Ordinary returns the usual distribution of values in the words of `shoal
	// simulate`; largest is the largest number of the file's example, or 0.
	Ordinary(largest float64) string
	// Add adds a value to the rows of the true result, uncut.
	Add(rows []float64, v any)
	// Truth returns a row of the true result of the values that were added.
	Truth(rows []float64, values, row int) float64

	form() Form
	of(k kind.Kind) (Kind, bool) // the Kind of k, if k has this type
	read(s Settings) kind.Kind
	example(s Settings) (ordinary float64)
}

// all lists a Kind without settings of each type, in the order of the words of the
// key type.
func all() []Kind {
	return []Kind{
		count{},
		sum{},
		mean{},
		histogram{},
		categories{},
		vector{},
		bounded{},
		multihot{},
		linf{},
		l1{},
	}
}

// Of returns the plan's side of a kind of a valid task.
func Of(k kind.Kind) (Kind, error) {
	for _, a := range all() {
		if p, ok := a.of(k); ok {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no words for a %v", k)
}

// A Bar is the error of one figure of a result. Both errors are exceeded in 5 cases
// of 100, and add to each other.
type Bar struct {
	Figure   string  `json:"figure"`
	Noise    float64 `json:"noise"`    // by the aggregators
	Sampling float64 `json:"sampling"` // at most, if the clients are a random sample of those that are asked about
}

// sampling is the sampling error of a sum of n values in [0, top], whose greatest
// deviation is top/2.
func sampling(n, top float64) float64 { return 1.96 * math.Sqrt(n) * top / 2 }

// each returns the errors of a figure and of its n-th part.
func each(figure, part string, wide float64, n int, top float64) []Bar {
	clients := float64(n)
	s := sampling(clients, top)
	return []Bar{{figure, wide, s}, {part, wide / clients, s / clients}}
}

// An Input is the form in which an app records a value.
type Input uint8

// The inputs, with the Go type of a value.
const (
	Event   Input = iota // int64, 1 if it happened
	Amount               // int64 from 0, that add up
	Natural              // int64 from 0
	Number               // int64
	Label                // string
	Labels               // []string
	Wholes               // []uint64
	Reals                // []float64
)

// A Form is how metrics.yaml writes a kind.
type Form struct {
	Type  string   // the word of the key type, which several kinds may share
	Key   string   // the key that chooses between the kinds of one word; "" for the usual one
	Value string   // that Key must have; "" for any
	Needs []string // further keys that must be there
	May   []string // keys that may be there
}

func (f Form) knows(key string) bool {
	return key == f.Key || slices.Contains(f.Needs, key) || slices.Contains(f.May, key)
}

// A Settings gives the keys of a metric. It reports by itself what is wrong with
// them, at the place of the key in the file.
type Settings interface {
	Has(key string) bool
	Is(key, word string) bool
	Fail(key, format string, args ...any)
	Need(keys ...string) bool
	// Word reads one of some words.
	Word(key string, allowed ...string) (string, bool)
	// Integer returns a number, or usual if the key is absent or wrong.
	Integer(key string, usual, low, high int64) int64
	Number(key string, low, high float64) float64
	// Increasing reads 1 to most integers in increasing order.
	Increasing(key string, most int) []int64
	// Distinct reads least to most different words.
	Distinct(key string, least, most, bytes int) []string
	// Among reads words that all are values.
	Among(key string, values []string)
	// Numbers reads at most this many numbers.
	Numbers(key string, most int, low, high float64) []float64
}

// Keys returns the keys of all kinds.
func Keys() []string {
	var out []string
	add := func(keys ...string) {
		for _, k := range keys {
			if k != "" && !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	for _, k := range all() {
		f := k.form()
		add(f.Key)
		add(f.Needs...)
		add(f.May...)
	}
	return out
}

// Limits of the settings of metrics.yaml.
const (
	mostInteger  = 1 << 40 // of a maximum: sums of 2^22 such values have an int64
	mostLength   = 1 << 20
	mostInner    = 4096
	mostLabels   = 1 << 15
	longestLabel = 128
)

// Read reads the kind of an aggregate metric.
func Read(s Settings) (kind.Kind, bool) {
	word, kinds, ok := readType(s)
	if !ok {
		return nil, false
	}
	for _, key := range Keys() {
		known := slices.ContainsFunc(kinds, func(k Kind) bool { return k.form().knows(key) })
		if s.Has(key) && !known {
			s.Fail(key, "%s: has no meaning for type: %s; remove it", key, word)
		}
	}
	if !s.Need(kinds[0].form().Needs...) {
		return nil, false
	}
	k, ok := choose(s, word, kinds)
	if !ok {
		return nil, false
	}
	return k.read(s), true
}

// readType reads the key type and returns the kinds of its word.
func readType(s Settings) (word string, kinds []Kind, ok bool) {
	var words []string
	for _, k := range all() {
		if w := k.form().Type; !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	if word, ok = s.Word("type", words...); !ok {
		return "", nil, false
	}
	for _, k := range all() {
		if k.form().Type == word {
			kinds = append(kinds, k)
		}
	}
	return word, kinds, true
}

// choose returns the kind of those with one word whose key is there.
func choose(s Settings, word string, kinds []Kind) (Kind, bool) {
	var chosen []Kind
	var usual Kind
	var keys []string
	for _, k := range kinds {
		f := k.form()
		switch {
		case f.Key == "":
			usual = k
		case f.Value == "" && s.Has(f.Key) || f.Value != "" && s.Is(f.Key, f.Value):
			chosen = append(chosen, k)
		}
		keys = append(keys, f.Key)
	}
	switch {
	case len(chosen) == 1:
		return chosen[0], true
	case len(chosen) == 0 && usual != nil:
		return usual, true
	}
	s.Fail("type", "type: %s has either %s", word, strings.Join(keys, " or "))
	return nil, false
}

// ReadExample reads what an ordinary client records in an epoch, and returns its
// largest number, or the sum of its elements where the kind bounds that.
func ReadExample(k kind.Kind, s Settings) (ordinary float64, err error) {
	p, err := Of(k)
	if err != nil {
		return 0, err
	}
	return p.example(s), nil
}
