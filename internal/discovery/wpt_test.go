package discovery

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// differences lists, suite by suite, the inputs that are read otherwise than the
// suites want, each with the reason. The list may only shrink.
const differences = "testdata/wpt/differences.json"

type difference struct {
	Suite, Input, Reason string
}

// TestConformance runs the suites of Web Platform Tests; testdata/wpt/README.md
// has source and licence.
func TestConformance(t *testing.T) {
	var known []difference
	if data, err := os.ReadFile(differences); err != nil || json.Unmarshal(data, &known) != nil {
		t.Fatalf("%s: %v", differences, err)
	}
	var found []difference
	for suite, least := range map[string]int{"urltestdata.json": 400, "toascii.json": 80, "IdnaTestV2.json": 2600} {
		wrong, n := runSuite(t, suite)
		if n < least {
			t.Errorf("%s: only %d cases, want %d", suite, n, least)
		}
		t.Logf("%s: %d of %d cases are read as it wants", suite, n-len(wrong), n)
		for _, w := range wrong {
			d := difference{Suite: suite, Input: w.input, Reason: w.got}
			found = append(found, d)
			if !slices.ContainsFunc(known, func(k difference) bool { return k.Suite == suite && k.Input == w.input && k.Reason != "" }) {
				t.Errorf("%s: %+q: %s", suite, w.input, w.got)
			}
		}
	}
	for _, k := range known {
		if !slices.ContainsFunc(found, func(f difference) bool { return k.Suite == f.Suite && k.Input == f.Input }) {
			t.Errorf("%s: %+q is read right: remove it from the differences", k.Suite, k.Input)
		}
	}
	if name := os.Getenv("SHOAL_DIFFERENCES"); name != "" {
		data, err := json.MarshalIndent(found, "", " ")
		if err != nil || os.WriteFile(name, data, 0o600) != nil {
			t.Fatal(err)
		}
	}
}

type misread struct{ input, got string }

func runSuite(t *testing.T, suite string) (wrong []misread, n int) {
	t.Helper()
	name := "testdata/wpt/" + suite
	if suite == "urltestdata.json" {
		for _, v := range readVectors(t, name) {
			got, about := v.read()
			if !about {
				continue
			}
			if n++; got != "" {
				wrong = append(wrong, misread{v.Input, got})
			}
		}
		return wrong, n
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	for _, r := range raw {
		var c struct {
			Input  string
			Output *string
		}
		if r[0] != '{' {
			continue
		}
		if err := json.Unmarshal(r, &c); err != nil {
			t.Fatal(err)
		}
		n++
		host, err := domainToASCII(c.Input)
		switch {
		case err != nil && c.Output != nil:
			wrong = append(wrong, misread{c.Input, "refused: " + err.Error() + ", want " + *c.Output})
		case err == nil && c.Output == nil:
			wrong = append(wrong, misread{c.Input, "read as " + host + ", want a failure"})
		case err == nil && host != *c.Output:
			wrong = append(wrong, misread{c.Input, "read as " + host + ", want " + *c.Output})
		}
	}
	return wrong, n
}
