package encoder

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

// FuzzEncode records arbitrary JSON objects. What is encoded must decode, and
// hold nothing but what the schema allows.
func FuzzEncode(f *testing.F) {
	e, x := newTask(f, apps(), func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Fields, Keep: []uint8{0}}
	})
	b, err := json.Marshal(record())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"app":"x","os":"linux","size":1e3,"crashed":true,"apis":{"net":true,"files":false},"seen":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var in map[string]any
		if json.Unmarshal(b, &in) != nil {
			return
		}
		fragments, err := e.Encode(in, seeded(1))
		if err != nil {
			return
		}
		if len(fragments) != 5 {
			t.Errorf("%d fragments", len(fragments))
		}
		for _, fragment := range fragments {
			if _, err := x.Decode(fragment.Payload); err != nil || len(fragment.Payload) > x.MaxPayload() {
				t.Errorf("payload %x: %v", fragment.Payload, err)
			}
			if _, err := e.Describe(fragment.Payload); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzParse reads arbitrary bytes as a payload: an outbox's file may be damaged.
func FuzzParse(f *testing.F) {
	e, x := newTask(f, apps(), func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Bits, Field: 4, M: 2, Keep: []uint8{0, 1, 2, 3, 5}}
		x.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0, 4}, SaltEpochs: 1}
	})
	fragments, err := e.Encode(record(), seeded(1))
	if err != nil {
		f.Fatal(err)
	}
	for _, fragment := range fragments {
		f.Add(fragment.Payload)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fragment, err := e.Parse(b)
		if err != nil {
			return
		}
		r, err := x.Decode(fragment.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := x.Encode(r); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x reads back as %x, %v", b, again, err)
		}
		if text, err := e.Describe(b); err != nil || bytes.ContainsAny([]byte(text.String()), "\x00\x1b\n") {
			t.Errorf("described as %q, %v", text, err)
		}
	})
}
