package sdk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

const (
	goldenFile = "testdata/golden.json" // what the Go SDK makes; a test in Node.js and one in a browser make the same
	webFile    = "testdata/web.json"    // what the web SDK made of it with randomness of its own; opened here
)

// Results are what the web SDK makes of a suite: with the randomness of the suite,
// and once more with its own.
type results struct {
	Crowd []struct {
		Fragments []fragment `json:"fragments"`
		Own       [][]byte   `json:"own"`
	} `json:"crowd"`
	Sums []struct {
		Task   []byte `json:"task"`
		Config []byte `json:"config"`
		Report []byte `json:"report"`
		Own    []byte `json:"own"`
	} `json:"sums"`
}

// TestGolden keeps the committed suite equal to what the Go SDK makes.
func TestGolden(t *testing.T) {
	want := marshal(t, goldenSuite(t))
	golden.Equal(t, goldenFile, want)
	if golden.Updating() {
		golden.Write(t, webFile, node(t, want))
	}
}

// TestWebReports opens what the web SDK made, as the parties of the tasks do.
func TestWebReports(t *testing.T) {
	var s suite
	var r results
	read(t, goldenFile, &s)
	read(t, webFile, &r)
	open(t, &s, &r)
}

// TestDifferential compares the two SDKs on random schemas and bundles.
func TestDifferential(t *testing.T) {
	needsTools(t)
	for seed := range uint64(8) {
		s := randomSuite(t, 100+seed, 12)
		var r results
		if err := json.Unmarshal(node(t, marshal(t, s)), &r); err != nil {
			t.Fatal(err)
		}
		compare(t, s, &r)
		open(t, s, &r)
	}
}

func compare(t *testing.T, s *suite, r *results) {
	t.Helper()
	for i, c := range s.Crowd {
		if len(r.Crowd[i].Fragments) != len(c.Fragments) {
			t.Errorf("%s: %d fragments, want %d", c.Metric, len(r.Crowd[i].Fragments), len(c.Fragments))
			continue
		}
		for k, f := range c.Fragments {
			if got := r.Crowd[i].Fragments[k]; !bytes.Equal(got.Payload, f.Payload) || !bytes.Equal(got.Tag, f.Tag) || !bytes.Equal(got.Report, f.Report) {
				t.Errorf("%s, fragment %d:\nin JavaScript %x\nhere          %x", c.Metric, k, got, f)
			}
		}
	}
	for i, c := range s.Sums {
		if got := r.Sums[i]; !bytes.Equal(got.Task, c.Task) || !bytes.Equal(got.Config, c.Config) || !bytes.Equal(got.Report, c.Report) {
			t.Errorf("%s %v: another report (task %t, configuration %t)", c.Metric, c.Calls, bytes.Equal(got.Task, c.Task), bytes.Equal(got.Config, c.Config))
		}
	}
}

// open opens the reports that were made with JavaScript's own randomness.
func open(t *testing.T, s *suite, r *results) {
	t.Helper()
	tasks := s.tasks(t)
	if len(r.Crowd) != len(s.Crowd) || len(r.Sums) != len(s.Sums) {
		t.Fatalf("%d and %d results, want %d and %d", len(r.Crowd), len(r.Sums), len(s.Crowd), len(s.Sums))
	}
	for i := range s.Crowd {
		c := &s.Crowd[i]
		if len(r.Crowd[i].Own) != len(c.Fragments) {
			t.Fatalf("%s: %d reports, want %d", c.Metric, len(r.Crowd[i].Own), len(c.Fragments))
		}
		for k, layer := range r.Crowd[i].Own {
			if bytes.Equal(layer, c.Fragments[k].Report) {
				t.Errorf("%s: a report is sealed with the randomness of the suite", c.Metric)
			}
			openLayers(t, tasks[c.Metric], c, &c.Fragments[k], layer)
		}
	}
	for i := range s.Sums {
		c := &s.Sums[i]
		if got := opened(t, tasks[c.Metric], c, r.Sums[i].Own); !slices.Equal(got, c.Numbers) {
			t.Errorf("%s: adds %v, want %v", c.Metric, got, c.Numbers)
		}
	}
}

func openLayers(t *testing.T, x *task.Task, c *crowd, want *fragment, layer []byte) {
	t.Helper()
	id, err := task.ParseID(c.Task)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range c.Secrets {
		key, err := esa.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		o, err := esa.NewOpener(x, id, i, key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := o.Open(layer, c.Epoch)
		if err != nil {
			t.Fatalf("%s: hop %d: %v", c.Metric, i, err)
		}
		if i == len(c.Secrets)-2 && !bytes.Equal(l.Crowd[:], want.Tag) {
			t.Errorf("%s: crowd %v, want %x", c.Metric, l.Crowd, want.Tag)
		}
		layer = l.Next
	}
	if !bytes.Equal(layer, want.Payload) {
		t.Errorf("%s: payload %x, want %x", c.Metric, layer, want.Payload)
	}
}

// opened verifies a report as leader and helper do together, and returns what it adds
// to each element of the sum.
func opened(t *testing.T, x *task.Task, s *summed, body []byte) []int64 {
	t.Helper()
	id, err := x.ID()
	if err != nil {
		t.Fatal(err)
	}
	made, err := taskconfig.New(x, id)
	if err != nil {
		t.Fatal(err)
	}
	var m dap.UploadRequest
	if err := made.Codec().Decode(&m, body); err != nil {
		t.Fatalf("%s: %v", s.Metric, err)
	}
	r := &m.Reports[0]
	if !bytes.Equal(r.Metadata.ID[:], s.ID) || len(m.Reports) != 1 || r.Metadata.Time != dap.Time(s.Epoch) {
		t.Fatalf("%s: another report: %v", s.Metric, r.Metadata)
	}
	var shares [2]*vdaf.Report
	for i, sealed := range []dap.HpkeCiphertext{r.LeaderShare, r.HelperShare} {
		key, err := dapkey.Parse(s.Secrets[i])
		if err != nil {
			t.Fatal(err)
		}
		share, err := made.OpenInputShare(key, []dap.Role{dap.Leader, dap.Helper}[i], &dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: sealed})
		if err != nil {
			t.Fatalf("%s: share %d: %v", s.Metric, i, err)
		}
		shares[i] = &vdaf.Report{Nonce: vdaf.Nonce(r.Metadata.ID), PublicShare: r.PublicShare, InputShare: share.Payload}
	}
	in := made.Instance()
	leader, err := in.NewVerifier(&vdaf.VerifyKey{}, made.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	helper, err := in.NewVerifier(&vdaf.VerifyKey{}, made.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	state, message, err := leader.LeaderInit(shares[0])
	if err != nil {
		t.Fatal(err)
	}
	theirs, message, err := helper.HelperInit(shares[1], message)
	if err != nil {
		t.Fatalf("%s: the proof does not hold: %v", s.Metric, err)
	}
	ours, err := leader.LeaderFinish(state, message)
	if err != nil {
		t.Fatal(err)
	}
	a, b := in.NewAggregateShare(), in.NewAggregateShare()
	if err := errors.Join(a.Add(ours), b.Add(theirs)); err != nil {
		t.Fatal(err)
	}
	numbers, err := in.UnshardSigned([][]byte{a.Bytes(), b.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// needsTools skips tests that the built SDK and Node.js are needed for, unless make
// test-web, which sets SHOAL_WEB, has seen to both.
func needsTools(t *testing.T) {
	t.Helper()
	if os.Getenv("SHOAL_WEB") == "" {
		t.Skip("the web SDK is tested by make test-web")
	}
	if _, err := os.Stat("build/index.js"); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("the web SDK was not built, and continuous integration must not do without")
	}
	t.Skip("the web SDK was not built: it was not compared with the Go SDK")
}

// tool runs a command in this folder.
func tool(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	needsTools(t)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// node returns what the web SDK makes of a suite.
func node(t *testing.T, s []byte, args ...string) []byte {
	t.Helper()
	return tool(t, s, append([]string{"node", filepath.Join("test", "make.mjs")}, args...)...)
}

func read(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
