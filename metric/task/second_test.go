package task_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

// secondTask returns a valid task whose reports are in the crowds of two elements.
func secondTask() *task.Task {
	t := list(task.Fragment{Kind: task.Pairs})
	t.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0, 1}, SaltEpochs: 1}
	t.PerCrowd = t.PerEpoch
	t.Protection.Second = task.SecondCrowd{Kind: task.OfElements}
	return t
}

func TestSecondCrowd(t *testing.T) {
	tk := secondTask()
	b, err := tk.Bytes()
	golden.Equal(t, "testdata/second.bin", must(t, b, err))
	back, err := task.Parse(b)
	if !reflect.DeepEqual(must(t, back, err), tk) {
		t.Errorf("parsed %+v\nwant %+v", back, tk)
	}
	crowds, err := tk.CrowdsOf(task.Record{"here", films("x", "y")})
	if want := []task.Record{{"here", films("x")}, {"here", films("y")}}; err != nil || !reflect.DeepEqual(crowds, want) {
		t.Errorf("crowds %v (%v), want %v", crowds, err, want)
	}
	if _, err := tk.CrowdsOf(task.Record{"here", films("x")}); err == nil {
		t.Error("one element makes two crowds")
	}
	tk.Protection.Second = task.SecondCrowd{Kind: task.OfFields, Fields: []uint8{0}}
	if err := tk.Validate(); err != nil {
		t.Fatal(err)
	}
	crowds, err = tk.CrowdsOf(task.Record{"here", films("x", "y")})
	if want := []task.Record{{"here", films("x", "y")}, {"here", nil}}; err != nil || !reflect.DeepEqual(crowds, want) {
		t.Errorf("crowds %v (%v), want %v", crowds, err, want)
	}
}

// TestBadSecondCrowd: a second crowd that could not be counted, or that somebody could count
// clients by, is refused.
func TestBadSecondCrowd(t *testing.T) {
	for name, spoil := range map[string]func(*task.Task){
		"a constant crowd":     func(t *task.Task) { t.Crowd = task.CrowdRule{Kind: task.Constant, SaltEpochs: 1} },
		"a salt":               func(t *task.Task) { t.Crowd.SaltEpochs = 2 },
		"a cap of one crowd":   func(t *task.Task) { t.PerEpoch, t.PerCrowd = 2, 1 },
		"credentials":          func(t *task.Task) { t.Protection.CredentialEpochs = 1 },
		"elements of no pairs": func(t *task.Task) { t.Fragment.Kind, t.Fragment.M = task.Tuples, 2 },
		"elements of no crowd": func(t *task.Task) { t.Crowd.Fields = []uint8{0} },
		"elements with fields": func(t *task.Task) { t.Protection.Second.Fields = []uint8{0} },
		"an unknown kind":      func(t *task.Task) { t.Protection.Second.Kind = 3 },
		"no fields":            func(t *task.Task) { t.Protection.Second = task.SecondCrowd{Kind: task.OfFields} },
		"the fields of the first": func(t *task.Task) {
			t.Protection.Second = task.SecondCrowd{Kind: task.OfFields, Fields: []uint8{0, 1}}
		},
		"a field that there is not": func(t *task.Task) {
			t.Protection.Second = task.SecondCrowd{Kind: task.OfFields, Fields: []uint8{7}}
		},
		"fields without a kind": func(t *task.Task) { t.Protection.Second = task.SecondCrowd{Fields: []uint8{0}} },
	} {
		bad := secondTask()
		spoil(bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "second_crowd") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func films(s ...task.Value) []task.Value { return s }
