package lifecycle

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A record is a page or a search on its way: shown, waiting, or being fetched.
type record struct {
	id string // its key in the store

	URL   string    `json:"url"` // without fragment; of a search, the clean URL
	Open  bool      `json:"open,omitempty"`
	First time.Time `json:"first"` // of the visits
	Last  time.Time `json:"last"`  // activity
	Due   time.Time `json:"due"`   // not to be fetched before

	Search *search              `json:"search,omitempty"` // of a search; of a page, the search that led straight to it: depth 1
	Query  bool                 `json:"query,omitempty"`  // it is a search
	Before *discovery.Signature `json:"before,omitempty"` // of the page as it was shown
	Counts Counts               `json:"counts"`
	Source string               `json:"source,omitempty"` // the page before

	Attempts int `json:"attempts,omitempty"` // of the present fetch
	Fetches  int `json:"fetches,omitempty"`  // in total

	url  discovery.URL // URL, parsed
	host string        // of url, while the engine holds the page
	step *step         // what is known since it became due; not stored
}

// A search is what a search page is known by, as it is stored.
type search struct {
	Engine string `json:"engine"`
	Query  string `json:"query"`
	Clean  string `json:"clean"`
}

func searchOf(s bundle.Search) *search { return &search{s.Engine, s.Query, s.Clean.String()} }

// The plaintext of a stored record begins with its label, which identifies its
// kind once it is opened.
const (
	labelRecord   = "record"
	labelMeta     = "meta"
	labelPrivate  = "private"
	labelReported = "reported"
	labelQuestion = "question"
)

// An item names what is stored: a label, and which one of its kind.
type item struct {
	label string
	part  string // key of a record, number of a chunk, day and number, name of a question
}

func (v *vault) key(i item) string {
	if i.label == labelRecord {
		return i.part
	}
	return v.name(i.label, i.part)
}

func wrap(i item, data []byte) []byte {
	b := make([]byte, 0, 4+len(i.label)+len(i.part)+len(data))
	for _, s := range []string{i.label, i.part} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return append(b, data...)
}

func unwrap(b []byte) (item, []byte, error) {
	var parts [2]string
	for i := range parts {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return item{}, nil, ErrStore
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		parts[i], b = string(b[2:n]), b[n:]
	}
	return item{parts[0], parts[1]}, b, nil
}

// meta is what an engine remembers beside records and filters.
type meta struct {
	Fetched time.Time         `json:"fetched"`           // the last time that something was fetched
	Bundles map[string]uint64 `json:"bundles,omitempty"` // the highest version seen of each series
}

// touch marks an item as changed; commit will store it.
func (e *Engine) touch(label, part string) {
	i := item{label, part}
	if !slices.Contains(e.dirty, i) {
		e.dirty = append(e.dirty, i)
	}
}

// commit stores what changed, in one step. After an error it stays changed,
// and the next commit tries again.
func (e *Engine) commit(ctx context.Context) error {
	if len(e.dirty) == 0 {
		return nil
	}
	changes := make([]Change, 0, len(e.dirty))
	for _, i := range e.dirty {
		key := e.vault.key(i)
		data, err := e.data(i)
		if err != nil {
			return fmt.Errorf("storing the state of the engine: %w", err)
		}
		if data == nil {
			changes = append(changes, Change{Key: key})
			continue
		}
		sealed, err := e.vault.seal(key, wrap(i, data))
		if err != nil {
			return fmt.Errorf("storing the state of the engine: %w", err)
		}
		changes = append(changes, Change{key, sealed})
	}
	if err := e.config.Store.Apply(ctx, changes); err != nil {
		return fmt.Errorf("storing the state of the engine: %w", err)
	}
	e.dirty = e.dirty[:0]
	return nil
}

// data returns what is to be stored of an item, nil if it is to be removed.
func (e *Engine) data(i item) ([]byte, error) {
	switch i.label {
	case labelRecord:
		r := e.records[i.part]
		if r == nil {
			return nil, nil
		}
		return json.Marshal(r)
	case labelMeta:
		return json.Marshal(meta{e.fetched, e.bundles})
	case labelPrivate:
		n, err := strconv.Atoi(i.part)
		if err != nil || e.private == nil {
			return nil, err
		}
		return e.private.chunks[n], nil
	case labelReported:
		day, n, err := dayPart(i.part)
		if err != nil || e.reported[day] == nil {
			return nil, err
		}
		return e.reported[day].chunks[n], nil
	case labelQuestion:
		m := e.memories[i.part]
		if m == nil || len(m.entries) == 0 {
			return nil, nil
		}
		return m.encode()
	}
	return nil, errors.New("an item of no kind")
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

// load reads the store. Whatever does not open or makes no sense is an error:
// going on without it could forget what is private.
func (e *Engine) load(ctx context.Context) error {
	err := e.config.Store.Load(ctx, func(key string, value []byte) error {
		plain, err := e.vault.open(key, value)
		if err != nil {
			return err
		}
		i, data, err := unwrap(plain)
		if err != nil || e.vault.key(i) != key {
			return ErrStore
		}
		return e.restore(i, data)
	})
	if err != nil {
		return err
	}
	if e.private != nil && !e.private.whole() {
		return ErrStore
	}
	for _, f := range e.reported {
		if !f.whole() {
			return ErrStore
		}
	}
	return nil
}

func (e *Engine) restore(i item, data []byte) error {
	switch i.label {
	case labelRecord:
		r := &record{id: i.part}
		if err := json.Unmarshal(data, r); err != nil {
			return ErrStore
		}
		var err error
		if r.url, err = discovery.ParseURL(r.URL); err != nil || r.Query && r.Search == nil {
			return ErrStore
		}
		e.records[r.id] = r
	case labelMeta:
		var m meta
		if err := json.Unmarshal(data, &m); err != nil {
			return ErrStore
		}
		e.fetched = m.Fetched
		for series, version := range m.Bundles {
			e.bundles[series], e.updated = version, true
		}
	case labelPrivate:
		if e.private == nil {
			e.private = &filter{shape: privateShape}
		}
		if n, err := strconv.Atoi(i.part); err != nil || !e.private.restore(n, data) {
			return ErrStore
		}
	case labelReported:
		day, n, err := dayPart(i.part)
		if err != nil {
			return err
		}
		if e.reported[day] == nil {
			e.reported[day] = &filter{shape: reportedShape}
		}
		if !e.reported[day].restore(n, data) {
			return ErrStore
		}
	case labelQuestion:
		m, err := decodeMemory(data)
		if err != nil {
			return err
		}
		e.memories[i.part] = m
	default:
		return ErrStore
	}
	return nil
}
