package task_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
	"pgregory.net/rapid"
)

func TestGoldenPayload(t *testing.T) {
	b, err := sample().Encode(sampleRecord())
	want := strings.Join([]string{
		"ff80",           // all nine fields present
		"06656469746f72", // "editor"
		"01",             // "abort" is value 1
		"01",             // 60 is bucket 1
		"012c",           // 297 - -3
		"01",             // true
		"0005",           // the whole set; bits 0 and 2
		"02046d61696e0464726177",
		"0101",
		"020100",
	}, "")
	if got := hex.EncodeToString(must(t, b, err)); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	rec, err := sample().Decode(b)
	if !reflect.DeepEqual(must(t, rec, err), sampleRecord()) {
		t.Errorf("decoded %v", rec)
	}
}

func TestEncodeRefuses(t *testing.T) {
	s := sample().Schema
	for _, c := range []struct {
		field int
		value task.Value
		want  string
	}{
		{0, 7, "want string"},
		{0, int64(7), "want string"},
		{0, strings.Repeat("x", 65), "65 bytes, want at most 64"},
		{0, "\xff", "not UTF-8"},
		{1, "term", "not one of its values"},
		{2, "term", "want int"},
		{2, int64(61), "not a bucket's lower bound"},
		{2, int64(-1), "out of range"},
		{3, int64(301), "out of range"},
		{4, int64(1), "want a bool"},
		{5, "net", "want a set"},
		{5, uint64(8), "bits beyond"},
		{5, task.SetChunk{Index: 3}, "chunk 3"},
		{6, "main", "want a list"},
		{6, []task.Value{"1", "2", "3", "4", "5"}, "5 elements, want at most 4"},
		{6, []task.Value{nil}, "want string"},
		{7, []task.Value{"kernel"}, "not one of its values"},
		{8, []task.Value{int64(11)}, "not a bucket's lower bound"},
	} {
		rec := sampleRecord()
		rec[c.field] = c.value
		_, err := s.Encode(rec)
		var p *task.PayloadError
		if !errors.As(err, &p) || p.Field != s[c.field].Name || !strings.Contains(p.Why, c.want) {
			t.Errorf("%s = %v: got %v, want %q", s[c.field].Name, c.value, err, c.want)
		}
	}
	if _, err := s.Encode(sampleRecord()[1:]); err == nil {
		t.Error("encoded a record that lacks a field")
	}
}

// TestPayloadErrorsHoldNoValue covers the threat of a value that reaches a log
// by way of an error.
func TestPayloadErrorsHoldNoValue(t *testing.T) {
	for i := range sampleRecord() {
		rec := sampleRecord()
		rec[i] = "s3cret-value-\xff" + strings.Repeat("long", 50)
		if _, err := sample().Encode(rec); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("field %d: %v", i, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	s := sample().Schema
	good, err := s.Encode(sampleRecord())
	must(t, good, err)
	for i := range good {
		if _, err := s.Decode(good[:i]); err == nil {
			t.Errorf("decoded %d bytes of %d", i, len(good))
		}
	}
	for why, h := range map[string]string{
		"goes on":           "0000" + "00",
		"lacks":             "0001",
		"number too great":  "4000" + "03",
		"ends early":        "8000" + "05" + "aa",
		"not UTF-8":         "8000" + "01" + "ff",
		"chunk beyond":      "0400" + "04" + "00",
		"bits beyond":       "0400" + "00" + "08",
		`"first": number`:   "0800" + "02",
		`"modules": number`: "0100" + "04",
		`"sizes": ends`:     "0080" + "02" + "01",
	} {
		b, err := hex.DecodeString(h)
		if _, err = s.Decode(must(t, b, err)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want %q", h, err, why)
		}
	}
}

// TestFragmentShape covers the threat of a forged report whose shape the task
// does not allow, and which would be conspicuous in the table.
func TestFragmentShape(t *testing.T) {
	pairs, tuples := list(task.Fragment{Kind: task.Pairs}), list(task.Fragment{Kind: task.Tuples, M: 3})
	page := fields()
	one := make(task.Record, len(page.Schema))
	one[0], one[1], one[4] = "editor", "bus", true
	two := append(task.Record(nil), one...)
	two[5] = uint64(1)
	none := append(task.Record(nil), one...)
	none[4] = nil
	for _, c := range []struct {
		name string
		task *task.Task
		rec  task.Record
		want string
	}{
		{"pair", pairs, task.Record{"here", films("x", "x")}, ""},
		{"single", pairs, task.Record{"here", films("x")}, "1 elements, want 2"},
		{"pair without kept", pairs, task.Record{nil, films("x", "y")}, "absent"},
		{"pair absent", pairs, task.Record{"here", nil}, "a fragment with 0"},
		{"tuple", tuples, task.Record{"here", films("x", "y", "z")}, ""},
		{"short tuple", tuples, task.Record{"here", films("x", "y")}, "2 elements, want 3"},
		{"chunk", bits(), task.Record{"p", task.SetChunk{Index: 2, Bits: 3}}, ""},
		{"chunk beyond", bits(), task.Record{"p", task.SetChunk{Index: 3}}, "chunk beyond"},
		{"chunk of 2 bits", bits(), task.Record{"p", task.SetChunk{Index: 2, Bits: 4}}, "bits beyond the chunk"},
		{"chunk of 4 bits", bits(), task.Record{"p", task.SetChunk{Index: 1, Bits: 16}}, "bits beyond the chunk"},
		{"whole set", bits(), task.Record{"p", uint64(1)}, "should be broken up"},
		{"field", page, one, ""},
		{"two fields", page, two, "a fragment with 2"},
		{"no field", page, none, "a fragment with 0"},
		{"whole", sample(), sampleRecord(), ""},
		{"absent", sample(), one, "absent"},
		{"short record", sample(), one[1:], "8 values for 9 fields"},
	} {
		b, err := c.task.Encode(c.rec)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
			if b, err := c.task.Schema.Encode(c.rec); err == nil {
				if _, err := c.task.Decode(b); err == nil {
					t.Errorf("%s: decoded", c.name)
				}
			}
			continue
		}
		back, err2 := c.task.Decode(must(t, b, err))
		if !reflect.DeepEqual(must(t, back, err2), c.rec) {
			t.Errorf("%s: decoded %v, want %v", c.name, back, c.rec)
		}
	}
	whole := sampleRecord()
	whole[5] = task.SetChunk{}
	if _, err := sample().Encode(whole); err == nil {
		t.Error("encoded a chunk of a set that is not broken up")
	}
}

func TestMaxPayloadIsReached(t *testing.T) {
	x := strings.Repeat("x", 20)
	for _, c := range []struct {
		task *task.Task
		rec  task.Record
	}{
		{sample(), task.Record{
			strings.Repeat("p", 64), "bus", int64(0), int64(0), true, uint64(0),
			rep(strings.Repeat("f", 32), 4), rep("ui", 3), rep(int64(0), 2),
		}},
		{list(task.Fragment{Kind: task.Pairs}), task.Record{"here", rep(x, 2)}},
		{list(task.Fragment{Kind: task.Tuples, M: 3}), task.Record{"here", rep(x, 3)}},
		{bits(), task.Record{strings.Repeat("p", 40), task.SetChunk{}}},
		{fields(), task.Record{strings.Repeat("p", 64), "bus", nil, nil, nil, nil, rep(strings.Repeat("f", 32), 4), nil, nil}},
	} {
		b, err := c.task.Encode(c.rec)
		if got, want := len(must(t, b, err)), c.task.MaxPayload(); got != want {
			t.Errorf("greatest record has %d bytes, MaxPayload says %d", got, want)
		}
	}
}

func rep(v task.Value, n int) []task.Value {
	var out []task.Value
	for range n {
		out = append(out, v)
	}
	return out
}

func TestPayloadRoundTripProperty(t *testing.T) {
	tk := sample()
	rapid.Check(t, func(t *rapid.T) {
		rec := drawRecord(t, tk.Schema)
		b, err := tk.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > tk.MaxPayload() {
			t.Fatalf("%d bytes, MaxPayload says %d", len(b), tk.MaxPayload())
		}
		padded, err := task.Pad(b, int(tk.PayloadSize))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := task.Unpad(padded)
		if err != nil || !bytes.Equal(plain, b) {
			t.Fatalf("unpadded %x (%v), want %x", plain, err, b)
		}
		if back, err := tk.Decode(plain); err != nil || !reflect.DeepEqual(back, rec) {
			t.Fatalf("decoded %v (%v), want %v", back, err, rec)
		}
	})
}

func drawRecord(t *rapid.T, s task.Schema) task.Record {
	var rec task.Record
	for i := range s {
		rec = append(rec, drawValue(t, &s[i]))
	}
	return rec
}

func drawValue(t *rapid.T, f *task.Field) task.Value {
	switch f.Kind {
	case task.Bool:
		return rapid.Bool().Draw(t, f.Name)
	case task.Set:
		return rapid.Uint64Range(0, 1<<len(f.Values)-1).Draw(t, f.Name)
	case task.List:
		elems := make([]task.Value, rapid.IntRange(0, int(f.Max)).Draw(t, f.Name))
		for i := range elems {
			elems[i] = drawElement(t, f, f.Elem, f.MaxStr)
		}
		return elems
	}
	return drawElement(t, f, f.Kind, f.Max)
}

func drawElement(t *rapid.T, f *task.Field, kind task.Kind, most uint16) task.Value {
	switch {
	case kind == task.String:
		return rapid.StringN(0, -1, int(most)).Draw(t, f.Name)
	case kind == task.Enum:
		return rapid.SampledFrom(f.Values).Draw(t, f.Name)
	case len(f.Buckets) > 0:
		return rapid.SampledFrom(f.Buckets).Draw(t, f.Name)
	}
	return rapid.Int64Range(f.Low, f.High).Draw(t, f.Name)
}

func TestFullRangeOfInt(t *testing.T) {
	const low, high = -1 << 63, 1<<63 - 1
	s := task.Schema{{Name: "n", Kind: task.Int, Low: low, High: high}}
	for _, v := range []int64{low, -1, 0, high} {
		b, err := s.Encode(task.Record{v})
		rec, err2 := s.Decode(must(t, b, err))
		if must(t, rec, err2)[0] != v {
			t.Errorf("%d came back as %v", v, rec[0])
		}
	}
	if s[0].Options() != 0 {
		t.Error("2^64 values do not fit in 64 bits")
	}
}

func TestBucket(t *testing.T) {
	f := sample().Schema[2]
	for v, want := range map[int64]int64{0: 0, 59: 0, 60: 60, 3599: 60, 3600: 3600, 86_400: 3600} {
		if got, err := f.Bucket(v); must(t, got, err) != want {
			t.Errorf("Bucket(%d) = %d, want %d", v, got, want)
		}
	}
	for _, v := range []int64{-1, 86_401} {
		if got, err := f.Bucket(v); err == nil {
			t.Errorf("Bucket(%d) = %d", v, got)
		}
	}
}

func TestPad(t *testing.T) {
	// A payload may itself end in zeros, in the mark, or in half a UTF-8 sequence.
	for _, p := range []string{"", "\x00", "\x80", "a\x80\x00\x00", "\xe2\x82", strings.Repeat("x", 63)} {
		padded, err := task.Pad([]byte(p), 64)
		if len(must(t, padded, err)) != 64 {
			t.Fatalf("%q: padded to %d bytes", p, len(padded))
		}
		if got, err := task.Unpad(padded); string(must(t, got, err)) != p {
			t.Errorf("%q came back as %q", p, got)
		}
	}
	if _, err := task.Pad(make([]byte, 64), 64); err == nil {
		t.Error("padded without room for the mark")
	}
	for _, p := range []string{"", "\x00\x00", "abc", "abc\x01\x00"} {
		if got, err := task.Unpad([]byte(p)); err == nil {
			t.Errorf("unpadded %q to %q", p, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	tasks := []*task.Task{sample(), list(task.Fragment{Kind: task.Pairs}), list(task.Fragment{Kind: task.Tuples, M: 2}), bits(), fields()}
	good, err := sample().Encode(sampleRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), good)
	f.Add(uint8(1), []byte("\xc0\x01\x02\x01x\x01y"))
	f.Add(uint8(3), []byte("\xc0\x01p\x03\x00\x03"))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		tk := tasks[int(which)%len(tasks)]
		rec, err := tk.Schema.Decode(b)
		if err != nil {
			return
		}
		if again, err := tk.Schema.Encode(rec); !bytes.Equal(must(t, again, err), b) {
			t.Errorf("%x decodes to %v, which encodes to %x", b, rec, again)
		}
		if _, err := tk.Decode(b); err == nil && len(b) > tk.MaxPayload() {
			t.Errorf("decoded %d bytes, MaxPayload says %d", len(b), tk.MaxPayload())
		}
	})
}
