package redact_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/redact"
)

type key struct {
	redact.Secret
	K string
}

func TestSecret(t *testing.T) {
	k := key{K: "hunter2"}
	for name, v := range map[string]any{"value": k, "pointer": &k} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
			args := []any{v}
			want := redact.Notice
			if verb == "%T %v" {
				args, want = []any{v, v}, fmt.Sprintf("%T ", v)+redact.Notice
			}
			if got := fmt.Sprintf(verb, args...); got != want {
				t.Errorf("%s with %s: %s", name, verb, got)
			}
		}
		if b, err := json.Marshal(v); err != nil || string(b) != `"`+redact.Notice+`"` {
			t.Errorf("%s as JSON: %s, %v", name, b, err)
		}
		if b, err := xml.Marshal(v); err != nil || !strings.Contains(string(b), redact.Notice) || strings.Contains(string(b), k.K) {
			t.Errorf("%s as XML: %s, %v", name, b, err)
		}
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if strings.Count(out.String(), redact.Notice) != 2 || strings.Contains(out.String(), k.K) {
			t.Errorf("%s logged as %s", name, out.String())
		}
	}
	if k.String() != redact.Notice || k.GoString() != redact.Notice {
		t.Error("String or GoString differs")
	}
	if reflect.TypeOf(k).Comparable() {
		t.Error("a secret can be compared by ==")
	}
}
