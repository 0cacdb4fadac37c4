package oblivious

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// memory is a file in memory that notes its accesses, and may be changed between
// writing and reading.
type memory struct {
	bytes  []byte
	trace  []string
	change func(b []byte)
}

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	m.trace = append(m.trace, fmt.Sprintf("w%d,%d", at, len(b)))
	if end := int(at) + len(b); end > len(m.bytes) {
		m.bytes = append(m.bytes, make([]byte, end-len(m.bytes))...)
	}
	return copy(m.bytes[at:], b), nil
}

func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	m.trace = append(m.trace, fmt.Sprintf("r%d,%d", at, len(b)))
	if m.change != nil {
		m.change(m.bytes)
		m.change = nil
	}
	n := copy(b, m.bytes[min(int(at), len(m.bytes)):])
	if n < len(b) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// stashed returns the numbers of rows of 8 bytes after a shuffle.
func stashed(p StashParameters, seed [SeedSize]byte, between *memory) ([]int, error) {
	const size = 8
	var input []byte
	for i := range p.Rows {
		input = binary.LittleEndian.AppendUint64(input, uint64(i))
	}
	var output bytes.Buffer
	err := StashShuffle(p, size, seed, StashFiles{
		Input:   func() (io.Reader, error) { return bytes.NewReader(input), nil },
		Between: between,
		Output:  func() (io.Writer, error) { output.Reset(); return &output, nil },
	})
	var order []int
	for b := output.Bytes(); len(b) > 0; b = b[size:] {
		order = append(order, int(binary.LittleEndian.Uint64(b)))
	}
	return order, err
}

func TestStashShuffleIsUniform(t *testing.T) {
	r := seeded(20)
	for n, limit := range map[int]float64{4: 85, 5: 230} {
		p := StashParameters{Rows: n, Buckets: 2, Chunk: 2, Drain: 3, Stash: 6, Window: 2}
		chiSquare(t, n, limit, func() []int {
			order, err := stashed(p, seedOf(r), new(memory))
			if err != nil {
				t.Fatal(err)
			}
			return order
		})
	}
}

// TestStashShuffle covers shapes whose last bucket is short, or empty.
func TestStashShuffle(t *testing.T) {
	r := seeded(21)
	for _, p := range []StashParameters{
		{Rows: 1, Buckets: 1, Chunk: 1, Window: 1},
		{Rows: 9, Buckets: 5, Chunk: 3, Drain: 9, Stash: 20, Window: 5},
		{Rows: 10, Buckets: 7, Chunk: 3, Drain: 9, Stash: 20, Window: 7},
		{Rows: 1000, Buckets: 10, Chunk: 16, Drain: 20, Stash: 200, Window: 4},
		{Rows: 40000, Buckets: 40, Chunk: 36, Drain: 30, Stash: 1000, Window: 3},
	} {
		order, err := stashed(p, seedOf(r), new(memory))
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		if p.Rows >= 1000 && slices.IsSorted(order) {
			t.Errorf("%+v: nothing was shuffled", p)
		}
		slices.Sort(order)
		for i := range order {
			if order[i] != i || len(order) != p.Rows {
				t.Fatalf("%+v: row %d is lost", p, i)
			}
		}
	}
}

// TestStashTrace holds the accesses of two orders of one shape against each other.
// Threat: an operating system that watches the files.
func TestStashTrace(t *testing.T) {
	p := StashParameters{Rows: 1000, Buckets: 10, Chunk: 16, Drain: 20, Stash: 200, Window: 4}
	var files [2]memory
	for i := range files {
		if _, err := stashed(p, [SeedSize]byte{byte(i)}, &files[i]); err != nil {
			t.Fatal(err)
		}
	}
	if len(files[0].trace) == 0 || !slices.Equal(files[0].trace, files[1].trace) {
		t.Error("the accesses of two orders differ")
	}
	if len(files[0].bytes) != p.Slots()*(8+SlotOverhead) {
		t.Errorf("%d bytes between, want %d", len(files[0].bytes), p.Slots()*(8+SlotOverhead))
	}
	if bytes.Equal(files[0].bytes[:1000], files[1].bytes[:1000]) {
		t.Error("two seeds write the same bytes")
	}
}

// TestStashTampering covers an operating system that changes what it stores: by a
// bit, by exchanging two slots, and by replaying another run. Each would break that a
// report counts once.
func TestStashTampering(t *testing.T) {
	p := StashParameters{Rows: 100, Buckets: 5, Chunk: 8, Drain: 12, Stash: 60, Window: 3}
	const length = 8 + SlotOverhead
	var other memory
	if _, err := stashed(p, [SeedSize]byte{1}, &other); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b []byte){
		"bit":      func(b []byte) { b[len(b)/2] ^= 1 },
		"exchange": func(b []byte) { a, c := slices.Clone(b[:length]), b[length:2*length]; copy(b, c); copy(c, a) },
		"bucket": func(b []byte) {
			n := p.slots() * length
			a, c := slices.Clone(b[:n]), b[n:2*n]
			copy(b, c)
			copy(c, a)
		},
		"replay": func(b []byte) { copy(b, other.bytes) },
		"zero":   func(b []byte) { clear(b[:length]) },
	} {
		_, err := stashed(p, [SeedSize]byte{2}, &memory{change: change})
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStashStartsAgain covers parameters that fail now and then: each attempt has new
// keys, and the rows that arrive are those of one attempt.
func TestStashStartsAgain(t *testing.T) {
	p := StashParameters{Rows: 64, Buckets: 4, Chunk: 5, Drain: 1, Stash: 16, Window: 2}
	again := 0
	for i := range 60 {
		var between memory
		order, err := stashed(p, [SeedSize]byte{byte(i)}, &between)
		if errors.Is(err, ErrStash) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if between.trace[0] == "w0,125" && strings.Count(strings.Join(between.trace, " "), "w0,125") > 1 {
			again++
		}
		slices.Sort(order)
		for k := range order {
			if order[k] != k || len(order) != p.Rows {
				t.Fatalf("seed %d: row %d is lost", i, k)
			}
		}
	}
	if again == 0 {
		t.Error("no shuffle started again: the parameters do not test it")
	}
}

func TestStashRefuses(t *testing.T) {
	good := StashParameters{Rows: 4, Buckets: 2, Chunk: 2, Drain: 3, Stash: 6, Window: 2}
	for want, change := range map[string]func(p *StashParameters){
		"0 rows":      func(p *StashParameters) { p.Rows = 0 },
		"5 buckets":   func(p *StashParameters) { p.Buckets = 5 },
		"chunk 0":     func(p *StashParameters) { p.Chunk = 0 },
		"window 0":    func(p *StashParameters) { p.Window = 0 },
		"stash -1":    func(p *StashParameters) { p.Stash = -1 },
		"2147483646 ": func(p *StashParameters) { p.Chunk = 1 << 31 },
	} {
		p := good
		change(&p)
		if _, err := stashed(p, [SeedSize]byte{}, new(memory)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
		if _, err := p.Log2Failure(); err == nil {
			t.Errorf("%+v has a probability", p)
		}
	}
	files := StashFiles{
		Input:   func() (io.Reader, error) { return strings.NewReader("too short"), nil },
		Between: new(memory),
		Output:  func() (io.Writer, error) { return io.Discard, nil },
	}
	if err := StashShuffle(good, 8, [SeedSize]byte{}, files); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short batch: %v", err)
	}
	if err := StashShuffle(good, 0, [SeedSize]byte{}, files); err == nil {
		t.Error("rows of 0 bytes")
	}
}

// TestStashSecurity compares with the parameters of Table 1 of the paper, which states
// the logarithm of what they reach, and with the least drain for some probabilities,
// computed independently.
func TestStashSecurity(t *testing.T) {
	for _, c := range []struct {
		p     StashParameters
		paper float64
	}{
		{StashParameters{Rows: 10e6, Buckets: 1000, Chunk: 25, Drain: 40, Stash: 40e3, Window: 4}, -80.1},
	} {
		got, err := c.p.Log2Failure()
		if err != nil {
			t.Fatal(err)
		}
		if got > c.paper {
			t.Errorf("%+v fails with 2^%.1f, the paper says 2^%.1f", c.p, got, c.paper)
		}
		if over := c.p.Overhead(); math.Abs(over-3.50) > 0.01 {
			t.Errorf("overhead %.2f", over)
		}
	}
	for drain, want := range map[int]float64{29: -64, 57: -128} {
		p := StashParameters{Rows: 10e6, Buckets: 1000, Chunk: 25, Drain: drain, Stash: 40e3, Window: 4}
		got, err := p.Log2Failure()
		if err != nil {
			t.Fatal(err)
		}
		p.Drain--
		less, err := p.Log2Failure()
		if err != nil {
			t.Fatal(err)
		}
		if got > want || less <= want {
			t.Errorf("drain %d fails with 2^%.2f, one less with 2^%.2f: want the least for 2^%.0f", drain, got, less, want)
		}
	}
}

// TestStashSecurityAgainstSimulation runs the queue of one bucket: the exact
// distribution and the frequencies agree, and real shuffles fail no more often than the
// bound.
func TestStashSecurityAgainstSimulation(t *testing.T) {
	p := StashParameters{Rows: 64, Buckets: 4, Chunk: 5, Drain: 3, Stash: 64, Window: 4}
	arrivals := binomial(p.bucket(), 1/float64(p.Buckets), queueStates+p.Chunk)
	queue := []float64{0: 1, queueStates - 1: 0}
	beyond := 0.0
	for range p.Buckets {
		queue, beyond = p.step(queue, beyond, arrivals)
	}
	exact := 0.0
	for q := p.Drain + 1; q < len(queue); q++ {
		exact += queue[q]
	}
	const runs = 200000
	r := rand.New(seeded(22))
	fails := 0
	for range runs {
		q := 0
		for range p.Buckets {
			for range p.bucket() {
				if r.IntN(p.Buckets) == 0 {
					q++
				}
			}
			q = max(0, q-p.Chunk)
		}
		if q > p.Drain {
			fails++
		}
	}
	// Within 3.3 standard deviations (99.9 %); the seed is fixed.
	if sd := math.Sqrt(runs * exact * (1 - exact)); math.Abs(float64(fails)-runs*exact) > 3.3*sd {
		t.Errorf("%d of %d queues overflow, want %.1f ± %.1f", fails, runs, runs*exact, 3.3*sd)
	}
	bound, err := p.Log2Failure()
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i := range 3000 {
		seeds, err := newSource([SeedSize]byte{byte(i), byte(i >> 8), 7})
		if err != nil {
			t.Fatal(err)
		}
		s := stashRun{StashParameters: p, size: 8, files: StashFiles{
			Input:   func() (io.Reader, error) { return bytes.NewReader(make([]byte, 8*p.Rows)), nil },
			Between: new(memory),
		}}
		if err := s.start(seeds); err != nil {
			t.Fatal(err)
		}
		if errors.Is(s.distribute(), ErrStash) {
			failed++
		}
	}
	if limit := 3000 * math.Exp2(bound); float64(failed) > limit || failed == 0 {
		t.Errorf("%d of 3000 shuffles fail, the bound is %.1f", failed, limit)
	}
}
