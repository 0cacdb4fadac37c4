package encoder

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/metric/task"
)

func TestPairNumbers(t *testing.T) {
	i := 0
	for b := range 100 {
		for a := range b + 1 {
			if x, y := pair(i); x != a || y != b {
				t.Fatalf("pair %d is (%d, %d), want (%d, %d)", i, x, y, a, b)
			}
			i++
		}
	}
}

// draw returns an arbitrary record of the schema of apps.
func draw(t *rapid.T) map[string]any {
	return map[string]any{
		"app":     rapid.StringN(0, 5, 20).Draw(t, "app"),
		"os":      rapid.SampledFrom([]string{"linux", "darwin", "windows"}).Draw(t, "os"),
		"size":    rapid.IntRange(0, 1000).Draw(t, "size"),
		"crashed": rapid.Bool().Draw(t, "crashed"),
		"apis":    rapid.Uint64Range(0, 31).Draw(t, "apis"),
		"seen":    rapid.SliceOfN(rapid.IntRange(0, 99), 0, 8).Draw(t, "seen"),
	}
}

// only returns a schema of the named fields of apps.
func only(names ...string) task.Schema {
	var s task.Schema
	for _, f := range apps() {
		if slices.Contains(names, f.Name) {
			s = append(s, f)
		}
	}
	return s
}

// encoded returns the fragments of a drawn record, and the record.
func encoded(t *rapid.T, e *Encoder, x *task.Task) ([]task.Record, task.Record) {
	in := draw(t)
	plain, err := e.scrub(in)
	if err != nil {
		t.Fatal(err)
	}
	fragments, err := e.Encode(in, seeded(rapid.Byte().Draw(t, "seed")))
	if err != nil {
		t.Fatal(err)
	}
	var out []task.Record
	for _, f := range fragments {
		if !bytes.Equal(f.Payload, f.Plain) {
			t.Fatal("without randomised response, the plain form differs from the payload")
		}
		r, err := x.Decode(f.Payload)
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.Parse(f.Payload)
		if err != nil || !bytes.Equal(again.Crowd, f.Crowd) {
			t.Fatalf("parsed again, crowd %x, want %x: %v", again.Crowd, f.Crowd, err)
		}
		out = append(out, r)
	}
	return out, plain
}

func equal(a, b task.Value) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestFieldsApart(t *testing.T) {
	e, x := newTask(t, apps(), func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Fields, Keep: []uint8{0, 3}}
		x.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1}
	})
	rapid.Check(t, func(t *rapid.T) {
		fragments, plain := encoded(t, e, x)
		union := make(task.Record, len(plain))
		apart := 0
		for _, f := range fragments {
			for i, v := range f {
				if v == nil {
					continue
				}
				if !equal(v, plain[i]) {
					t.Fatalf("field %d is %v, want %v", i, v, plain[i])
				}
				if union[i] != nil && i != 0 && i != 3 {
					t.Fatalf("field %d is in two fragments", i)
				}
				if i != 0 && i != 3 {
					apart++
				}
				union[i] = v
			}
		}
		if slices.Contains(union, nil) || apart != 4 || len(fragments) != 4 {
			t.Fatalf("%d fragments with %d fields, union %v", len(fragments), apart, union)
		}
	})
}

func TestAllPairs(t *testing.T) {
	e, x := newTask(t, only("os", "seen"), func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Pairs, Field: 1, Keep: []uint8{0}}
	})
	rapid.Check(t, func(t *rapid.T) {
		fragments, plain := encoded(t, e, x)
		got, want := map[string]int{}, map[string]int{}
		for _, f := range fragments {
			got[fmt.Sprint(f[1])]++
		}
		list := plain[1].([]task.Value)
		for j := range list {
			for i := range j + 1 {
				want[fmt.Sprint([]task.Value{list[i], list[j]})]++
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("pairs %v, want %v", got, want)
		}
	})
}

// TestCappedPairsAreUniform draws 2 of the 6 pairs of a list many times: each of
// the 15 subsets must be as likely, in either order.
func TestCappedPairsAreUniform(t *testing.T) {
	e, x := newTask(t, only("seen"), func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Pairs, Cap: 2}
	})
	rnd := seeded(7)
	counts := map[string]int{}
	for range 15_000 {
		fragments, err := e.Encode(map[string]any{"seen": []int{1, 2, 3}}, rnd)
		if err != nil || len(fragments) != 2 {
			t.Fatal(len(fragments), err)
		}
		counts[fmt.Sprint(decode(t, x, fragments[0])[0], decode(t, x, fragments[1])[0])]++
	}
	var flat []int
	for _, n := range counts {
		flat = append(flat, n)
	}
	if len(flat) != 30 {
		t.Fatalf("%d ordered choices, want 30: %v", len(flat), counts)
	}
	chiSquare(t, "capped pairs", flat)
}

func TestTuples(t *testing.T) {
	for m := 1; m <= 8; m++ {
		e, x := newTask(t, only("seen"), func(x *task.Task) {
			x.Fragment = task.Fragment{Kind: task.Tuples, M: uint8(m)}
		})
		rapid.Check(t, func(t *rapid.T) {
			fragments, plain := encoded(t, e, x)
			list := plain[0].([]task.Value)
			var got, want []string
			for _, f := range fragments {
				got = append(got, fmt.Sprint(f[0]))
			}
			for i := 0; i+m <= len(list); i += m {
				want = append(want, fmt.Sprint(list[i:i+m]))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("tuples of %d: %v, want %v", m, got, want)
			}
		})
	}
}

func TestBits(t *testing.T) {
	for m := 1; m <= 5; m++ {
		e, x := newTask(t, only("app", "apis"), func(x *task.Task) {
			x.Fragment = task.Fragment{Kind: task.Bits, Field: 1, M: uint8(m), Keep: []uint8{0}}
			x.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0, 1}, SaltEpochs: 1}
		})
		rapid.Check(t, func(t *rapid.T) {
			fragments, plain := encoded(t, e, x)
			var union uint64
			seen := map[uint8]bool{}
			for _, f := range fragments {
				c := f[1].(task.SetChunk)
				if seen[c.Index] || f[0] != plain[0] {
					t.Fatalf("chunk %d twice, or app %v", c.Index, f[0])
				}
				seen[c.Index] = true
				union |= c.Bits << (int(c.Index) * m)
			}
			if union != plain[1] || len(fragments) != (5+m-1)/m {
				t.Fatalf("%d chunks of %d bits make %b, want %b", len(fragments), m, union, plain[1])
			}
		})
	}
	// A set of 64 in one chunk: shifts by 64 must not wrap.
	values := make([]string, 64)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	e, x := newTask(t, task.Schema{{Name: "s", Kind: task.Set, Values: values}}, func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Bits, M: 64}
	})
	fragments, err := e.Encode(map[string]any{"s": ^uint64(0)}, seeded(1))
	if err != nil || len(fragments) != 1 || decode(t, x, fragments[0])[0] != (task.SetChunk{Bits: ^uint64(0)}) {
		t.Errorf("%v, %v", fragments, err)
	}
}

// TestOrderOfFragmentsIsUniform covers an outbox that sends in order or cuts
// the tail off: the position of a fragment reveals nothing about it.
func TestOrderOfFragmentsIsUniform(t *testing.T) {
	e, x := newTask(t, only("seen"), func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Tuples, M: 1}
		x.PerEpoch, x.PerCrowd = 3, 1
	})
	rnd := seeded(8)
	counts := map[string]int{}
	for range 24_000 {
		fragments, err := e.Encode(map[string]any{"seen": []int{0, 1, 2, 3}}, rnd)
		if err != nil || len(fragments) != 3 {
			t.Fatal(len(fragments), err)
		}
		key := ""
		for _, f := range fragments {
			key += fmt.Sprint(decode(t, x, f)[0])
		}
		counts[key]++
	}
	var flat []int
	for _, n := range counts {
		flat = append(flat, n)
	}
	if len(flat) != 24 {
		t.Fatalf("%d orders, want 24", len(flat))
	}
	chiSquare(t, "orders of 3 out of 4", flat)
}

// TestOneDrawARecord covers averaging: all fragments of a record carry the same
// draw of a value, so that many fragments reveal no more than one.
func TestOneDrawARecord(t *testing.T) {
	schema := task.Schema{
		{Name: "on", Kind: task.Bool, Flip: 499_999},
		{Name: "seen", Kind: task.List, Elem: task.Enum, Max: 8, Values: []string{"a", "b", "c", "d"}, Flip: 1_000_000},
	}
	e, x := newTask(t, schema, func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Pairs, Field: 1, Keep: []uint8{0}}
	})
	rnd := seeded(9)
	for range 50 {
		fragments, err := e.Encode(map[string]any{"on": true, "seen": []string{"a", "a", "a"}}, rnd)
		if err != nil || len(fragments) != 6 {
			t.Fatal(len(fragments), err)
		}
		on := map[task.Value]bool{}
		pairs := map[string]int{}
		for _, f := range fragments {
			r := decode(t, x, f)
			on[r[0]] = true
			pairs[fmt.Sprint(r[1])]++
		}
		self := 0
		for _, v := range schema[1].Values {
			self += pairs[fmt.Sprint([]task.Value{v, v})]
		}
		if len(on) != 1 || self < 3 {
			t.Fatalf("fragments with %d draws of one bool, %d self-pairs of 3 elements: %v", len(on), self, pairs)
		}
	}
}

// TestEncodeRandomises compares payloads with their plain forms: the payload is
// what randomised response makes, the plain form what was recorded.
func TestEncodeRandomises(t *testing.T) {
	schema := task.Schema{{Name: "on", Kind: task.Bool, Flip: 250_000}}
	e, x := newTask(t, schema, nil)
	rnd := seeded(10)
	counts := make([]int, 2)
	for range 4000 {
		fragments, err := e.Encode(map[string]any{"on": true}, rnd)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := x.Decode(fragments[0].Plain)
		if err != nil || plain[0] != true {
			t.Fatalf("plain form %v, %v", plain, err)
		}
		if decode(t, x, fragments[0])[0] == true {
			counts[1]++
		} else {
			counts[0]++
		}
	}
	chiSquareOf(t, "payloads", counts, []float64{1000, 3000})
}

func TestCrowds(t *testing.T) {
	encode := func(kind task.CrowdKind, fields []uint8, change func(map[string]any)) (Fragment, *Encoder) {
		e, _ := newTask(t, apps(), func(x *task.Task) { x.Crowd.Kind, x.Crowd.Fields, x.Crowd.SaltEpochs = kind, fields, 7 })
		in := record()
		change(in)
		fragments, err := e.Encode(in, seeded(1))
		if err != nil {
			t.Fatal(err)
		}
		return fragments[0], e
	}
	same := func(map[string]any) {}
	otherApp := func(m map[string]any) { m["app"] = "dog" }
	otherOS := func(m map[string]any) { m["os"] = "darwin" }
	sameBucket := func(m map[string]any) { m["size"] = 58 }
	for _, c := range []struct {
		name   string
		kind   task.CrowdKind
		fields []uint8
		change func(map[string]any)
		one    bool
	}{
		{"constant", task.Constant, nil, otherApp, true},
		{"app, another os", task.Attributes, []uint8{0}, otherOS, true},
		{"app, another app", task.Attributes, []uint8{0}, otherApp, false},
		{"app and os, another os", task.Attributes, []uint8{0, 1}, otherOS, false},
		{"payload", task.Payload, nil, same, true},
		{"payload, another os", task.Payload, nil, otherOS, false},
		{"payload, another size of one bucket", task.Payload, nil, sameBucket, true},
	} {
		a, e := encode(c.kind, c.fields, same)
		b, _ := encode(c.kind, c.fields, c.change)
		if one := bytes.Equal(a.Crowd, b.Crowd); one != c.one {
			t.Errorf("%s: one crowd: %v", c.name, one)
		}
		if one := e.Tag(a, 70) == e.Tag(b, 76); one != c.one { // epochs of one salt window
			t.Errorf("%s: one tag: %v", c.name, one)
		}
		if c.kind != task.Constant && e.Tag(a, 76) == e.Tag(a, 77) {
			t.Errorf("%s: one tag in two salt windows", c.name)
		}
	}
}
