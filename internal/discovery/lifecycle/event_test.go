package lifecycle

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestParseEvent(t *testing.T) {
	for _, line := range []string{
		`{"at":"2026-11-20T09:00:00Z","event":"navigated","tab":1,"url":"https://a.example.org/","referrer":"https://b.example.org/","transition":"link","opener":2}`,
		`{"at":"2026-11-20T09:00:00.123Z","event":"navigated","tab":9007199254740991,"url":"about:blank","transition":"typed"}`,
		`{"at":"2026-11-20T10:00:00+01:00","event":"activity","tab":1,"counts":{"seconds":4,"mouse":1}}`,
		`{"at":"2026-11-20T09:00:00Z","event":"signature","tab":1,"url":"https://a.example.org/","page":{"bytes":1,"text":2,"words":"AAAAAQ","title":"t","links":0,"indexable":true}}`,
		`{"at":"2026-11-20T09:00:00Z","event":"hidden","tab":1}`,
		`{"at":"2026-11-20T09:00:00Z","event":"closed","tab":1}`,
		`{"at":"2026-11-20T09:00:00Z","event":"cleared"}`,
		`{"at":"2026-11-20T09:00:00Z","event":"cleared","url":"https://a.example.org/"}`,
		`{"at":"2026-11-20T09:00:00Z","event":"private","on":true}`,
		`{"at":"2026-11-20T09:00:00Z","event":"private","tab":3}`,
		` {"at":"2026-11-20T09:00:00Z","event":"tick"} ` + "\r\n",
	} {
		ev, err := ParseEvent([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		again, err := ev.MarshalLine()
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if back, err := ParseEvent(again); err != nil || !reflect.DeepEqual(back, ev) {
			t.Errorf("%s: came back as %s: %v", line, again, err)
		}
	}
	const at = `{"at":"2026-11-20T09:00:00Z",`
	for _, line := range []string{
		``, `null`, `[]`, `{}`, `{"event":"tick"}`, at + `"event":"tock"}`, at + `"event":"tick"} {}`, at + `"event":"tick"`, at + `"event":"tick","secret":1}`,
		at + `"event":"tick","event":"tick"}`, at + `"Event":"tick"}`, at + `"event":"tic\u006b","\u0061t":"2026-11-20T09:00:00Z"}`, at + `"event":"activity","tab":1,"counts":{"seconds":1,"seconds":2}}`,
		strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9), at + `"event":"tic\u212a"}`, at + `"event":"tick","tab":1}`, at + `"event":"hidden"}`, at + `"event":"hidden","tab":-1}`, at + `"event":"hidden","tab":1.5}`, at + `"event":"hidden","tab":"1"}`,
		at + `"event":"navigated","tab":1,"url":"https://secret.example.org/"}`, at + `"event":"navigated","tab":1,"url":"x","transition":"secret"}`,
		at + `"event":"navigated","tab":1,"transition":"link"}`, at + `"event":"activity","tab":1}`, at + `"event":"activity","tab":1,"counts":{"seconds":-1}}`,
		at + `"event":"activity","tab":1,"counts":{"seconds":1048577}}`, at + `"event":"signature","tab":1,"url":"x"}`,
		at + `"event":"signature","tab":1,"url":"x","page":{"bytes":-1,"text":0,"words":"","title":"","links":0,"indexable":true}}`,
		at + `"event":"signature","tab":1,"url":"x","page":{"words":"AA"}}`, at + `"event":"closed","tab":1,"on":true}`, at + `"event":"private","url":"x"}`,
		`{"at":"yesterday","event":"tick"}`, `{"at":"1969-11-20T09:00:00Z","event":"tick"}`, at + `"event":"navigated","tab":1,"transition":"link","url":"` + strings.Repeat("x", 65<<10) + `"}`,
		strings.Repeat(" ", MaxEvent+1),
	} {
		_, err := ParseEvent([]byte(line))
		if err == nil {
			t.Errorf("%.200s was read", line)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the event: %v", err)
		}
	}
}

// FuzzParseEvent: what is read is written and read again alike.
func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"at":"2026-11-20T09:00:00Z","event":"navigated","tab":1,"url":"https://a.example.org/","transition":"link","opener":2}`))
	f.Add([]byte(`{"at":"2026-11-20T09:00:00.5Z","event":"activity","tab":1,"counts":{"seconds":4,"mouse":1}}`))
	f.Add([]byte(`{"at":"2026-11-20T09:00:00Z","event":"signature","tab":1,"url":"x","page":{"bytes":1,"text":2,"words":"AAAAAQ","title":"t","links":0,"indexable":true}}`))
	f.Add([]byte(`{"at":"2026-11-20T09:00:00Z","event":"tick"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		ev, err := ParseEvent(line)
		if err != nil {
			return
		}
		one, err := ev.MarshalLine()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseEvent(one)
		if err != nil {
			t.Fatalf("%s: %v", one, err)
		}
		if two, err := back.MarshalLine(); err != nil || !bytes.Equal(one, two) {
			t.Fatalf("%s became %s: %v", one, two, err)
		}
	})
}
