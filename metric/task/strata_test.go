package task_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

// detailTask returns a valid task of which the last field is detail.
func detailTask() *task.Task {
	t := sample()
	t.Schema = task.Schema{
		{Name: "country", Kind: task.Enum, Values: []string{"here", "there"}},
		{Name: "town", Kind: task.String, Max: 20},
		{Name: "vivid", Kind: task.Bool},
	}
	t.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1}
	t.Protection.Detail = []uint8{1, 2}
	return t
}

func TestDetail(t *testing.T) {
	tk := detailTask()
	b, err := tk.Bytes()
	golden.Equal(t, "testdata/detail.bin", must(t, b, err))
	back, err := task.Parse(b)
	if !reflect.DeepEqual(must(t, back, err), tk) {
		t.Errorf("parsed %+v\nwant %+v", back, tk)
	}
	whole, plain := task.Record{"here", "town", true}, task.Record{"here", nil, nil}
	if got := tk.Plain(whole); !reflect.DeepEqual(got, plain) || !tk.Detailed(whole) || tk.Detailed(plain) {
		t.Errorf("plain form %v", got)
	}
	for _, rec := range []task.Record{whole, plain} {
		payload, err := tk.Encode(rec)
		if back, err := tk.Decode(must(t, payload, err)); err != nil || !reflect.DeepEqual(back, rec) {
			t.Errorf("%v reads as %v, %v", rec, back, err)
		}
	}
	for _, part := range []task.Record{{"here", "town", nil}, {"here", nil, true}, {nil, "town", true}} {
		if _, err := tk.Encode(part); err == nil {
			t.Errorf("%v is a record", part)
		}
	}
}

func TestBadDetail(t *testing.T) {
	for name, spoil := range map[string]func(*task.Task){
		"in the crowd": func(t *task.Task) { t.Protection.Detail = []uint8{0} },
		"all fields": func(t *task.Task) {
			t.Crowd = task.CrowdRule{Kind: task.Constant, SaltEpochs: 1}
			t.Protection.Detail = []uint8{0, 1, 2}
		},
		"the payload's crowd": func(t *task.Task) { t.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1} },
		"no such field":       func(t *task.Task) { t.Protection.Detail = []uint8{9} },
		"not in all":          func(t *task.Task) { t.Fragment = task.Fragment{Kind: task.Fields, Keep: []uint8{0}} },
		"in the second crowd": func(t *task.Task) {
			t.PerCrowd = t.PerEpoch
			t.Protection.Second = task.SecondCrowd{Kind: task.OfFields, Fields: []uint8{1}}
		},
	} {
		bad := detailTask()
		spoil(bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "detail: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
