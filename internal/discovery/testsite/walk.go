package testsite

import (
	"fmt"
	"math"
	"math/rand/v2" //nolint:depguard // a simulation draws from a seed and keeps no secret
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// A Visit is one page that a simulated person looked at.
type Visit struct {
	At       time.Time
	Until    time.Time // when the person went on, in the same tab
	URL      string    // as in the address bar
	Page     *Page     // nil for a result page of a search engine
	Query    string    // what was searched for, on a result page
	Engine   string    // where
	Referrer string    // empty if the address was typed or came from another program
	Keys     int       // what the person did there
	Pointer  int
	Scrolls  int
	Copies   int
	View     View
	Secretly bool // in the browser's private mode
}

// target reads an address as the site does: its host, and path and query.
func (s *Site) target(address string) (*Host, string, bool) {
	rest, _, _ := strings.Cut(address, "#")
	_, rest, ok := strings.Cut(rest, "://")
	if !ok {
		return nil, "", false
	}
	name, target, _ := strings.Cut(rest, "/")
	h, ok := s.hosts[name]
	return h, "/" + target, ok
}

// Show returns what the person of a visit was shown, rendered in process.
func (s *Site) Show(v Visit) Response {
	h, target, ok := s.target(v.URL)
	if !ok {
		return s.missing()
	}
	return s.Serve(h, target, v.View)
}

// A Population is people that browse a site.
type Population struct {
	site    *Site
	errands [][]*Page // by person: pages and links of their own
	others  []*Page   // neither public nor of single people
	weights []float64 // cumulated popularity of the public pages
	topics  []float64 // and of queries
}

// Population returns the people of a site.
func (s *Site) Population() *Population {
	p := &Population{site: s, errands: make([][]*Page, s.people)}
	for _, page := range s.pages {
		for _, reader := range page.readers {
			p.errands[reader] = append(p.errands[reader], page)
		}
		if page.readers == nil && (page.Truth() != Public || page.Kind.unlisted) {
			p.others = append(p.others, page)
		}
	}
	p.weights = zipf(len(s.public), 0.75)
	p.topics = zipf(len(s.topics), 0.9)
	return p
}

// Size returns how many people there are.
func (p *Population) Size() int { return p.site.people }

// zipf returns the cumulated weights 1/rank^exponent.
func zipf(n int, exponent float64) []float64 {
	out := make([]float64, n)
	sum := 0.0
	for i := range out {
		sum += math.Pow(float64(i+1), -exponent)
		out[i] = sum
	}
	return out
}

func drawn(r *rand.Rand, cumulated []float64) int {
	x := r.Float64() * cumulated[len(cumulated)-1]
	return min(sort.SearchFloat64s(cumulated, x), len(cumulated)-1)
}

// loggedIn reports whether a person has an account on the host of a page.
func loggedIn(person int, p *Page) bool {
	if slices.Contains(p.readers, person) {
		return true
	}
	sum := uint32(person) * 2654435761
	for _, c := range []byte(p.Host.Name) {
		sum = sum*16777619 ^ uint32(c)
	}
	return sum>>8&3 != 0
}

// A walker makes the visits of one person.
type walker struct {
	*rand.Rand
	people  *Population
	person  int
	now     time.Time
	private bool // in private mode
	out     []Visit
	errands []*Page
}

// Walk returns at least n visits of a person, in order, beginning at start; the
// same arguments give the same visits.
func (p *Population) Walk(person, n int, start time.Time) []Visit {
	w := &walker{
		Rand:   rand.New(rand.NewPCG(p.site.seed, 0x77616c6b<<32|uint64(person))),
		people: p, person: person, now: start.Add(time.Duration(person%600) * time.Second), errands: slices.Clone(p.errands[person]),
	}
	w.Shuffle(len(w.errands), func(i, j int) { w.errands[i], w.errands[j] = w.errands[j], w.errands[i] })
	for len(w.out) < n || len(w.errands) > 0 {
		// People with many errands do them in time.
		if left := n - len(w.out); len(w.errands)*4 > left {
			w.errand()
		}
		w.private = w.IntN(16) == 0
		switch x := w.IntN(100); {
		case x < 46:
			w.search()
		case x < 72:
			w.follow(w.visit(w.people.site.public[drawn(w.Rand, p.weights)], ""), 3)
		case x < 90:
			w.other()
		default:
			w.errand()
		}
		w.now = w.now.Add(time.Duration(2+w.IntN(25)) * time.Minute)
	}
	return w.out
}

// visit looks at a page and returns its address.
func (w *walker) visit(p *Page, referrer string) *Page {
	v := Visit{URL: p.URL() + p.fragment, Page: p, Referrer: referrer}
	v.View = View{Person: w.person, LoggedIn: loggedIn(w.person, p)}
	w.look(v)
	return p
}

// look stays on a page for a while.
func (w *walker) look(v Visit) {
	v.View.Variation = w.Uint64() >> 8
	v.At, v.Secretly = w.now, w.private
	v.Until = v.At.Add(time.Duration(5+w.ExpFloat64()*40)*time.Second + time.Duration(w.IntN(1000))*time.Millisecond)
	v.Pointer, v.Scrolls = w.IntN(30), w.IntN(12)
	if w.IntN(4) == 0 {
		v.Keys = w.IntN(40)
	}
	if w.IntN(20) == 0 {
		v.Copies = 1
	}
	w.now = v.Until
	w.out = append(w.out, v)
}

// follow clicks through the links of a page, as they are in it.
func (w *walker) follow(p *Page, most int) {
	for range most {
		if w.IntN(100) >= 45 || len(p.links) == 0 {
			return
		}
		p = w.visit(p.links[w.IntN(len(p.links))], p.URL())
	}
}

// search asks an engine and opens some of what it shows; sometimes the same
// query follows on the other engine.
func (w *walker) search() {
	s := w.people.site
	query := s.topics[drawn(w.Rand, w.people.topics)].query
	if w.IntN(12) == 0 {
		query = w.privateQuery()
	}
	engines := []struct {
		name    string
		address func(string) string
	}{{"finch", finchURL}, {"marlin", marlinURL}}
	if w.IntN(3) == 0 {
		slices.Reverse(engines)
	}
	if w.IntN(8) > 0 {
		engines = engines[:1]
	}
	for _, engine := range engines {
		u := engine.address(query)
		w.look(Visit{URL: u, Query: query, Engine: engine.name, View: View{Person: w.person, LoggedIn: w.person%3 == 0}})
		found := s.found(query)
		for range 1 + w.IntN(2) {
			if w.IntN(4) > 0 {
				w.follow(w.visit(found[min(w.IntN(len(found)), w.IntN(len(found)))], u), 2)
			}
		}
		w.now = w.now.Add(time.Minute)
	}
}

// privateQuery is something that only this person asks.
func (w *walker) privateQuery() string {
	first, last := firstNames()[w.IntN(20)], lastNames()[w.IntN(16)]
	words := w.people.site.langs["en"].slugs
	switch w.IntN(14) {
	case 0:
		return strings.ToLower(first+"."+last) + fmt.Sprint(w.person) + "@example.org"
	case 1:
		return fmt.Sprintf("parcel 0%d %d", 10_000+w.IntN(90_000), 100_000+w.person)
	case 2:
		return strings.Join(some(w.Rand, words, 11), " ")
	case 3:
		return fmt.Sprintf("https://files.example.net/i/%012x", w.Uint64()>>16)
	case 5:
		return fmt.Sprintf("%s %s arroba example punto com", strings.ToLower(first), strings.ToLower(last))
	case 6:
		return fmt.Sprintf("%s собака example точка org", strings.ToLower(last)+fmt.Sprint(w.person))
	case 7:
		return fmt.Sprintf("unknown device a4:5e:%02x:c7:%02x:92 in the network", w.IntN(256), w.IntN(256))
	case 8:
		return fmt.Sprintf(`C:\Users\%s %s\Documents\letter%d.docx does not open`, first, last, w.person)
	case 9:
		return strings.Map(func(r rune) rune { return '०' + r - '0' }, fmt.Sprint(9_000_000_000+w.IntN(999_999_999))) + " किसका नंबर"
	case 10:
		return fmt.Sprintf("%d %s street %s", 10+w.IntN(900), words[w.IntN(len(words))], words[w.IntN(len(words))])
	case 11:
		return fmt.Sprintf("%s-nas.synology.me not reachable", strings.ToLower(last))
	case 12:
		return fmt.Sprintf("flight %s booking", tokengen.Text(w.Rand, "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 6))
	case 4:
		return fmt.Sprintf("password %s %08x%08x", strings.ToLower(first), w.Uint32(), w.Uint32())
	}
	return fmt.Sprintf("%s %s %s rash", first, last, words[w.IntN(len(words))])
}

// other goes to pages that are not public, or not there.
func (w *walker) other() {
	p := w.people.others[w.IntN(len(w.people.others))]
	if p.Kind.depends && !loggedIn(w.person, p) {
		return
	}
	referrer := ""
	if w.IntN(3) == 0 {
		referrer = "https://" + herald + "/"
	}
	w.visit(p, referrer)
}

// errand does something of the person's own: often from a letter.
func (w *walker) errand() {
	if len(w.errands) == 0 {
		return
	}
	p := w.errands[len(w.errands)-1]
	w.errands = w.errands[:len(w.errands)-1]
	referrer := ""
	switch w.IntN(4) {
	case 0:
		referrer = "https://" + mail + "/read/a-letter-of-yours"
	case 1:
		referrer = "https://" + people + "/stream/friends"
	}
	w.visit(p, referrer)
	if w.IntN(3) == 0 {
		w.follow(p, 1)
	}
}
