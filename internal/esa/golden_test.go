package esa

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

const goldenFile = "testdata/reports.json"

// A goldenReport is a report with all that opens it, committed. How the
// standard library turns randomness into seals is its own affair, so what must
// not change is that these bytes open to these values, not that sealing makes
// these bytes again.
type goldenReport struct {
	Name    string   `json:"name"`
	Task    string   `json:"task"` // canonical bytes
	TaskID  string   `json:"task_id"`
	Epoch   uint64   `json:"epoch"`
	Keys    []string `json:"keys"` // private, one a hop; made for this file
	Crowd   string   `json:"crowd"`
	Payload string   `json:"payload"`
	Report  string   `json:"report"`
}

func makeGolden(t *testing.T) []goldenReport {
	var out []goldenReport
	for seed, kems := range [][]KEM{{X25519, X25519}, {P256, P256}, {XWing, X25519}, {X25519, P256, X25519}} {
		cryptotest.SetGlobalRandom(t, uint64(seed))
		w := newWorld(t, kems...)
		payload, err := w.task.Encode(task.Record{"shoal"})
		if err != nil {
			t.Fatal(err)
		}
		tag := SaltedTag(w.id, w.task.SaltWindow(testEpoch), payload)
		b, err := w.task.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		g := goldenReport{
			Name: fmt.Sprint(kems), Task: hex.EncodeToString(b), TaskID: w.id.String(), Epoch: uint64(testEpoch),
			Crowd: tag.String(), Payload: hex.EncodeToString(payload), Report: hex.EncodeToString(w.seal(t, tag, string(payload))),
		}
		for _, k := range w.private {
			text, err := k.Text()
			if err != nil {
				t.Fatal(err)
			}
			g.Keys = append(g.Keys, text)
		}
		out = append(out, g)
	}
	return out
}

func goldenReports(t testing.TB) []goldenReport {
	t.Helper()
	b, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []goldenReport
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openers returns what opens the report, hop by hop.
func (g *goldenReport) openers(t testing.TB) (*task.Task, []*Opener) {
	t.Helper()
	x, err := task.Parse(unhex(t, g.Task))
	if err != nil {
		t.Fatal(err)
	}
	id, err := x.ID()
	if err != nil || id.String() != g.TaskID {
		t.Fatalf("task ID %v, want %v: %v", id, g.TaskID, err)
	}
	var out []*Opener
	for i, text := range g.Keys {
		k, err := ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		o, err := NewOpener(x, id, i, k)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return x, out
}

func TestGoldenReports(t *testing.T) {
	if golden.Updating() { // only with the frame
		b, err := json.MarshalIndent(makeGolden(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Write(t, goldenFile, append(b, '\n'))
	}
	for _, g := range goldenReports(t) {
		_, openers := g.openers(t)
		layer := unhex(t, g.Report)
		for i, o := range openers {
			l, err := o.Open(layer, task.Epoch(g.Epoch))
			if err != nil {
				t.Fatalf("%s: hop %d: %v", g.Name, i, err)
			}
			if i == len(openers)-2 && l.Crowd.String() != g.Crowd {
				t.Errorf("%s: crowd %v, want %s", g.Name, l.Crowd, g.Crowd)
			}
			layer = l.Next
		}
		if !bytes.Equal(layer, unhex(t, g.Payload)) {
			t.Errorf("%s: payload %x, want %s", g.Name, layer, g.Payload)
		}
	}
}

// TestDocumentedExample keeps the worked example of docs/spec/report-frame.md equal
// to the first golden report, field by field.
func TestDocumentedExample(t *testing.T) {
	const file = "../../docs/spec/report-frame.md"
	golden.Sections(t, file, map[string]string{"example": example(t, goldenReports(t)[0])})
}

// example describes a report of two hops, as opened with its keys.
func example(t *testing.T, g goldenReport) string {
	_, openers := g.openers(t)
	var b strings.Builder
	fmt.Fprintf(&b, "Task %s, epoch %d, payload `%s`.\n", g.TaskID, g.Epoch, g.Payload)
	layer := unhex(t, g.Report)
	for i, o := range openers {
		fmt.Fprintf(&b, "\nLayer %d, for the %s (%d bytes), opens with\n\n    %s\n\n", i+1, o.hop.role, len(layer), g.Keys[i])
		h, key, err := o.check(layer, task.Epoch(g.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		plain, _, err := openLayer(key.key, &h, layer, "")
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("```text\n")
		row(&b, "version", layer[:1])
		row(&b, "role", layer[1:2])
		row(&b, "key ID", layer[2:10])
		row(&b, "task ID", layer[10:42])
		row(&b, "epoch", layer[42:50])
		row(&b, "form of the encapsulated key", layer[50:51])
		row(&b, "encapsulated key", layer[51:83])
		row(&b, "sealed bytes and tag", layer[83:])
		b.WriteString("```\n\nSealed in it:\n\n```text\n")
		n := 1 + int(plain[0])
		row(&b, "length of the crowd material", plain[:1])
		row(&b, "crowd material", plain[1:n])
		row(&b, "length of the extensions", plain[n:n+2])
		next := "next layer: layer 2"
		if o.last {
			next = "padded payload"
		}
		row(&b, next, plain[n+2:])
		b.WriteString("```\n")
		l, err := o.Open(layer, task.Epoch(g.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		layer = l.Next
	}
	b.WriteString("\n")
	return b.String()
}

// row writes a field and its bytes; long ones are shortened in the middle.
func row(b *strings.Builder, field string, value []byte) {
	text := hex.EncodeToString(value)
	if len(value) > 72 {
		text = text[:24] + "…" + text[len(text)-24:]
	}
	if len(value) > 0 {
		fmt.Fprintf(b, "%-30s%s\n", field, text)
	}
}
