package server

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// A Task is a task that this organisation serves, and the part it has in it.
type Task struct {
	ID     task.ID
	Task   *task.Task
	Signed *task.Signed
	Hop    int // index into Task.Hops; their number for the randomness party, which is beside them
	// Until is zero while a bundle names the task. One that no bundle names any more
	// takes no reports, and is served until then for those that were acknowledged.
	Until time.Time
}

// Role returns the organisation's role in the task.
func (t Task) Role() task.Role { return partyAt(t.Task, t.Hop).Role }

// partyAt returns the party of a task at an index as in [Task].Hop.
func partyAt(t *task.Task, hop int) task.Party {
	if hop == len(t.Hops) {
		return t.Protection.Randomness
	}
	return t.Hops[hop]
}

// partiesAt returns the parties of a task that an organisation of its bundle can be, by the
// indexes of [Task].Hop.
func partiesAt(t *task.Task) []task.Party {
	if !t.Hardened() {
		return t.Hops
	}
	return append(t.Hops[:len(t.Hops):len(t.Hops)], t.Protection.Randomness)
}

// errNotOurs means that no hop of a task is this organisation. Bundles are made
// for apps and hold the tasks of several organisations, so that is no fault.
var errNotOurs = errors.New("names other organisations only")

// errEnded means that a task is over.
var errEnded = errors.New("has expired")

// registry admits tasks and remembers them.
type registry struct {
	config    Config
	self      ed25519.PublicKey
	collector ed25519.PublicKey // the collector's, nil if the organisation is not one
	owners    []ed25519.PublicKey
	costs     *cost.Cache
	tasks     []Task          // in the order of admission
	places    map[place]int   // index into tasks
	byID      map[task.ID]int // of the first part in each task
	useless   []string        // bundles of which nothing is served, and why
	bundles   []servedBundle  // those that are configured and those that were
}

// A place is a part in a task.
type place struct {
	id  task.ID
	hop int
}

func newRegistry(c Config, self, collector ed25519.PublicKey) (*registry, error) {
	r := &registry{config: c, self: self, collector: collector, costs: &cost.Cache{}, places: map[place]int{}, byID: map[task.ID]int{}}
	for i, o := range c.Tasks.Owners {
		key, err := parseOwner(o)
		if err != nil {
			return nil, fmt.Errorf("tasks.owners[%d]: %w", i, err)
		}
		r.owners = append(r.owners, key)
	}
	return r, nil
}

func parseOwner(s string) (ed25519.PublicKey, error) { return task.ParsePublic(s) }

// load admits every task of the configured bundles and of those added through
// the management API. A task that names this organisation and must be refused
// is an error: a server that leaves a question out in silence looks like one
// that works. Tasks of others and tasks that are over are passed by.
func (r *registry) load(now time.Time) error {
	names := slices.Clone(r.config.Tasks.Bundles)
	added, err := os.ReadDir(r.config.tasksDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing added tasks: %w", err)
	}
	for _, e := range added {
		if strings.HasSuffix(e.Name(), ".bundle") {
			names = append(names, filepath.Join(r.config.tasksDir(), e.Name()))
		}
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("tasks.bundles: %s does not exist: write it with \"shoal metrics build\"", name)
		}
		if err != nil {
			return fmt.Errorf("reading tasks: %w", err)
		}
		added, err := r.read(b, now)
		if err != nil {
			return fmt.Errorf("reading tasks: %s: %w", name, err)
		}
		r.enter(added)
		r.bundles = append(r.bundles, servedBundle{name: servedName(b), text: b})
		if len(added) > 0 {
			continue
		}
		if why := r.nothing(b, now); why != "" {
			r.useless = append(r.useless, name+": "+why)
		}
	}
	if err := r.config.Floors.checkSums(r.tasks, now, r.costs); err != nil {
		return fmt.Errorf("reading tasks: %w", err)
	}
	return r.loadWithdrawn(now)
}

// nothing explains why nothing of a bundle is served, or "". A bundle that was made for
// another address or identity looks like one that has no questions yet.
func (r *registry) nothing(bundle []byte, now time.Time) string {
	b, err := task.ParseBundle(bundle)
	if err != nil {
		return err.Error()
	}
	ended := 0
	for _, signed := range b.Tasks {
		_, err := r.admit(signed, now)
		if err == nil {
			return ""
		}
		if errors.Is(err, errEnded) {
			ended++
		}
	}
	if ended > 0 {
		return fmt.Sprintf("its tasks for this organisation have expired (%d)", ended)
	}
	return fmt.Sprintf("none of its tasks (%d) names this organisation: %s, %s", len(b.Tasks), r.config.URL, task.FormatPublic(r.self))
}

// warnings lists what of the configuration serves nothing.
func (r *registry) warnings() []string {
	if len(r.tasks) > 0 || r.config.Has(task.Relay) { // which knows of none
		return r.useless
	}
	return append(slices.Clone(r.useless), "no task is served: list bundles under tasks.bundles and their owners under tasks.owners, or use \"shoal task add\"")
}

func (c Config) tasksDir() string { return filepath.Join(c.Data, "tasks") }

// add admits the tasks of a bundle, all or none, and returns those that are new.
func (r *registry) add(bundle []byte, now time.Time) ([]Task, error) {
	added, err := r.read(bundle, now)
	if err != nil {
		return nil, err
	}
	if err := r.config.Floors.checkSums(slices.Concat(r.tasks, added), now, r.costs); err != nil {
		return nil, err
	}
	r.enter(added)
	return added, nil
}

// enter remembers tasks that are new.
func (r *registry) enter(added []Task) {
	for _, t := range added {
		if i, known := r.places[place{t.ID, t.Hop}]; known { // it was withdrawn
			r.tasks[i] = t
			continue
		}
		r.places[place{t.ID, t.Hop}] = len(r.tasks)
		if _, known := r.byID[t.ID]; !known {
			r.byID[t.ID] = len(r.tasks)
		}
		r.tasks = append(r.tasks, t)
	}
}

// read returns the tasks of a bundle that this organisation takes part in and that
// are new.
func (r *registry) read(bundle []byte, now time.Time) ([]Task, error) {
	b, err := task.ParseBundle(bundle)
	if err != nil {
		return nil, err
	}
	var added []Task
	fresh := map[place]bool{}
	for i, signed := range b.Tasks {
		admitted, err := r.admit(signed, now)
		if errors.Is(err, errNotOurs) || errors.Is(err, errEnded) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", i+1, err)
		}
		for _, t := range admitted {
			at := place{t.ID, t.Hop}
			i, known := r.places[at]
			if (!known || !r.tasks[i].Until.IsZero()) && !fresh[at] {
				added, fresh[at] = append(added, t), true
			}
		}
	}
	return added, nil
}

// admit checks one task: its form, its owner's signature, this organisation's
// place in it, and the floors. An organisation can be leader or helper of a task
// and collector beside.
func (r *registry) admit(s *task.Signed, now time.Time) ([]Task, error) {
	// The form comes first, so that tasks of others need no known owner.
	parsed, err := task.Parse(s.Bytes)
	if err != nil {
		return nil, err
	}
	hops, err := r.hopsOf(parsed)
	if err != nil {
		return nil, fmt.Errorf("metric %q: %w", parsed.Metric, err)
	}
	t, id, err := s.Open(r.owners)
	if errors.Is(err, task.ErrNotAccepted) {
		return nil, fmt.Errorf("metric %q: its owner %s is not among tasks.owners", parsed.Metric, task.FormatPublic(parsed.Owner))
	}
	if err != nil {
		return nil, fmt.Errorf("metric %q: %w", parsed.Metric, err)
	}
	var admitted []Task
	for _, hop := range hops {
		if end, ends := r.over(t, partyAt(t, hop).Role); ends && now.After(end) {
			continue
		}
		admitted = append(admitted, Task{ID: id, Task: t, Signed: s, Hop: hop})
	}
	if len(admitted) == 0 {
		return nil, fmt.Errorf("metric %q: %w", t.Metric, errEnded)
	}
	if now.Unix() >= t.Expires { // it takes no more reports
		return admitted, nil
	}
	for _, a := range admitted {
		if err := r.config.Credentials.checkParty(t, partyAt(t, a.Hop)); err != nil {
			return nil, fmt.Errorf("metric %q: %w", t.Metric, err)
		}
	}
	if err := errors.Join(r.config.Floors.check(t, r.costs), r.config.Keys.checkRelayed(t)); err != nil {
		return nil, fmt.Errorf("metric %q: %w", t.Metric, err)
	}
	return admitted, nil
}

// over returns when nothing is left to do for a task: its last batch has closed
// and been handed over at the latest, and an analyzer has removed its tables.
// It returns false if the tables are kept until they are removed by hand.
func (r *registry) over(t *task.Task, role task.Role) (time.Time, bool) {
	end := time.Unix(t.Expires, 0).Add(t.Grace()).Add(r.config.Keys.Grace.D())
	switch role {
	case task.Leader, task.Helper:
		return end.Add(r.config.Aggregates.Expiry.D()), true
	case task.Shuffler, task.Randomness:
		return end, true
	}
	return end.AddDate(0, 0, int(t.RetentionDays)+1), t.RetentionDays > 0
}

// hopsOf finds this organisation among the parties. Identity and URL go together: a
// task that has one without the other was made for another server or by mistake,
// and is refused. An organisation that had two parts in one task could see what
// the parts must not see together; only the collector, which sees what both
// aggregators send it, can be combined with another part.
func (r *registry) hopsOf(t *task.Task) ([]int, error) {
	var at []int
	for i, h := range partiesAt(t) {
		if h.Role == task.Collector {
			if r.collector != nil && h.Identity.Equal(r.collector) {
				at = append(at, i)
			}
			continue
		}
		identity, address := h.Identity.Equal(r.self), h.URL == r.config.URL
		switch {
		case !identity && !address:
			continue
		case identity && !address:
			return nil, fmt.Errorf("hop %d names this identity at %s, but url is %s", i+1, h.URL, r.config.URL)
		case address && !identity:
			return nil, fmt.Errorf("hop %d names %s with another identity, %s", i+1, h.URL, task.FormatPublic(h.Identity))
		case len(at) > 0:
			return nil, errors.New("two of its hops are this organisation")
		}
		at = append(at, i)
	}
	if len(at) == 0 {
		return nil, errNotOurs
	}
	for _, i := range at {
		if role := partyAt(t, i).Role; !r.config.Has(role) {
			return nil, fmt.Errorf("it wants this organisation as %s, which is not among roles", role)
		}
	}
	return at, nil
}

// AddTasks admits the tasks of a bundle, all or none, for the next start of the
// organisation's server, and returns those that are new. For a running server use
// its management API.
func AddTasks(c Config, bundle []byte, now time.Time) ([]Task, error) {
	r, err := readRegistry(c, now)
	if err != nil {
		return nil, err
	}
	added, err := r.add(bundle, now)
	if err != nil || len(added) == 0 {
		return nil, err
	}
	return added, c.saveAdded(bundle, sha256.Sum256(bundle))
}

// UselessBundle explains why an organisation serves nothing of a bundle, or "".
func UselessBundle(c Config, bundle []byte, now time.Time) (string, error) {
	r, err := readRegistry(c, now)
	if err != nil {
		return "", err
	}
	return r.nothing(bundle, now), nil
}

// readRegistry admits what the organisation has.
func readRegistry(c Config, now time.Time) (*registry, error) {
	identity, err := LoadIdentity(c.identityPath())
	if err != nil {
		return nil, err
	}
	var collector ed25519.PublicKey
	if c.Has(task.Collector) {
		key, err := LoadIdentity(c.collectorIdentityPath())
		if err != nil {
			return nil, err
		}
		collector = key.Public()
	}
	r, err := newRegistry(c, identity.Public(), collector)
	if err != nil {
		return nil, err
	}
	return r, r.load(now)
}

// saveAdded stores a bundle that came through the management API.
func (c Config) saveAdded(bundle []byte, digest [32]byte) error {
	if err := os.MkdirAll(c.tasksDir(), 0o700); err != nil {
		return err
	}
	return writePrivate(filepath.Join(c.tasksDir(), strings.ToLower(hex.EncodeToString(digest[:16]))+".bundle"), bundle)
}
