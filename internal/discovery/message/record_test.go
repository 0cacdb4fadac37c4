package message

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzParseRecord: what is read is written again as the same record, and has exactly the
// fields of its schema.
func FuzzParseRecord(f *testing.F) {
	for _, r := range []Record{
		{Name: "page", Version: 1, Day: "2026-12-01", Country: "--", AntiDuplicate: 7, Fields: map[string]any{"url": "https://a.example/", "dwell": int64(5), "activity": int64(0)}},
		{Name: "query", Version: 1, Fields: map[string]any{"query": "old stories", "engine": "finch"}},
	} {
		line, err := r.JSON()
		if err != nil {
			f.Fatal(err)
		}
		if back, err := ParseRecord(line); err != nil || !reflect.DeepEqual(back, r) {
			f.Errorf("%s: read as another record, %v", line, err)
		}
		f.Add(line)
		f.Add(bytes.Replace(line, []byte(`"fields"`), []byte(`"Fields"`), 1))
	}
	f.Add([]byte(`{"name":"page","version":1,"fields":{"url":1e999}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRecord(line)
		if err != nil {
			return
		}
		again, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseRecord(again)
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%q: written as %q, %v", line, again, err)
		}
	})
}
