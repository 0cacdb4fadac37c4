package metric

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// A File is a metrics.yaml that parsed.
type File struct {
	Path    string       // as given, for messages
	Owner   string       // the name of the owner of the questions
	Hops    []task.Party // the shufflers and the analyzer of the file; empty if it names none
	Metrics []*Metric    // in the file's order

	Aggregators []task.Party // leader, helper and collector of the file; empty if it names none
	Relay       task.Party   // through which clients reach the others; zero if it names none
	Randomness  task.Party   // that evaluates for hardened quorums; zero if the file names none

	simulated bool // only simulated people answer
	rehearsal bool // its metrics are called so, see Rehearsal
}

// A Metric is one question of a file.
type Metric struct {
	Name string

	// task is the metric compiled, except the owner's key and the parties.
	task      task.Task
	sensitive []bool          // by field
	accepted  map[Risk]string // reasons, by risk
	declared  *cost.Declared
	aggregate bool
	// credential is the word of the key, "" without one.
	credential string
	// blinded is what the key says, nil without one.
	blinded   *bool
	ordinary  float64 // of an aggregate metric: the largest number of its example; 0 without one
	quorum    bool
	hardening hardening
	example   []any // by field: what an app might record, before coarsening
	at        *table
	fieldAt   []position
}

// Load reads and checks the file at path. An error of type [Problems] lists
// everything that is wrong with it at the moment now.
func Load(path string, now time.Time) (*File, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return Read(filepath.ToSlash(path), src, now)
}

// Read is [Load] of the bytes src; name is used for the file in messages.
func Read(name string, src []byte, now time.Time) (*File, error) {
	return read(name, src, now, false)
}

func read(name string, src []byte, now time.Time, simulated bool) (*File, error) {
	r := &reader{file: name}
	f := r.parse(src)
	if f != nil {
		f.simulated = simulated
		f.check(r, f.Hops, f.beside(nil), now)
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// Check judges the file again, with other parties than its own where parties
// names some: a crowd that two shufflers may handle may be too much for one.
func (f *File) Check(parties []task.Party, now time.Time) error {
	r := &reader{file: f.Path}
	hops, _ := f.parties(parties)
	f.check(r, hops, f.beside(parties), now)
	return r.problems.err()
}

// parties returns the parties that handle crowd reports and those that handle aggregate
// ones: those of all that have such roles, and those of the file where all has none.
func (f *File) parties(all []task.Party) (hops, aggregators []task.Party) {
	for _, p := range all {
		switch p.Role {
		case task.Shuffler, task.Analyzer:
			hops = append(hops, p)
		case task.Relay, task.Randomness:
		default:
			aggregators = append(aggregators, p)
		}
	}
	if len(hops) == 0 {
		hops = f.Hops
	}
	if len(aggregators) == 0 {
		aggregators = f.Aggregators
	}
	return hops, aggregators
}

// beside are the parties that are not on the way of reports; zero ones where a file has no such.
type beside struct{ relay, randomness task.Party }

// beside returns those among the parties, in place of those of the file.
func (f *File) beside(all []task.Party) beside {
	b := beside{f.Relay, f.Randomness}
	for _, p := range all {
		switch p.Role {
		case task.Relay:
			b.relay = p
		case task.Randomness:
			b.randomness = p
		}
	}
	return b
}

// The keys of a file, by place. Each is described in docs/reference/metrics.md.
func fileKeys() []string { return []string{"version", "owner", "parties", "metrics"} }

func partyKeys() []string {
	return []string{"shufflers", "analyzer", "leader", "helper", "collector", "relay", "randomness", "url", "identity"}
}

func metricKeys() []string {
	return slices.Concat([]string{
		"question", "consent", "method", "min_batch", "epoch", "max_delay", "clock_skew", "retention", "starts", "expires", "accept", "example", "credential",
	}, crowdKeys(), aggregateKeys())
}

// crowdKeys are those of metrics of the method crowd alone.
func crowdKeys() []string {
	return []string{"record", "fragment", "crowd", "second_crowd", "detail", "blinded", "salt_epochs", "encoding", "shares", "quorum", "privacy", "per_epoch", "per_crowd"}
}

// parse reads what it can; the metrics of the result are those without a
// problem of their own.
func (r *reader) parse(src []byte) *File {
	top := r.root(src)
	if top == nil {
		return nil
	}
	t := r.table(top, "file", fileKeys()...)
	if t == nil || !r.need(t, "file", "version", "owner", "metrics") {
		return nil
	}
	r.integer(t.values["version"], "version", 1, 1)
	f := &File{Path: r.file}
	f.Owner, _ = r.text(t.values["owner"], "owner", 1, 255)
	if n := t.values["parties"]; n != nil {
		r.parties(f, n)
	}
	metrics := r.table(t.values["metrics"], "metrics")
	if metrics == nil {
		return f
	}
	for _, name := range metrics.keys {
		r.metric = name
		before := len(r.problems)
		if !task.ValidMetric(name) {
			r.failAt(metrics.places[name], "name: want 1 to 64 of a-z, 0-9, '_' and '.'")
		}
		m := r.metricOf(name, metrics.values[name], metrics.places[name])
		if m != nil && len(r.problems) == before {
			m.task.OwnedBy = f.Owner
			f.Metrics = append(f.Metrics, m)
		}
		r.metric = ""
	}
	return f
}

// metricOf reads one metric. It goes on after a problem to find the next.
func (r *reader) metricOf(name string, n ast.Node, at position) *Metric {
	t := r.table(n, "metric", metricKeys()...)
	if t == nil {
		return nil
	}
	t.at = at
	m := &Metric{Name: name, at: t, accepted: map[Risk]string{}}
	m.task.Metric, m.task.Method = name, task.Crowd
	if v := t.values["method"]; v != nil {
		word, _ := r.oneOf(v, "method", "crowd", "aggregate")
		m.aggregate = word == "aggregate"
	}
	if m.aggregate {
		m.task.Method = task.Aggregate
		r.foreign(t, crowdKeys(), "crowd")
		r.need(t, "metric", "question", "consent", "type", "noise", "expires")
	} else {
		r.foreign(t, aggregateKeys(), "aggregate")
		r.encoding(m)
		r.need(t, "metric", "question", "consent", "record", "crowd", "privacy", "expires")
	}
	if v := t.values["question"]; v != nil {
		m.task.Question, _ = r.text(v, "question", 1, 1000)
	}
	if v := t.values["consent"]; v != nil {
		m.task.Consent, _ = r.text(v, "consent", 1, 4000)
	}
	r.times(m)
	if v := t.values["credential"]; v != nil {
		m.credential, _ = r.oneOf(v, "credential", credentialRequired, credentialNone)
	}
	if v := t.values["blinded"]; v != nil && !m.aggregate {
		word, ok := r.oneOf(v, "blinded", wordYes, wordNo)
		yes := ok && word == wordYes
		m.blinded = &yes
	}
	if v := t.values["accept"]; v != nil {
		r.accept(m, v)
	}
	if m.aggregate {
		r.aggregation(m)
		return m
	}
	r.caps(m)
	if v := t.values["record"]; v == nil || !r.record(m, v) {
		return nil
	}
	r.shape(m)
	if v := t.values["example"]; v != nil {
		r.exampleOf(m, v)
	}
	if v := t.values["privacy"]; v != nil {
		r.privacy(m, v)
	}
	return m
}

// foreign refuses keys that belong to the other method.
func (r *reader) foreign(t *table, keys []string, method string) {
	for _, k := range keys {
		if t.values[k] != nil {
			r.failAt(t.places[k], "%s: belongs to method: %s; remove it, or write that method", k, method)
		}
	}
}

// shape reads what depends on the schema: fragments and crowds.
func (r *reader) shape(m *Metric) {
	m.task.Crowd.SaltEpochs = uint32(r.integerOr(m.at, "salt_epochs", 1, 1, 1<<16))
	if v := m.at.values["fragment"]; v != nil {
		r.fragment(m, v)
	}
	if v := m.at.values["crowd"]; v != nil {
		r.crowd(m, v)
	}
	if v := m.at.values["second_crowd"]; v != nil {
		r.secondCrowd(m, v)
	}
	if v := m.at.values["detail"]; v != nil {
		m.task.Protection.Detail = r.fields(m, v, "detail")
	}
}

func (r *reader) crowd(m *Metric, n ast.Node) {
	c := &m.task.Crowd
	if s, ok := plainText(n); ok && s == "constant" {
		c.Kind = task.Constant
		return
	} else if ok && s == "payload" {
		c.Kind = task.Payload
		return
	}
	c.Kind = task.Attributes
	c.Fields = r.fields(m, n, "crowd")
}

// wordElements is the value of second_crowd by which the elements of a pair are the crowds.
const wordElements = "elements"

func (r *reader) secondCrowd(m *Metric, n ast.Node) {
	second := &m.task.Protection.Second
	if s, ok := plainText(n); ok && s == wordElements {
		second.Kind = task.OfElements
		return
	}
	second.Kind = task.OfFields
	second.Fields = r.fields(m, n, "second_crowd")
}

// fields reads the names of fields into increasing indexes.
func (r *reader) fields(m *Metric, n ast.Node, what string) []uint8 {
	names, _ := r.words(n, what)
	set := map[uint8]bool{}
	for _, name := range names {
		i := m.task.Schema.Index(name)
		if i < 0 {
			r.fail(n, "%s: the record has no field %q", what, name)
			continue
		}
		if set[uint8(i)] {
			r.fail(n, "%s: field %q stands twice", what, name)
		}
		set[uint8(i)] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// fragment reads a way to break up a record; "whole" is the way not to.
func (r *reader) fragment(m *Metric, n ast.Node) {
	if s, ok := plainText(n); ok && s == "whole" {
		return
	}
	t := r.table(n, "fragment", fragmentKeys()...)
	if t == nil || !r.need(t, "fragment", "by") {
		return
	}
	f := &m.task.Fragment
	kinds := map[string]task.FragmentKind{"fields": task.Fields, "pairs": task.Pairs, "tuples": task.Tuples, "bits": task.Bits}
	word, ok := r.oneOf(t.values["by"], "fragment by", slices.Sorted(maps.Keys(kinds))...)
	if !ok {
		return
	}
	f.Kind = kinds[word]
	if v := t.values["keep"]; v != nil {
		f.Keep = r.fields(m, v, "keep")
	}
	uses := map[task.FragmentKind][]string{
		task.Fields: nil, task.Pairs: {"of", "at_most"}, task.Tuples: {"of", "size"}, task.Bits: {"of", "size"},
	}[f.Kind]
	for _, key := range []string{"of", "size", "at_most"} {
		if !slices.Contains(uses, key) && t.values[key] != nil {
			r.failAt(t.places[key], "fragment: key %q has no meaning for %s; remove it", key, word)
		}
	}
	need := slices.DeleteFunc(slices.Clone(uses), func(k string) bool { return k == "at_most" })
	if !r.need(t, "fragment", need...) {
		return
	}
	if v := t.values["of"]; v != nil && len(uses) > 0 {
		if one := r.fields(m, v, "of"); len(one) == 1 {
			f.Field = one[0]
		} else {
			r.fail(v, "fragment: of: want one field")
		}
	}
	if v := t.values["size"]; v != nil {
		x, _ := r.integer(v, "size", 1, 255)
		f.M = uint8(x)
	}
	if v := t.values["at_most"]; v != nil {
		x, _ := r.integer(v, "at_most", 1, math.MaxUint16)
		f.Cap = uint16(x)
	}
}

func fragmentKeys() []string { return []string{"by", "of", "size", "at_most", "keep"} }

// times reads the clockwork of a metric.
func (r *reader) times(m *Metric) {
	t, k := m.at.values, &m.task
	epoch := r.durationOr(m, "epoch", 86400, 60, 366*86400)
	k.EpochSeconds = uint32(epoch)
	delay := min(epoch, 3600)
	if m.aggregate {
		delay = epoch // a device that is on once an epoch can send
	}
	k.MaxDelay = uint32(r.durationOr(m, "max_delay", delay, 60, 366*86400))
	k.ClockSkew = uint32(r.durationOr(m, "clock_skew", 300, 0, 86400))
	retention := r.durationOr(m, "retention", 90*86400, 86400, 36525*86400)
	if retention%86400 != 0 {
		r.fail(t["retention"], "retention: want whole days, as in 90d")
	}
	k.RetentionDays = uint32(retention / 86400)
	if v := t["starts"]; v != nil && epoch > 0 {
		if at, ok := r.date(v, "starts"); ok {
			k.NotBefore = (at.Unix() + epoch - 1) / epoch * epoch
		}
	}
	if v := t["expires"]; v != nil {
		if at, ok := r.date(v, "expires"); ok {
			k.Expires = at.Unix()
		}
	}
}

// caps reads how much one client may send and how much a batch must hold.
func (r *reader) caps(m *Metric) {
	m.task.PerEpoch = uint32(r.integerOr(m.at, "per_epoch", 1, 1, 1<<20))
	m.task.PerCrowd = uint32(r.integerOr(m.at, "per_crowd", 1, 1, 1<<20))
	r.minBatch(m)
}

func (r *reader) minBatch(m *Metric) {
	m.task.MinBatch = uint32(r.integerOr(m.at, "min_batch", 1000, 1, 1<<31))
}

func (r *reader) integerOr(t *table, key string, otherwise, low, high int64) int64 {
	if v := t.values[key]; v != nil {
		if x, ok := r.integer(v, key, low, high); ok {
			return x
		}
	}
	return otherwise
}

func (r *reader) durationOr(m *Metric, key string, otherwise, low, high int64) int64 {
	if v := m.at.values[key]; v != nil {
		if x, ok := r.duration(v, key, low, high); ok {
			return x
		}
	}
	return otherwise
}
