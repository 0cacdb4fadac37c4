// Package loss is the list of what an organisation has acknowledged and can no
// longer count, or does not know what to do with. It stays until an operator has
// acknowledged it.
//
// The server keeps the list, one [List] a data folder, and writes it when it
// learns of something:
//
//	list, err := loss.Open(durable.OS(), "data")
//	fresh, err := list.Add(loss.Loss{Role: "shuffler", Cause: loss.Damaged, Place: "a file", Reports: 12})
//
// The operator's command reads the same list, with or without a server beside it,
// and acknowledges what it has read; the server finds that in a second file, which
// the command writes. What the server learns afterwards, also more reports at
// a place that is acknowledged, is not acknowledged by it.
//
// # Security
//
// An entry names a file, a task or an epoch, and a number of reports: nothing of
// one client, and no time but the day on which an operator acknowledged it.
//
// # Limits
//
// An acknowledged entry that is not found again goes after 90 days.
// A list has about 1,000 places; what comes then is counted in one entry for each
// role and cause. One process writes the list at a time.
package loss

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
)

// A Cause is what has happened.
type Cause string

// The causes.
const (
	Damaged  Cause = "damaged"  // the disk has changed or cut off what was written
	Missing  Cause = "missing"  // a file that the store names is not there
	Orphaned Cause = "orphaned" // reports of which no store or task knows: they wait for a decision
	GivenUp  Cause = "given_up" // reports that could not be aggregated in their time
)

// A Loss is what has happened at one place.
type Loss struct {
	Role    string `json:"role"`
	Cause   Cause  `json:"cause"`
	Place   string `json:"place"`   // the same whenever it is found again
	Reports int64  `json:"reports"` // at least; 0 if nothing is known
	Detail  string `json:"detail,omitempty"`
	// Acknowledged is the day on which an operator did, in the list of those alone.
	Acknowledged string `json:"acknowledged,omitempty"`
}

// Kept is how long an acknowledged loss stays in the list.
const Kept = 90 * 24 * time.Hour

type key struct {
	role  string
	cause Cause
	place string
}

func (l Loss) key() key { return key{l.Role, l.Cause, l.Place} }

// The files of a list, in the data folder.
const (
	listFile = "losses.json"
	ackFile  = "losses.acknowledged.json"
)

const maxPlaces = 1000

// document is the content of both files.
type document struct {
	Version int    `json:"version"`
	Losses  []Loss `json:"losses"`
}

// A List is the list of a server. Its methods are safe for concurrent use.
type List struct {
	fs  durable.FS
	dir string

	mu    sync.Mutex
	known map[key]Loss
	found map[key]bool // by this process
	dirty bool         // the file is older
}

// Open reads the list in dir, which exists. A list that cannot be read is kept aside
// and is a loss itself.
func Open(fsys durable.FS, dir string) (*List, error) {
	b := &List{fs: fsys, dir: dir, known: map[key]Loss{}, found: map[key]bool{}}
	all, err := read(fsys, filepath.Join(dir, listFile))
	if _, broken := errors.AsType[*brokenError](err); broken {
		name := filepath.Join(dir, listFile)
		if err := fsys.Rename(name, name+".damaged"); err != nil {
			return nil, fmt.Errorf("reading the list of losses: %w", err)
		}
		_, err = b.Add(Loss{Role: "server", Cause: Damaged, Place: listFile, Detail: "the list of losses was unreadable and is kept as " + listFile + ".damaged; what it listed may have to be found again by shoal fsck"})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of losses: %w", err)
	}
	for _, l := range all {
		b.known[l.key()] = l
	}
	return b, nil
}

// A brokenError means that a file is not a list.
type brokenError struct{ error }

// read reads a list; a file that is not there is an empty one.
func read(fsys durable.FS, name string) ([]Loss, error) {
	text, err := durable.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, &brokenError{fmt.Errorf("%s: %w", name, err)}
	}
	if d.Version != 1 {
		return nil, fmt.Errorf("%s has version %d, this program knows only 1", name, d.Version)
	}
	return d.Losses, nil
}

func write(fsys durable.FS, name string, all []Loss) error {
	text, err := json.MarshalIndent(document{1, all}, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(fsys, name, append(text, '\n'), 0o600)
}

// Add enters a loss, durably, and reports whether it or a part of it is new. After
// an error it is in the list of this process, and a later call writes it.
func (b *List) Add(l Loss) (fresh bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, known := b.known[l.key()]
	if !known && len(b.known) >= maxPlaces {
		l.Place, l.Detail = "further places", ""
		old, known = b.known[l.key()]
		l.Reports += old.Reports
	}
	b.found[l.key()] = true
	fresh = !known || l.Reports > old.Reports
	if fresh || l.Detail != old.Detail && l.Reports == old.Reports { // another thing to do is no other loss
		b.known[l.key()] = l
		b.dirty = true
	}
	return fresh, b.save()
}

// Count adds reports to an entry, durably, for losses that have no place of their own.
func (b *List) Count(l Loss) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.Reports += b.known[l.key()].Reports
	b.found[l.key()] = true
	b.known[l.key()], b.dirty = l, true
	return b.save()
}

// Replace makes the entries of a role and a cause those given, for what can pass,
// and returns those that are new.
func (b *List) Replace(role string, cause Cause, all []Loss) (fresh []Loss, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := map[key]bool{}
	for _, l := range all {
		next[l.key()] = true
		b.found[l.key()] = true
		old, known := b.known[l.key()]
		if known && l == old {
			continue
		}
		if !known || l.Reports > old.Reports {
			fresh = append(fresh, l)
		}
		b.known[l.key()], b.dirty = l, true
	}
	for k := range b.known {
		if k.role == role && k.cause == cause && !next[k] {
			delete(b.known, k)
			b.dirty = true
		}
	}
	return fresh, b.save()
}

// Prune drops losses that were acknowledged [Kept] and longer before now and that this
// process has not found again.
func (b *List) Prune(now time.Time) error {
	acked, err := read(b.fs, filepath.Join(b.dir, ackFile))
	if err != nil {
		return fmt.Errorf("reading what is acknowledged: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	left := acked[:0:0]
	for _, l := range acked {
		day, err := time.Parse(time.DateOnly, l.Acknowledged)
		known, ok := b.known[l.key()]
		if err != nil || !ok || b.found[l.key()] || known.Reports > l.Reports || now.Before(day.Add(Kept)) {
			left = append(left, l)
			continue
		}
		delete(b.known, l.key())
		b.dirty = true
	}
	if !b.dirty {
		return nil
	}
	// The acknowledgement goes first: a loss at the same place later is another one.
	if err := write(b.fs, filepath.Join(b.dir, ackFile), left); err != nil {
		return err
	}
	return b.save()
}

// save writes the list if it has changed. The caller holds b.mu.
func (b *List) save() error {
	if !b.dirty {
		return nil
	}
	if err := write(b.fs, filepath.Join(b.dir, listFile), sorted(b.known)); err != nil {
		return err
	}
	b.dirty = false
	return nil
}

func sorted(m map[key]Loss) []Loss {
	all := make([]Loss, 0, len(m))
	for _, l := range m {
		all = append(all, l)
	}
	slices.SortFunc(all, func(x, y Loss) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Cause, y.Cause), cmp.Compare(x.Place, y.Place))
	})
	return all
}

// State returns the list with what was acknowledged of it.
func (b *List) State() (State, error) {
	b.mu.Lock()
	all := sorted(b.known)
	err := b.save()
	b.mu.Unlock()
	st, ackErr := stateOf(b.fs, b.dir, all)
	return st, errors.Join(err, ackErr)
}

// A State is a list and what an operator has acknowledged of it.
type State struct {
	Open         []Loss // not acknowledged, or with more reports than were
	Acknowledged []Loss
}

// Read returns the list in dir, which a server may be writing.
func Read(fsys durable.FS, dir string) (State, error) {
	all, err := read(fsys, filepath.Join(dir, listFile))
	if err != nil {
		return State{}, err
	}
	return stateOf(fsys, dir, all)
}

// stateOf compares a list with what was acknowledged. If that cannot be read nothing
// was.
func stateOf(fsys durable.FS, dir string, all []Loss) (State, error) {
	acked, err := read(fsys, filepath.Join(dir, ackFile))
	was := map[key]Loss{}
	for _, l := range acked {
		was[l.key()] = l
	}
	var st State
	for _, l := range all {
		if a, ok := was[l.key()]; ok && l.Reports <= a.Reports {
			l.Acknowledged = a.Acknowledged
			st.Acknowledged = append(st.Acknowledged, l)
		} else {
			st.Open = append(st.Open, l)
		}
	}
	return st, err
}

// Acknowledge makes it durable that an operator knows, now, of what a state that was
// read holds. It concerns nothing else.
func Acknowledge(fsys durable.FS, dir string, st State, now time.Time) error {
	all := slices.Concat(st.Acknowledged, st.Open)
	for i := range all {
		all[i].Acknowledged = cmp.Or(all[i].Acknowledged, now.UTC().Format(time.DateOnly))
	}
	return write(fsys, filepath.Join(dir, ackFile), all)
}
