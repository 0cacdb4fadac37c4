package encoder

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

type name string

// TestScrub holds the allow-list: what the schema does not name stays behind.
func TestScrub(t *testing.T) {
	e, _ := newTask(t, apps(), nil)
	want := task.Record{"cat", "linux", int64(10), true, uint64(0b10010), []task.Value{int64(7), int64(8)}}
	type system struct{ Host string }
	type usage struct {
		App     name `shoal:"app"`
		OS      *string
		System  string          `shoal:"os"`
		Size    uint16          `shoal:"size"`
		Crashed *bool           `shoal:"crashed"`
		APIs    map[string]bool `shoal:"apis"`
		Seen    [2]int8         `shoal:"seen"`
		Secret  string          `json:"secret"`
		Skipped string          `shoal:"-"`
		hidden  int
		system
	}
	yes, secret := true, "SECRET"
	u := usage{
		App: "cat", OS: &secret, System: "linux", Size: 99, Crashed: &yes,
		APIs: map[string]bool{"files": true, "net": false, "math": true}, Seen: [2]int8{7, 8},
		Secret: secret, Skipped: secret, hidden: 1, system: system{secret},
	}
	for what, in := range map[string]any{
		"struct": u, "pointer": &u, "record": want,
		"map": map[string]any{
			"app": "cat", "os": name("linux"), "size": 12.0, "crashed": &yes, "apis": []any{"math", "files", "math"},
			"seen": []any{7, uint8(8)}, "user": secret, "time": 12345,
		},
		"map of another key": map[name]any{"app": "cat", "os": "linux", "size": int64(10), "crashed": yes, "apis": uint32(0b10010), "seen": []task.Value{int64(7), int64(8)}},
	} {
		got, err := e.scrub(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
		fragments, err := e.Encode(in, seeded(1))
		if err != nil {
			t.Fatal(err)
		}
		if all := fmt.Sprintf("%s %s %s", fragments[0].Payload, fragments[0].Plain, fragments[0].Crowd); strings.Contains(all, secret) {
			t.Errorf("%s: what the schema does not name is in the fragment: %q", what, all)
		}
	}
}

// TestScrubRefuses holds that a record that does not fit is refused, and that
// the error names the field and not the value.
func TestScrubRefuses(t *testing.T) {
	e, _ := newTask(t, apps(), nil)
	const secret = "hunter2 and more than that"
	for _, c := range []struct {
		field string
		value any
		want  string
	}{
		{"app", nil, `"app" is missing`},
		{"app", (*string)(nil), `"app" is missing`},
		{"app", 5, `"app"`},
		{"app", secret, "26 bytes"},
		{"app", "\xff", "UTF-8"},
		{"app", []byte("cat"), `"app"`},
		{"os", secret, `"os"`},
		{"os", "", `"os"`},
		{"size", -1, "out of range"},
		{"size", 1001, "out of range"},
		{"size", uint64(math.MaxUint64), "out of range"},
		{"size", 1.5, "not an integer"},
		{"size", math.NaN(), "not an integer"},
		{"size", math.Inf(1), "not an integer"},
		{"size", 1e300, "not an integer"},
		{"size", "12", `"size"`},
		{"crashed", 1, `"crashed"`},
		{"apis", []string{"files", secret}, `"apis"`},
		{"apis", []int{1}, `"apis"`},
		{"apis", map[string]bool{secret: false}, `"apis"`},
		{"apis", uint64(32), `"apis"`},
		{"apis", 3, `"apis"`},
		{"apis", "files", `"apis"`},
		{"seen", []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, "at most 8"},
		{"seen", []int{100}, "element 1"},
		{"seen", []any{1, nil}, "element 2"},
		{"seen", 5, `"seen"`},
	} {
		in := record()
		in[c.field] = c.value
		fragments, err := e.Encode(in, seeded(1))
		if err == nil || fragments != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s = %v: %v", c.field, c.value, err)
		}
	}
	for field := range record() {
		in := record()
		delete(in, field)
		if _, err := e.Encode(in, seeded(1)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("without %s: %v", field, err)
		}
	}
	type unknown struct {
		A int `shoal:"no_such_field"`
	}
	type twice struct {
		A string `shoal:"app"`
		B string `shoal:"app"`
	}
	type unexported struct {
		a string `shoal:"app"`
	}
	for _, in := range []any{
		nil, 5, "cat",
		[]string{"cat"},
		map[int]any{1: 2},
		(*struct{})(nil),
		struct{}{},
		unknown{},
		twice{},
		unexported{"x"},
		task.Record{"cat"},
		task.Record{"cat", "linux", nil, true, uint64(0), []task.Value{}},
	} {
		if _, err := e.Encode(in, seeded(1)); err == nil {
			t.Errorf("a record of type %T is encoded", in)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	_, good := newTask(t, apps(), nil)
	bad := *good
	bad.Schema = nil
	if _, err := New(&bad, task.ID{}); err == nil {
		t.Error("an encoder for a task that is not valid")
	}
}

func TestSealRefusesAnEpochOutsideTheTasksLife(t *testing.T) {
	e, x := newTask(t, apps(), nil)
	fragments, err := e.Encode(record(), seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Seal(fragments[0], x.EpochAt(x.Start(40_000)), nil); !errors.Is(err, ErrEpoch) {
		t.Errorf("sealed after the task's end: %v", err)
	}
	if _, err := e.Seal(fragments[0], testEpoch, nil); err == nil {
		t.Error("sealed without keys")
	}
}

func TestDescribe(t *testing.T) {
	schema := apps()
	schema[1].Flip, schema[3].Flip, schema[4].Flip = 100_000, 1, 250
	e, _ := newTask(t, schema, func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Bits, Field: 4, M: 3, Keep: []uint8{0, 1, 2, 3, 5}}
	})
	in := record()
	in["app"], in["size"], in["seen"] = "a\x1b[31m\n\u202e", 1000, []int{}
	fragments, err := e.Encode(in, seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fragments {
		d, err := e.Describe(f.Plain)
		if err != nil {
			t.Fatal(err)
		}
		text := d.String()
		if strings.ContainsAny(text, "\x1b\n") || strings.Contains(text, "\u202e") {
			t.Errorf("control characters in %q", text)
		}
		set := `{"math"} of {"time", "math"}`
		if strings.Contains(text, `"net"`) {
			set = `{"files"} of {"net", "files", "threads"}`
		}
		if want := `app="a\x1b[31m\n\u202e", os="linux", size=100 to 1000, crashed=false, apis=` + set + `, seen=[]`; text != want {
			t.Errorf("described as %s, want %s", text, want)
		}
		if d[1].Noise != "replaced with probability 0.1 by a random one of 3 values" ||
			d[3].Noise != "flipped with probability 0.000001" || d[4].Noise != "each of its bits flipped with probability 0.00025" || d[0].Noise != "" {
			t.Errorf("noise: %+v", d)
		}
	}
	if _, err := e.Describe([]byte{1}); err == nil {
		t.Error("describes what is no payload")
	}
}
