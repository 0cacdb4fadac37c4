package sdk_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A suite is a bundle, the keys that its parties serve, and what an app records, with
// all randomness: every implementation makes these bytes of it.
type suite struct {
	Owner  string   `json:"owner"`
	Bundle []byte   `json:"bundle"`
	Now    int64    `json:"now"`   // Unix milliseconds
	Crowd  []crowd  `json:"crowd"` // one a task
	Sums   []summed `json:"sums"`  // one a task
	Unfit  []byte   `json:"unfit"` // a bundle of tasks that the web SDK does not answer
}

// A crowd is one record of a task of the method crowd.
type crowd struct {
	Metric    string         `json:"metric"`
	Task      string         `json:"task"`
	Keys      []byte         `json:"keys"`    // the list that the first hop serves
	Secrets   []string       `json:"secrets"` // private keys, one a hop
	Record    map[string]any `json:"record"`
	Epoch     task.Epoch     `json:"epoch"`
	Random    []byte         `json:"random"`    // of the encoding
	Ephemeral [][]byte       `json:"ephemeral"` // secrets of the seals, in their order
	Fragments []fragment     `json:"fragments"`
}

type fragment struct {
	Payload []byte `json:"payload"`
	Tag     []byte `json:"tag"`
	Report  []byte `json:"report"`
}

// A summed is what an app recorded of an aggregate task in an epoch.
type summed struct {
	Metric    string       `json:"metric"`
	Lists     [2][]byte    `json:"lists"` // HPKE configurations of leader and helper
	Headers   [2]string    `json:"headers"`
	Secrets   [2]string    `json:"secrets"`
	Calls     []call       `json:"calls"`
	Epoch     task.Epoch   `json:"epoch"`
	Random    []byte       `json:"random"` // of calls and shares
	Ephemeral [][]byte     `json:"ephemeral"`
	ReportID  dap.ReportID `json:"-"`
	ID        []byte       `json:"id"` // the report's
	Task      []byte       `json:"task"`
	Config    []byte       `json:"config"`
	Report    []byte       `json:"report"`
	Numbers   []int64      `json:"numbers"` // what the report adds to each element of the sum
}

type call struct {
	Op    string `json:"op"`
	Value any    `json:"value"`
}

// A maker makes suites from one source of randomness.
type maker struct {
	t     *testing.T
	r     *mathrand.Rand
	bytes *mathrand.ChaCha8
	owner task.IdentityKey
	now   time.Time
}

func newMaker(t *testing.T, seed uint64) *maker {
	t.Helper()
	source := mathrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	m := &maker{t: t, r: mathrand.New(source), bytes: source, now: time.Date(2026, 12, 1, 10, 30, 0, 0, time.UTC)}
	m.owner = m.identity()
	return m
}

func (m *maker) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *maker) identity() task.IdentityKey {
	k, err := task.GenerateIdentityKey(m.bytes)
	m.must(err)
	return k
}

// between returns a number from low to high.
func (m *maker) between(low, high int) int { return low + m.r.IntN(high-low+1) }

func (m *maker) words(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", []string{"a", "schön", "B c", "日本"}[m.r.IntN(4)], i)
	}
	return out
}

func (m *maker) parties(roles ...task.Role) ([]task.Party, []task.IdentityKey) {
	var parties []task.Party
	var keys []task.IdentityKey
	for i, role := range roles {
		keys = append(keys, m.identity())
		parties = append(parties, task.Party{Role: role, URL: fmt.Sprintf("https://hop%d.example/%d", i, m.r.Uint32()), Identity: keys[i].Public()})
	}
	return parties, keys
}

func (m *maker) base(name string, method task.Method) *task.Task {
	epoch := uint32(m.between(1, 10) * 3600)
	from := m.now.Unix() - m.now.Unix()%int64(epoch) - int64(epoch)*int64(m.between(0, 5))
	return &task.Task{
		Owner: m.owner.Public(), OwnedBy: "Example", Metric: name, Question: "How — many?", Consent: "x", Method: method,
		MinBatch: uint32(m.between(1, 1000)), EpochSeconds: epoch, MaxDelay: uint32(m.between(0, 7200)), ClockSkew: uint32(m.between(0, 600)),
		NotBefore: from, Expires: from + int64(epoch)*int64(m.between(20, 90)) + int64(m.r.IntN(100)),
	}
}

// field returns a random field of a schema and a value of it, as JSON has it.
func (m *maker) field(name string, kind task.Kind) (task.Field, any) {
	f := task.Field{Name: name, Kind: kind}
	flip := func(most int) uint32 {
		if m.r.IntN(2) == 0 {
			return 0
		}
		return uint32(m.between(1, most))
	}
	element := func(kind task.Kind, length *uint16) func() any {
		switch kind {
		case task.String:
			*length = uint16(m.between(8, 300))
			return func() any { return m.words(1)[0] }
		case task.Enum:
			f.Values, f.Flip = m.words(m.between(2, 400)), flip(1_000_000)
			return func() any { return f.Values[m.r.IntN(len(f.Values))] }
		}
		f.Low = int64(m.between(-1_000_000, 1000))
		f.High = f.Low + int64(m.between(0, 1<<m.between(0, 40)))
		if m.r.IntN(2) == 0 {
			f.Buckets = []int64{f.Low}
			for b := f.Low + 1 + m.r.Int64N(1000); b <= f.High && len(f.Buckets) < 5; b += 1 + m.r.Int64N(1000) {
				f.Buckets = append(f.Buckets, b)
			}
		}
		return func() any { return f.Low + m.r.Int64N(f.High-f.Low+1) }
	}
	switch kind {
	case task.Bool:
		f.Flip = flip(499_999)
		return f, m.r.IntN(2) == 0
	case task.Set:
		f.Values, f.Flip = m.words(m.between(1, 64)), flip(499_999)
		in := []string{}
		for _, v := range f.Values {
			if m.r.IntN(3) == 0 {
				in = append(in, v)
			}
		}
		return f, in
	case task.List:
		f.Max, f.Elem = uint16(m.between(2, 12)), []task.Kind{task.String, task.Enum, task.Int}[m.r.IntN(3)]
		draw := element(f.Elem, &f.MaxStr)
		list := make([]any, m.between(0, int(f.Max)))
		for i := range list {
			list[i] = draw()
		}
		return f, list
	}
	return f, element(kind, &f.Max)()
}

// rule breaks the schema up in a random way that suits it.
func (m *maker) rule(t *task.Task) {
	n := len(t.Schema)
	others := func(i int) (keep []uint8) {
		for k := range n {
			if k != i {
				keep = append(keep, uint8(k))
			}
		}
		return keep
	}
	i := m.r.IntN(n)
	f := &t.Schema[i]
	switch {
	case m.r.IntN(3) == 0:
	case f.Kind == task.Set:
		t.Fragment = task.Fragment{Kind: task.Bits, Field: uint8(i), M: uint8(min(m.between(1, 9), len(f.Values))), Keep: others(i)}
	case f.Kind == task.List && m.r.IntN(2) == 0:
		t.Fragment = task.Fragment{Kind: task.Pairs, Field: uint8(i), Cap: uint16(m.r.IntN(4)), Keep: others(i)}
	case f.Kind == task.List:
		t.Fragment = task.Fragment{Kind: task.Tuples, Field: uint8(i), M: uint8(m.between(1, int(f.Max))), Keep: others(i)}
	case n > 1:
		t.Fragment = task.Fragment{Kind: task.Fields, Keep: others(i)}
	}
	t.Crowd = task.CrowdRule{Kind: task.CrowdKind(m.r.IntN(3)), SaltEpochs: uint32(m.between(1, 5))}
	if t.Crowd.Kind != task.Attributes {
		return
	}
	t.Crowd.Fields = t.Fragment.Keep
	if len(t.Crowd.Fields) == 0 {
		t.Crowd.Kind = task.Payload
		if t.Fragment.Kind == task.Whole {
			t.Crowd.Kind, t.Crowd.Fields = task.Attributes, []uint8{uint8(m.r.IntN(n))}
		}
	}
}

// crowd makes a task of the method crowd and one record of it.
func (m *maker) crowd(name string, kinds ...task.Kind) (*task.Task, crowd) {
	t := m.base(name, task.Crowd)
	c := crowd{Metric: name, Record: map[string]any{"not in the schema": 1}, Epoch: t.EpochAt(m.now)}
	for i, k := range kinds {
		f, v := m.field(fmt.Sprintf("f%d", i), k)
		t.Schema = append(t.Schema, f)
		c.Record[f.Name] = v
	}
	m.rule(t)
	t.Threshold = task.Threshold{Kind: task.Naive, T: 20}
	t.PerEpoch = uint32(m.between(1, 40))
	t.PerCrowd = uint32(m.between(1, int(t.PerEpoch)))
	roles := []task.Role{task.Shuffler, task.Shuffler, task.Shuffler, task.Analyzer}[m.between(0, 2):]
	parties, identities := m.parties(roles...)
	t.Hops = parties
	size, err := task.SizeClass(t.MaxContent())
	m.must(err)
	t.PayloadSize = size
	m.crowdKeys(t, &c, identities)
	return t, c
}

func (m *maker) crowdKeys(t *task.Task, c *crowd, identities []task.IdentityKey) {
	var list task.KeyConfigList
	var keys []task.Key
	from, to := m.now.Add(-time.Hour), m.now.Add(48*time.Hour)
	for i, hop := range t.Hops {
		k, err := esa.GenerateKey(esa.X25519, from, to, m.bytes)
		m.must(err)
		stale, err := esa.GenerateKey(esa.X25519, from.Add(-48*time.Hour), from, m.bytes)
		m.must(err)
		text, err := k.Text()
		m.must(err)
		c.Secrets = append(c.Secrets, text)
		keys = append(keys, k.Public())
		config := &task.KeyConfig{Role: hop.Role, Identity: hop.Identity, Keys: []task.Key{stale.Public(), k.Public()}, NotBefore: from.Unix(), NotAfter: to.Unix()}
		signed, err := task.SignKeyConfig(config, identities[i])
		m.must(err)
		list = append(list, signed)
	}
	b, err := list.Encode()
	m.must(err)
	c.Keys = b
	id, err := t.ID()
	m.must(err)
	c.Task = id.String()
	e, err := encoder.New(t, id)
	m.must(err)
	random := &recorder{from: m.bytes}
	fragments, err := e.Encode(c.Record, random)
	m.must(err)
	c.Random = random.read
	seed := m.r.Uint64()
	c.Ephemeral = ephemeral(m.t, seed, len(fragments)*len(keys))
	cryptotest.SetGlobalRandom(m.t, seed)
	for _, f := range fragments {
		report, err := e.Seal(f, c.Epoch, keys)
		m.must(err)
		tag := e.Tag(f, c.Epoch)
		c.Fragments = append(c.Fragments, fragment{f.Payload, tag[:], report})
	}
}

// ephemeral returns the secrets of the n seals that follow SetGlobalRandom with seed.
func ephemeral(t *testing.T, seed uint64, n int) [][]byte {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	out := [][]byte{}
	for range n {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k.Bytes())
	}
	return out
}

// A recorder remembers what was read.
type recorder struct {
	from io.Reader
	read []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.read = append(r.read, p[:n]...)
	return n, err
}

// aggregation returns a random aggregation of a kind; its chunk length is often one
// that leaves the last chunk short.
func (m *maker) aggregation(of kind.Kind) task.Aggregation {
	a := task.Aggregation{Variant: task.Variants()[m.r.IntN(3)], Presence: kind.Presence(m.r.IntN(2))}
	elements := 0
	var with func(chunk uint32) kind.Kind
	switch of.(type) {
	case kind.Count, kind.Sum:
		most := uint64(1) << m.r.IntN(37)
		most += m.r.Uint64N(most)
		a.Kind = kind.Sum{Max: most}
		if _, ok := of.(kind.Count); ok {
			a.Kind = kind.Count{Max: most}
		}
	case kind.Mean:
		most := uint64(m.between(1, 5000))
		elements, with = 20, func(c uint32) kind.Kind { return kind.Mean{Max: most, Chunk: c} }
	case kind.Histogram:
		b := int64(m.between(-50, 50))
		var bounds []int64
		for range m.between(1, 30) {
			bounds = append(bounds, b)
			b += int64(m.between(1, 50))
		}
		elements, with = len(bounds), func(c uint32) kind.Kind { return kind.Histogram{Bounds: bounds, Chunk: c} }
	case kind.Categories:
		labels := m.words(m.between(2, 30))
		elements, with = len(labels), func(c uint32) kind.Kind { return kind.Categories{Labels: labels, Chunk: c} }
	case kind.Multihot:
		labels := m.words(m.between(1, 30))
		most := uint64(m.between(1, len(labels)))
		elements, with = len(labels), func(c uint32) kind.Kind { return kind.Multihot{Labels: labels, Max: most, Chunk: c} }
	case kind.Vector:
		length, most := uint32(m.between(1, 12)), uint64(m.between(1, 300))
		elements, with = int(length)*8, func(c uint32) kind.Kind { return kind.Vector{Length: length, Max: most, Chunk: c} }
	}
	if with != nil {
		a.Kind = with(uint32(m.between(1, elements+2)))
		if m.r.IntN(4) == 0 {
			a, _ = task.WithChunk(a)
		}
	}
	m.noise(&a)
	return a
}

func (m *maker) noise(a *task.Aggregation) {
	switch m.r.IntN(3) {
	case 0:
		a.Noise = dp.Noise{Mechanism: dp.Gaussian, Num: 7, Den: 2}
	case 1:
		a.Noise = dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 3, Sensitivity: 1 << 38}
	}
}

// calls returns what an app may record of an aggregation.
func (m *maker) calls(a *task.Aggregation) []call {
	var out []call
	for range m.r.IntN(4) {
		c := call{Op: "observe"}
		amount := func(most uint64) call { return call{"add", m.r.Int64N(int64(min(most, 1<<50)) + 2)} }
		switch k := a.Kind.(type) {
		case kind.Count:
			c = amount(k.Max)
		case kind.Sum:
			c = amount(k.Max)
		case kind.Mean:
			c.Value = float64(m.between(-20, int(k.Max)*8)) / 4
		case kind.Histogram:
			c.Value = float64(m.between(-200, 600)) / 4
		case kind.Categories:
			c.Value = k.Labels[m.r.IntN(len(k.Labels))]
		case kind.Multihot:
			list := []string{}
			for range m.r.IntN(5) {
				list = append(list, k.Labels[m.r.IntN(len(k.Labels))])
			}
			c.Value = list
		case kind.Vector:
			list := make([]int, k.Length)
			for i := range list {
				list[i] = m.r.IntN(int(k.Max) + 2)
			}
			c = call{"vector", list}
		}
		out = append(out, c)
	}
	return out
}

// sum makes an aggregate task and one report of it.
func (m *maker) sum(name string, a task.Aggregation) (*task.Task, summed) {
	t := m.base(name, task.Aggregate)
	t.MaxDelay = min(t.MaxDelay, t.EpochSeconds)
	t.Aggregation = a
	parties, identities := m.parties(task.Leader, task.Helper, task.Collector)
	t.Hops = parties
	s := summed{Metric: name, Epoch: t.EpochAt(m.now), Calls: m.calls(&a)}
	id, err := t.ID()
	m.must(err)
	made, err := taskconfig.New(t, id)
	m.must(err)
	taskID := made.ID()
	s.Task, s.Config = taskID[:], made.Bytes()
	var configs [2]dap.HpkeConfig
	for i, role := range []dap.Role{dap.Leader, dap.Helper} {
		configs[i] = m.dapKeys(&s, i, role, identities[i])
	}
	q, err := t.Aggregation.Measure()
	m.must(err)
	random := &recorder{from: m.bytes}
	tally := q.Empty()
	for _, c := range s.Calls {
		m.must(say(tally, c, random))
	}
	_, err = m.bytes.Read(s.ReportID[:])
	m.must(err)
	s.ID = s.ReportID[:]
	seed := m.r.Uint64()
	s.Ephemeral = ephemeral(m.t, seed, 2)
	cryptotest.SetGlobalRandom(m.t, seed)
	report, err := client.Make(made, tally, client.Keys{Leader: configs[0], Helper: configs[1]}, s.ReportID, dap.Time(s.Epoch), random)
	m.must(err)
	s.Random = random.read
	s.Report, err = client.Encode(made, report)
	m.must(err)
	s.Numbers = opened(m.t, t, &s, s.Report)
	return t, s
}

func say(t *kind.Tally, c call, random io.Reader) error {
	switch c.Op {
	case "add":
		return t.Add(c.Value.(int64))
	case "vector":
		return t.Vector(c.Value)
	}
	return t.Observe(c.Value, random)
}

// dapKeys makes the keys that an aggregator serves: behind one that the SDK does not
// know, one with AES-128-GCM or AES-256-GCM.
func (m *maker) dapKeys(s *summed, i int, role dap.Role, identity task.IdentityKey) dap.HpkeConfig {
	unknown, err := dapkey.Generate(9, hpke.P256, m.bytes)
	m.must(err)
	secret := make([]byte, 32)
	_, err = m.bytes.Read(secret)
	m.must(err)
	private, err := ecdh.X25519().NewPrivateKey(secret)
	m.must(err)
	key, err := dapkey.New(dap.HpkeConfig{
		ID: dap.HpkeConfigID(m.r.IntN(9)), KEM: task.KEMX25519, KDF: dap.KDFHKDFSHA256,
		AEAD: []uint16{dap.AEADAES128GCM, dap.AEADAES256GCM}[m.r.IntN(2)], PublicKey: private.PublicKey().Bytes(),
	}, secret)
	m.must(err)
	s.Secrets[i], err = key.Text()
	m.must(err)
	list := dap.HpkeConfigList{unknown.Config(), key.Config()}
	s.Lists[i], err = dap.NewCodec(dap.DAP18()).Encode(&list)
	m.must(err)
	s.Headers[i] = dap.SignConfigs(identity, role, s.Lists[i], m.now.Add(30*24*time.Hour))
	return key.Config()
}

// suite makes a suite of a bundle with these tasks and their cases.
func (m *maker) suite(tasks []*task.Task, crowds []crowd, sums []summed) *suite {
	var b task.Bundle
	for _, t := range tasks {
		signed, err := task.Sign(t, m.owner)
		m.must(err)
		b.Tasks = append(b.Tasks, signed)
	}
	encoded, err := b.Encode()
	m.must(err)
	return &suite{Owner: task.FormatPublic(m.owner.Public()), Bundle: encoded, Now: m.now.UnixMilli(), Crowd: crowds, Sums: sums}
}

var kinds = []task.Kind{task.String, task.Enum, task.Int, task.Bool, task.Set, task.List}

// randomSuite is a bundle of random tasks.
func randomSuite(t *testing.T, seed uint64, n int) *suite {
	t.Helper()
	m := newMaker(t, seed)
	var tasks []*task.Task
	var crowds []crowd
	var sums []summed
	for i := range n {
		var of []task.Kind
		for range m.between(1, 9) {
			of = append(of, kinds[m.r.IntN(len(kinds))])
		}
		x, c := m.crowd(fmt.Sprintf("crowd.%d", i), of...)
		y, s := m.sum(fmt.Sprintf("sum.%d", i), m.aggregation(kind.All()[m.between(1, 7)-1]))
		tasks, crowds, sums = append(tasks, x, y), append(crowds, c), append(sums, s)
	}
	return m.suite(tasks, crowds, sums)
}

// goldenSuite is the one that is committed.
func goldenSuite(t *testing.T) *suite {
	t.Helper()
	m := newMaker(t, 1)
	var tasks []*task.Task
	var crowds []crowd
	var sums []summed
	for i, of := range [][]task.Kind{
		{task.String}, {task.Enum, task.Bool}, {task.Int}, {task.Set}, {task.List}, {task.List, task.Int}, {task.Set, task.Enum}, kinds,
	} {
		x, c := m.crowd(fmt.Sprintf("crowd.%d", i), of...)
		tasks, crowds = append(tasks, x), append(crowds, c)
	}
	bounds := func(n int) (out []int64) {
		for i := range n {
			out = append(out, int64(10*i))
		}
		return out
	}
	for i, a := range []task.Aggregation{
		{Kind: kind.Count{Max: 1}},
		{Kind: kind.Count{Max: 5}, Presence: kind.Revealed},
		{Kind: kind.Sum{Max: 1000}, Noise: dp.Noise{Mechanism: dp.Gaussian, Num: 40, Den: 1}},
		{Kind: kind.Sum{Max: 1<<64 - 1<<32}},
		{Kind: kind.Mean{Max: 60, Chunk: 5}},
		{Kind: kind.Histogram{Bounds: bounds(10), Chunk: 3}, Presence: kind.Revealed}, // the last chunk is short
		{Kind: kind.Histogram{Bounds: bounds(3), Chunk: 2}, Presence: kind.Revealed},
		{Kind: kind.Histogram{Bounds: bounds(98), Chunk: 10}},
		{Kind: kind.Categories{Labels: m.words(6), Chunk: 4}, Noise: dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 1, Sensitivity: 2}},
		{Kind: kind.Multihot{Labels: m.words(10), Max: 3, Chunk: 5}},
		{Kind: kind.Vector{Length: 5, Max: 7, Chunk: 4}},
		{Kind: kind.Vector{Length: 1, Max: 1, Chunk: 1}},
	} {
		a.Variant = task.Variants()[i%3]
		x, s := m.sum(fmt.Sprintf("sum.%d", i), a)
		tasks, sums = append(tasks, x), append(sums, s)
	}
	s := m.suite(tasks, crowds, sums)
	s.Unfit = m.suite(m.unfit(), nil, nil).Bundle
	return s
}

// unfit returns tasks that need more than the web SDK has.
func (m *maker) unfit() []*task.Task {
	quorum, _ := m.crowd("quorum", task.Enum)
	quorum.Schema[0].Flip, quorum.Fragment = 0, task.Fragment{}
	quorum.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
	quorum.Encoding = task.Encoding{Kind: task.Quorum, Shares: 10}
	size, err := task.SizeClass(quorum.MaxContent())
	m.must(err)
	quorum.PayloadSize = size
	credential, _ := m.crowd("credential", task.Bool)
	credential.Extensions = []uint16{7}
	out := []*task.Task{quorum, credential}
	for i, a := range []task.Aggregation{{Kind: kind.LInfGradient{Length: 4, Bound: 1, Bits: 8}}, {Kind: kind.Bounded{Length: 4, Max: 9}}} {
		name := []string{"gradient", "bounded"}[i]
		a.Variant = "dap-18"
		a, err := task.WithChunk(a)
		m.must(err)
		x := m.base(name, task.Aggregate)
		x.Hops, _ = m.parties(task.Leader, task.Helper, task.Collector)
		x.Aggregation, x.MaxDelay = a, 60
		out = append(out, x)
	}
	return out
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// tasks returns the tasks of the suite by metric.
func (s *suite) tasks(t *testing.T) map[string]*task.Task {
	t.Helper()
	b, err := task.ParseBundle(s.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*task.Task{}
	for _, signed := range b.Tasks {
		x, err := task.Parse(signed.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out[x.Metric] = x
	}
	return out
}
