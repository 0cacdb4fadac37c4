package dapview

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// golden are the files of package dap's tests: what a name in the file means.
var golden = map[string]string{
	"aggregate-share-req-interval": "aggregate-share-req", "collection-job-req-next": "collection-job-req",
	"task-configuration-empty-info": TaskConfiguration, "task-configuration-noise": TaskConfiguration,
	"plaintext-input-share": "", // no message
}

// TestGolden decodes every golden message of every variant. What is cut off or
// has a byte too many is refused.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../../../../dap/testdata/golden/*/*.hex")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		kind, special := golden[name]
		if !special {
			kind = name
		}
		if kind == "" {
			continue
		}
		v, err := dap.ParseVariant(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		view, err := Decode(v, kind, read(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		checkShown(t, file, view)
		if _, err := Decode(v, kind, append(read(t, file), 0)); !errors.Is(err, dap.ErrMalformed) {
			t.Errorf("%s and a byte: error %v, want a malformed message", file, err)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkShown: both forms name the same fields.
func checkShown(t *testing.T, file string, view View) {
	t.Helper()
	var text strings.Builder
	if err := view.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(view)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil || len(fields) != len(view) || len(view) == 0 {
		t.Errorf("%s: JSON %s, %v", file, b, err)
	}
	for name := range fields {
		if !strings.Contains(text.String(), name+":") {
			t.Errorf("%s: the text lacks %s", file, name)
		}
	}
}

// TestFields: values are shown under the names of the draft.
func TestFields(t *testing.T) {
	req := &dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 7, Duration: 3}), Extensions: []dap.Extension{{Type: 9, Data: make([]byte, 40)}}}
	body, err := dap.NewCodec(dap.DAP19()).Encode(req)
	if err != nil {
		t.Fatal(err)
	}
	view, err := Decode(dap.DAP19(), dap.TypeCollectionJobReq.MediaType(), body)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := view.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	const want = `query:
  batch_mode: time_interval
  batch_interval:
    start: 7
    duration: 3
agg_param: empty
extensions: 1
  1:
    extension_type: 9
    extension_data: 0000000000000000000000000000000000000000000000000000000000000000... (40 bytes)
`
	if text.String() != want {
		t.Errorf("text\n%s\nwant\n%s", text.String(), want)
	}
	b, err := json.Marshal(view)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), `{"query":{"batch_mode":"time_interval","batch_interval":{"start":7,"duration":3}},"agg_param":"",`) {
		t.Errorf("JSON %s", b)
	}
}

func TestUnknownMessage(t *testing.T) {
	for _, name := range []string{"", "nonsense", "text/plain", "application/ppm-dap;message=nonsense"} {
		if _, err := Decode(dap.DAP18(), name, nil); err == nil {
			t.Errorf("message type %q is accepted", name)
		}
	}
}

// FuzzDecode: no bytes make it panic, and what is decoded can be shown.
func FuzzDecode(f *testing.F) {
	for i := range Names() {
		f.Add(uint8(i), uint8(i), []byte{0, 0, 0, 4, 1, 2, 3, 4})
	}
	f.Fuzz(func(t *testing.T, variant, name uint8, body []byte) {
		v := []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()}[variant%3]
		view, err := Decode(v, Names()[int(name)%len(Names())], body)
		if err != nil {
			return
		}
		if err := view.WriteText(&strings.Builder{}); err != nil {
			t.Error(err)
		}
		if _, err := json.Marshal(view); err != nil {
			t.Error(err)
		}
	})
}
