package testsite

import (
	"fmt"
	"math/rand/v2" //nolint:depguard // a simulation draws from a seed and keeps no secret
	"strings"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/internal/discovery"
)

// Options configures a site. The zero value with a seed is of use.
type Options struct {
	Seed   uint64
	People int     // that private pages and links belong to; 100 if 0
	Scale  float64 // of the numbers of pages of most kinds; 1 if 0
}

// A Site is the invented web. It may be used concurrently.
type Site struct {
	seed   uint64
	people int
	langs  map[string]*language
	kinds  []Kind

	pages  []*Page
	byURL  map[string]*Page // by host and target
	hosts  map[string]*Host
	topics []*topic
	public []*Page // what search engines and popularity know of, most popular first

	fetched [16]atomic.Int64 // anonymous requests by truth
	marked  atomic.Int64     // requests that were to be anonymous and carried something of a person
}

// A Page is one address of the site.
type Page struct {
	Kind   *Kind
	Host   *Host
	Target string // path and query
	Title  string

	seed     uint64
	fragment string
	links    []*Page
	readers  []int // people that come here, unless everybody may

	mu        sync.Mutex
	anonymous int  // requests without cookie
	used      bool // a one-time link that was used up
	usedByBot bool // by an anonymous request
}

// URL returns the page's address.
func (p *Page) URL() string { return p.Host.Scheme + "://" + p.Host.Authority() + p.Target }

// Truth returns the ground truth of the page.
func (p *Page) Truth() Truth { return p.Kind.Truth }

// Readers returns the people that come to the page; nil means everybody may.
func (p *Page) Readers() []int { return p.readers }

// Anonymous returns how often the page was asked for without a cookie.
func (p *Page) Anonymous() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.anonymous
}

// UsedByFetch reports whether an anonymous request used a one-time link up.
func (p *Page) UsedByFetch() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usedByBot
}

// New makes the site of a seed.
func New(o Options) *Site {
	if o.People == 0 {
		o.People = 100
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	s := &Site{seed: o.Seed, people: o.People, langs: languages(), kinds: Kinds(), byURL: make(map[string]*Page), hosts: hosts()}
	r := rand.New(rand.NewPCG(o.Seed, 0x73697465))
	for i := range s.kinds {
		s.populate(&s.kinds[i], r, o.Scale)
	}
	s.popular(r)
	s.link(r)
	s.index(r)
	return s
}

// populate makes the pages of a kind.
func (s *Site) populate(k *Kind, r *rand.Rand, scale float64) {
	host, ok := s.hosts[k.Host]
	if !ok {
		panic("testsite: kind " + k.Name + " names the unknown host " + k.Host)
	}
	n := max(1, int(float64(k.count)*scale))
	for i := range n {
		d := &draw{Rand: r, lang: s.langs[k.lang], index: i, seed: r.Uint64()}
		p := &Page{Kind: k, Host: host, seed: d.seed, Title: d.lang.title(r, 3+r.IntN(4))}
		for tries := 0; ; tries++ {
			p.Target = "/" + d.slug(3, 5)
			if k.path != nil {
				p.Target = k.path(d)
			}
			if _, taken := s.byURL[key(host, p.Target)]; !taken {
				break
			}
			if tries == 100 {
				panic("testsite: kind " + k.Name + " has not enough addresses")
			}
		}
		if k.fragment != nil {
			p.fragment = k.fragment(d)
		}
		p.readers = s.readersOf(k, r)
		s.add(p)
	}
}

func (s *Site) readersOf(k *Kind, r *rand.Rand) []int {
	n := 0
	switch k.Audience {
	case Owner:
		n = 1
	case Few:
		n = 2 + r.IntN(4)
	case Group:
		n = 40
	}
	n = min(n, s.people)
	if n == 0 {
		return nil
	}
	return r.Perm(s.people)[:n]
}

func (s *Site) add(p *Page) {
	s.pages = append(s.pages, p)
	s.byURL[key(p.Host, p.Target)] = p
	if p.Kind.also != nil {
		h, target := p.Kind.also(p)
		s.byURL[key(s.hosts[h], target)] = p
	}
}

func key(h *Host, target string) string { return h.Authority() + target }

// popular orders the public pages that everybody may come to, by drawing.
func (s *Site) popular(r *rand.Rand) {
	for _, p := range s.pages {
		if p.Kind.Truth == Public && p.Kind.Audience == Everyone && !p.Kind.unlisted {
			s.public = append(s.public, p)
		}
	}
	r.Shuffle(len(s.public), func(i, j int) { s.public[i], s.public[j] = s.public[j], s.public[i] })
}

// link gives each page links to public ones of its host and others. Kinds that
// are linked though they are not public get one public page each that names
// them.
func (s *Site) link(r *rand.Rand) {
	byHost := make(map[*Host][]*Page)
	for _, p := range s.public {
		byHost[p.Host] = append(byHost[p.Host], p)
	}
	for _, p := range s.pages {
		near := byHost[p.Host]
		for range 4 + r.IntN(5) {
			if len(near) > 0 && r.IntN(3) > 0 {
				p.links = append(p.links, near[r.IntN(len(near))])
			} else {
				p.links = append(p.links, s.public[r.IntN(len(s.public))])
			}
		}
	}
	for _, p := range s.pages {
		if p.Kind.linked {
			from := s.public[r.IntN(len(s.public)/4+1)]
			from.links = append(from.links, p)
		}
	}
}

// Pages returns all pages, in a fixed order.
func (s *Site) Pages() []*Page { return s.pages }

// Lookup returns the page at an address, as the site's servers read it: the
// fragment is not sent, and parameters that a host does not know it ignores.
func (s *Site) Lookup(address string) (*Page, bool) {
	u, err := discovery.ParseURL(address)
	if err != nil {
		return nil, false
	}
	h, ok := s.hosts[authority(u)]
	if !ok {
		return nil, false
	}
	target := u.Path()
	if u.Query() != "" {
		target += "?" + u.Query()
	}
	return s.route(h, target)
}

func authority(u discovery.URL) string {
	name := strings.TrimSuffix(u.Host(), ".")
	if p := u.Port(); p != 80 && p != 443 {
		return fmt.Sprintf("%s:%d", name, p)
	}
	return name
}

func (s *Site) route(h *Host, target string) (*Page, bool) {
	if p, ok := s.byURL[key(h, target)]; ok {
		return p, true
	}
	path, _, parameters := strings.Cut(target, "?")
	if parameters {
		if p, ok := s.byURL[key(h, path)]; ok {
			return p, true
		}
	}
	return nil, false
}

// Serve answers a GET of a page in process.
func (s *Site) Serve(h *Host, target string, v View) Response {
	if engine := s.engine(h, target, v); engine != nil {
		return *engine
	}
	if listing := s.listing(h, target); listing != nil {
		return *listing
	}
	p, ok := s.route(h, target)
	if !ok {
		return s.missing()
	}
	s.count(p, v)
	sheet := s.article(p, v)
	if p.Kind.show != nil {
		p.Kind.show(s, p, v, sheet)
	}
	sheet.Body = sheet.html(s.langs[p.Kind.lang])
	return sheet.Response
}

// count counts an anonymous request of a page. Page.show of a one-time link reads what it leaves.
func (s *Site) count(p *Page, v View) {
	if v.Person >= 0 {
		return
	}
	s.fetched[p.Kind.Truth].Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.anonymous++
}

// use uses a one-time link up and reports whether it was still good.
func (p *Page) use(v View) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used {
		return false
	}
	p.used = true
	p.usedByBot = v.Person < 0
	return true
}

func (s *Site) missing() Response {
	sheet := &sheet{Response: Response{Status: 404, Type: "text/html; charset=utf-8"}, lang: "en", title: "Not found", nav: []string{"/"}}
	sheet.Body = sheet.html(s.langs["en"])
	return sheet.Response
}

// Fetched returns how many anonymous requests pages of a truth got.
func (s *Site) Fetched(t Truth) int { return int(s.fetched[t].Load()) }

// Marked returns how many requests were made without a person's cookie and still
// carried a cookie or a credential. It must be 0.
func (s *Site) Marked() int { return int(s.marked.Load()) }
