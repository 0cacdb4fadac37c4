// Package pagegen invents addresses of ordinary public pages, to measure how many
// of them the rules of package discovery let pass. It is a test's tool: nothing
// that ships imports it.
//
// The conventions were written down first, from what content management
// systems, shops, forums and large sites do by default, one a line, by somebody
// with knowledge of the rules. Then the hash of its name put each convention, and the
// hash of the word each word, into one of two halves: rules may be improved on
// the Tune half; the Blind half is for measuring. docs/spec/discovery.md records when
// what was measured led to a change after all.
package pagegen

import (
	_ "embed"
	"fmt"
	"hash/fnv"
	"math/rand/v2" //nolint:depguard // a test draws from a seed and keeps no secret
	"strings"
)

//go:embed words.txt
var wordList string

// A Half is what an address may be used for.
type Half uint8

// The halves.
const (
	Tune  Half = 0
	Blind Half = 1
)

// A Group is a kind of page.
type Group string

// The groups. Opaque pages are known by an identifier alone that nothing distinguishes
// from a secret; rules that find secrets must refuse them.
const (
	Article Group = "articles"
	Product Group = "products"
	Other   Group = "forums, reference, talk"
	Opaque  Group = "known by a random-looking identifier alone"
)

// A Convention is how one kind of site writes addresses.
type Convention struct {
	Name  string
	Group Group
	path  func(*source) string
}

// Half returns the half that a convention belongs to.
func (c *Convention) Half() Half { return Half(hash(c.Name) >> 9 & 1) }

// Draw invents an address.
func (c *Convention) Draw(r *rand.Rand, w *Words) string {
	s := &source{Rand: r, words: w.lists[r.IntN(len(w.lists))]}
	return "https://" + s.host() + c.path(s)
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// Words are the words of one half, by language.
type Words struct{ lists [][]string }

// NewWords returns the words of a half. Words of the Blind half are among those
// that internal/discovery/train holds out, so that the classifier has not seen them.
func NewWords(half Half) *Words {
	w := &Words{}
	for line := range strings.Lines(wordList) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		var kept []string
		for _, word := range fields[1:] {
			if heldOut := hash(word)>>7%5 == 0; heldOut == (half == Blind) {
				kept = append(kept, word)
			}
		}
		w.lists = append(w.lists, kept)
	}
	return w
}

// A source draws the parts of an address.
type source struct {
	*rand.Rand
	words []string
}

func (s *source) word() string { return s.words[s.IntN(len(s.words))] }

func (s *source) one(options ...string) string { return options[s.IntN(len(options))] }

// slug is low to high words.
func (s *source) slug(low, high int) string { return s.join("-", low, high) }

func (s *source) join(between string, low, high int) string {
	n := low + s.IntN(high-low+1)
	parts := make([]string, n)
	for i := range parts {
		parts[i] = s.word()
	}
	return strings.Join(parts, between)
}

// title is words with capitals, as wikis and some shops write them.
func (s *source) title(between string, low, high int) string {
	parts := strings.Split(s.join(" ", low, high), " ")
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, between)
}

// number has from low to high digits.
func (s *source) number(low, high int) string {
	n := low + s.IntN(high-low+1)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + s.IntN(10))
	}
	if b[0] == '0' {
		b[0] = '1'
	}
	return string(b)
}

// isbn is an ISBN with its check digit.
func (s *source) isbn() string {
	n := "978" + s.number(9, 9)
	sum := 0
	for i := range n {
		sum += int(n[i]-'0') * (1 + i%2*2)
	}
	return fmt.Sprint(n, (10-sum%10)%10)
}

// count is a number that counts something, up to most.
func (s *source) count(most int) string { return fmt.Sprint(1 + s.IntN(most)) }

func (s *source) text(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[s.IntN(len(alphabet))]
	}
	return string(b)
}

// day is a date of the last ten years, its parts with a sign between.
func (s *source) day(between string) string {
	return fmt.Sprintf("%d%s%02d%s%02d", 2016+s.IntN(11), between, 1+s.IntN(12), between, 1+s.IntN(28))
}

func (s *source) month(between string) string {
	return fmt.Sprintf("%d%s%02d", 2016+s.IntN(11), between, 1+s.IntN(12))
}

// model is what makers call their things: xr-200, k35b, 5000s.
func (s *source) model() string {
	letters := s.text("abcdefghklmnprstuvwxz", 1+s.IntN(2))
	switch s.IntN(3) {
	case 0:
		return letters + "-" + s.number(2, 4)
	case 1:
		return letters + s.number(2, 3) + s.text("abcdes", 1)
	}
	return s.number(2, 4) + letters
}

func (s *source) section() string { return s.word() }

func (s *source) host() string {
	tld := s.one("com", "com", "com", "org", "net", "de", "fr", "es", "it", "nl", "pl", "co.uk", "com.br")
	name := s.one(s.word()+s.word(), s.word()+"-"+s.word(), "the"+s.word(), s.word())
	return s.one("www.", "www.", "www.", "", "blog.", "shop.") + name + "." + tld
}
