package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A memory is what an engine keeps of the past, by keyed hashes only.
type memory struct {
	private   *privatePages
	reported  *reports
	questions *survey
}

func newMemory(s *scene, j *journal) *memory {
	return &memory{&privatePages{scene: s, journal: j}, &reports{scene: s, journal: j}, &survey{scene: s, journal: j}}
}

// reset forgets everything.
func (m *memory) reset() {
	m.private.filter = nil
	m.reported.days = make(map[int]*filter)
	m.questions.notes = make(map[string]*notes)
}

// whole tells whether all that belongs together was restored.
func (m *memory) whole() bool {
	if f := m.private.filter; f != nil && !f.whole() {
		return false
	}
	for _, f := range m.reported.days {
		if !f.whole() {
			return false
		}
	}
	return true
}

// privatePages are the pages that are private for ever.
type privatePages struct {
	scene   *scene
	journal *journal
	filter  *filter // nil until something is private
}

func (p *privatePages) tag(u discovery.URL) tag { return p.scene.vault.tag("page", u.String()) }

func (p *privatePages) has(u discovery.URL) bool { return p.filter != nil && p.filter.has(p.tag(u)) }

func (p *privatePages) add(u discovery.URL) error {
	if p.filter == nil {
		f, err := newFilter(privateShape, p.scene.config.Rand)
		if err != nil {
			return err
		}
		p.filter = f
		for i := range f.shape.chunks {
			p.journal.touch(labelPrivate, strconv.Itoa(i))
		}
	}
	p.journal.touch(labelPrivate, strconv.Itoa(p.filter.add(p.tag(u))))
	return nil
}

func (p *privatePages) encode(name string) ([]byte, error) {
	n, err := strconv.Atoi(name)
	if err != nil || p.filter == nil {
		return nil, err
	}
	return p.filter.chunks[n], nil
}

func (p *privatePages) restore(name string, data []byte) error {
	if p.filter == nil {
		p.filter = &filter{shape: privateShape}
	}
	if n, err := strconv.Atoi(name); err != nil || !p.filter.restore(n, data) {
		return ErrStore
	}
	return nil
}

// reports are what was reported and settled in the last 30 days.
type reports struct {
	scene   *scene
	journal *journal
	days    map[int]*filter
}

// seen is what a record is remembered by once it was processed.
func (r *reports) seen(rec *record) tag {
	n := rec.name().String()
	if rec.search == nil {
		return r.scene.vault.tag("seen", n)
	}
	return r.scene.vault.tag("seen", n, rec.search.Engine, fold(rec.search.Query))
}

// settled tells whether a record was processed already: in the last 30 days,
// or, if there are questions, which ask about every day, today.
func (r *reports) settled(rec *record) bool {
	if len(r.scene.config.Questions) > 0 {
		return r.days[day(r.scene.now)].has(r.seen(rec))
	}
	return r.has(r.seen(rec))
}

func (r *reports) has(t tag) bool {
	for _, f := range r.days {
		if f.has(t) {
			return true
		}
	}
	return false
}

// granted tells whether all tags were remembered on one day.
func (r *reports) granted(all []tag) bool {
	for _, f := range r.days {
		if !slices.ContainsFunc(all, func(t tag) bool { return !f.has(t) }) {
			return true
		}
	}
	return false
}

// public tells whether a page was found public in the last 30 days.
func (r *reports) public(u discovery.URL) bool { return r.granted(r.scene.vault.pageGrants(u)) }

// remember adds tags to the filter of today.
func (r *reports) remember(tags []tag) error {
	today := day(r.scene.now)
	f := r.days[today]
	if f == nil {
		var err error
		if f, err = newFilter(reportedShape, r.scene.config.Rand); err != nil {
			return err
		}
		r.days[today] = f
		for i := range f.shape.chunks {
			r.journal.touch(labelReported, dayName(today, i))
		}
	}
	for _, t := range tags {
		r.journal.touch(labelReported, dayName(today, f.add(t)))
	}
	return nil
}

// expire forgets days that are too old.
func (r *reports) expire() {
	today := day(r.scene.now)
	for _, d := range slices.Sorted(maps.Keys(r.days)) {
		if d > today-keptDays {
			break
		}
		for i := range r.days[d].chunks {
			r.journal.touch(labelReported, dayName(d, i))
		}
		delete(r.days, d)
	}
}

func (r *reports) encode(name string) ([]byte, error) {
	day, n, err := dayPart(name)
	if err != nil || r.days[day] == nil {
		return nil, err
	}
	return r.days[day].chunks[n], nil
}

func (r *reports) restore(name string, data []byte) error {
	day, n, err := dayPart(name)
	if err != nil {
		return err
	}
	if r.days[day] == nil {
		r.days[day] = &filter{shape: reportedShape}
	}
	if !r.days[day].restore(n, data) {
		return ErrStore
	}
	return nil
}

func dayName(day, chunk int) string { return fmt.Sprintf("%d/%d", day, chunk) }

func dayPart(s string) (day, chunk int, err error) {
	a, b, ok := strings.Cut(s, "/")
	if !ok {
		return 0, 0, ErrStore
	}
	if day, err = strconv.Atoi(a); err != nil {
		return 0, 0, ErrStore
	}
	if chunk, err = strconv.Atoi(b); err != nil || chunk < 0 || chunk >= reportedShape.chunks {
		return 0, 0, ErrStore
	}
	return day, chunk, nil
}

// grantTags is how many tags stand for what lets something else be reported. One tag
// of an ordinary fact is found by chance in about one case of a hundred, over 30
// filters; that loses a message. Here it would report one too many.
const grantTags = 2

func (v *vault) grants(label string, parts ...string) []tag {
	all := make([]tag, grantTags)
	for i := range all {
		all[i] = v.tag(label+" "+strconv.Itoa(i), parts...)
	}
	return all
}

// searchGrants stand for a search that was reported.
func (v *vault) searchGrants(s bundle.Search) []tag {
	return v.grants("told query", s.Engine, fold(s.Query))
}

// pageGrants stand for a page that was found public.
func (v *vault) pageGrants(u discovery.URL) []tag { return v.grants("public", u.String()) }
