package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A queue holds the records of an engine: pages that are shown and signed, and
// pages and searches that wait for their fetch.
type queue struct {
	scene   *scene
	journal *journal
	trail   *trail
	memory  *memory

	records map[string]*record // by key: shown, and waiting
	waiting map[name]*record   // those that wait
	current *record            // being fetched, over several ticks
	// generation changes when the fetch that is under way must be forgotten.
	generation uint64
}

// reset drops all records.
func (q *queue) reset() {
	q.records, q.waiting = make(map[string]*record), make(map[name]*record)
	q.interrupt()
}

// interrupt makes the fetch that is under way void.
func (q *queue) interrupt() {
	q.current = nil
	q.generation++
}

// page returns the page of a URL, if it waits.
func (q *queue) page(u discovery.URL) *record { return q.waiting[name{url: u}] }

// changed marks a record as changed.
func (q *queue) changed(r *record) { q.journal.touch(labelRecord, r.id) }

// keep gives a record of a page or search a key in the store.
func (q *queue) keep(r *record) error {
	id, err := q.scene.vault.fresh()
	if err != nil {
		return err
	}
	r.id = id
	q.records[id] = r
	return nil
}

// search makes a search one that waits, for a random time.
func (q *queue) search(r *record) error {
	if err := q.keep(r); err != nil {
		return fmt.Errorf("keeping a search: %w", err)
	}
	timing := q.scene.config.Timing
	jitter, err := q.scene.uniform(timing.QueryMax - timing.QueryMin)
	if err != nil {
		delete(q.records, r.id)
		return err
	}
	r.due = q.scene.now.Add(timing.QueryMin + jitter)
	q.push(r)
	q.changed(r)
	return nil
}

// push makes a record one that waits.
func (q *queue) push(r *record) { q.waiting[r.name()] = r }

// leave makes the record of a visit that is over one that waits, unless there are
// too many; a page that waits already is merged with it.
func (q *queue) leave(r *record) error {
	if old := q.waiting[r.name()]; old != nil {
		q.merge(old, r)
		return q.schedule(old)
	}
	if q.full(r) {
		delete(q.records, r.id)
		q.trail.page(StageClosed, Dropped, r.url, reasonFull, discovery.Decision{})
		return nil
	}
	if err := q.schedule(r); err != nil {
		return err
	}
	q.push(r)
	q.trail.page(StageClosed, Waiting, r.url, "", discovery.Decision{})
	return nil
}

// resume makes what an earlier engine stored wait: pages that were shown when it
// ended count as closed.
func (q *queue) resume() error {
	for _, r := range q.sorted() {
		if r.open {
			r.open = false
			if err := q.schedule(r); err != nil {
				return err
			}
			q.changed(r)
		}
		old := q.waiting[r.name()]
		if old == nil {
			q.push(r)
			continue
		}
		due := old.due
		if r.due.After(due) {
			due = r.due
		}
		q.merge(old, r)
		old.due = due
	}
	return nil
}

// full tells whether no more may wait: at all, or of one site, so that a site
// that makes up addresses does not crowd out the others.
func (q *queue) full(r *record) bool {
	limit := q.scene.config.Timing.Pending
	if len(q.waiting) >= limit {
		return true
	}
	n, site := 0, r.url.Site()
	for _, o := range q.waiting {
		host := o.url.Host()
		if at := len(host) - len(site); at >= 0 && host[at:] == site && (at == 0 || host[at-1] == '.') {
			n++
		}
	}
	return n >= max(limit/4, 2)
}

// schedule sets when a record is due: at least the delay after its last visit.
func (q *queue) schedule(r *record) error {
	delay := q.scene.config.Timing.Delay
	jitter, err := q.scene.uniform(delay / 2)
	r.due = r.last.Add(delay + jitter)
	return err
}

// merge adds a later visit to a page that waits: it is judged by what was shown
// last.
func (q *queue) merge(old, r *record) {
	old.step = nil
	if !r.last.Before(old.last) {
		old.last, old.before = r.last, r.before
	}
	if r.sourced() {
		old.source = r.source
	}
	if r.search != nil {
		old.search = r.search
	}
	old.counts.add(r.counts)
	if q.current == old {
		q.interrupt()
	}
	delete(q.records, r.id)
	q.changed(r)
	q.changed(old)
}

// drop forgets a record.
func (q *queue) drop(r *record) {
	if r == nil || r.id == "" {
		return
	}
	delete(q.records, r.id)
	if n := r.name(); q.waiting[n] == r {
		delete(q.waiting, n)
	}
	if q.current == r {
		q.current = nil
	}
	q.changed(r)
}

// remove forgets the records that match holds for, and the fetch that is under way.
func (q *queue) remove(match func(*record) bool) {
	for _, r := range q.sorted() {
		if match(r) {
			q.generation++
			q.drop(r)
		}
	}
}

// refuse forgets a page that the rules refuse; it is not private for that.
func (q *queue) refuse(s Stage, r *record, reason string, d discovery.Decision) {
	q.trail.stats.Refused++
	q.trail.page(s, Refused, r.url, reason, d)
	q.drop(r)
}

// withhold makes a page private for ever, and forgets it if it waits.
func (q *queue) withhold(s Stage, u discovery.URL, reason string, d discovery.Decision) error {
	q.trail.stats.Withheld++
	q.trail.page(s, Withheld, u, reason, d)
	if err := q.memory.private.add(u); err != nil {
		return err
	}
	q.drop(q.page(u))
	return nil
}

// withholdRecord makes the page of a record private for ever.
func (q *queue) withholdRecord(s Stage, r *record, reason string, d discovery.Decision) error {
	q.drop(r)
	return q.withhold(s, r.url, reason, d)
}

// next returns the record to fetch: the one that was begun, or the one that has
// been due for longest.
func (q *queue) next() *record {
	if q.current != nil {
		return q.current
	}
	now := q.scene.now
	var first *record
	var future []*record
	for _, r := range q.waiting {
		switch {
		case r.last.After(now):
			future = append(future, r)
		case r.due.After(now):
		case first == nil || r.due.Before(first.due) || r.due.Equal(first.due) && r.id < first.id:
			first = r
		}
	}
	// The clock was set back: their delay begins again.
	slices.SortFunc(future, byID)
	for _, r := range future {
		r.last, r.due = now, now.Add(q.scene.config.Timing.Delay)
		q.changed(r)
	}
	return first
}

// postpone puts a record off: its work begins again when it is due.
func (q *queue) postpone(r *record) {
	r.step, q.current = nil, nil
	q.changed(r)
}

// advance gives a record its next step, with all its attempts.
func (q *queue) advance(r *record, s *step) {
	r.step, r.attempts = s, 0
	q.changed(r)
}

// pause ends all work that is under way; it begins again later.
func (q *queue) pause() {
	q.interrupt()
	for _, r := range q.waiting {
		r.step = nil
	}
}

// expire forgets pages that were never processed for too long.
func (q *queue) expire() {
	var old []*record
	for _, r := range q.waiting {
		if q.scene.now.Sub(r.last) > q.scene.config.Timing.TTL {
			old = append(old, r)
		}
	}
	slices.SortFunc(old, byID)
	for _, r := range old {
		q.trail.page(StageDue, Dropped, r.url, reasonExpired, discovery.Decision{})
		q.drop(r)
	}
}

func byID(a, b *record) int { return strings.Compare(a.id, b.id) }

// sorted returns the records in the order in which they are due.
func (q *queue) sorted() []*record {
	all := make([]*record, 0, len(q.records))
	for _, r := range q.records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *record) int { return cmp.Or(a.due.Compare(b.due), byID(a, b)) })
	return all
}

func (q *queue) encode(id string) ([]byte, error) {
	r := q.records[id]
	if r == nil {
		return nil, nil
	}
	return r.encode()
}

func (q *queue) restore(id string, data []byte) error {
	r, err := decodeRecord(id, data)
	if err != nil {
		return err
	}
	q.records[id] = r
	return nil
}
