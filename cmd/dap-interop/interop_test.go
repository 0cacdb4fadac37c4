package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/interop"
)

// TestMain makes the test binary the program itself when a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv("DAP_INTEROP") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A party is a process that plays a part.
type party struct {
	t    *testing.T
	name string
	url  string
}

// start starts a process of the program and waits until it is ready.
func start(t *testing.T, name string, args ...string) *party {
	t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "--listen", "127.0.0.1:0")...)
	cmd.Env = append(os.Environ(), "DAP_INTEROP=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s did not start: %v", name, err)
	}
	p := &party{t, name, strings.TrimSpace(line)}
	p.post("ready", map[string]any{})
	return p
}

// post sends a command of the test API.
func (p *party) post(command string, in map[string]any) map[string]any {
	p.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.Post(p.url+"internal/test/"+command, "application/json", bytes.NewReader(b))
	if err != nil {
		p.t.Fatalf("%s %s: %v", p.name, command, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %s %v", p.name, command, resp.Status, err)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		p.t.Fatalf("%s %s: %v", p.name, command, err)
	}
	return out
}

type vdafCase struct {
	vdaf         map[string]any
	measurements []any
	result       any
}

func cases() []vdafCase {
	return []vdafCase{
		{map[string]any{"type": "Prio3Count"}, []any{"1", "0", "1"}, "2"},
		{map[string]any{"type": "Prio3Sum", "max_measurement": "1000"}, []any{"1000", "7", "0"}, "1007"},
		{map[string]any{"type": "Prio3Histogram", "length": "5", "chunk_length": "2"}, []any{"0", "4", "4"}, []any{"1", "0", "0", "0", "2"}},
		{map[string]any{"type": "Prio3SumVec", "max_measurement": "15", "length": "3", "chunk_length": "3"}, []any{[]any{"1", "15", "0"}, []any{"0", "1", "2"}, []any{"3", "0", "0"}}, []any{"4", "16", "2"}},
		{map[string]any{"type": "Prio3MultihotCountVec", "max_weight": "2", "length": "4", "chunk_length": "2"}, []any{[]any{"1", "0", "0", "1"}, []any{"0", "0", "0", "0"}, []any{"0", "0", "1", "1"}}, []any{"1", "0", "1", "2"}},
		{map[string]any{"type": "Prio3SumVecField64MultiproofHmacSha256Aes128", "proofs": "3", "max_measurement": "15", "length": "3", "chunk_length": "3"}, []any{[]any{"1", "15", "0"}, []any{"0", "1", "2"}, []any{"3", "0", "0"}}, []any{"4", "16", "2"}},
	}
}

// TestInterop runs the four parties as processes of their own, in every variant of
// the protocol, as the interop test design orders its steps.
func TestInterop(t *testing.T) {
	for i, variant := range []string{"dap-18", "dap-19", "janus"} {
		t.Run(variant, func(t *testing.T) {
			helper := []string{"aggregator", "--dir", t.TempDir()}
			if i == 1 {
				helper = append(helper, "--async")
			}
			v := []string{"--variant", variant}
			w := &world{
				t: t, client: start(t, "client", append(v, "client")...), collector: start(t, "collector", append(v, "collector")...),
				leader: start(t, "leader", append(v, "aggregator", "--dir", t.TempDir())...), helper: start(t, "helper", append(v, helper...)...),
			}
			for k, c := range cases() {
				w.collect(c, 1+k%2)
			}
		})
	}
}

type world struct {
	t                                 *testing.T
	client, collector, leader, helper *party
}

// collect runs a trial, and then uploads reports that must be refused: of the far
// future, and of a time before the task's interval.
func (w *world) collect(c vdafCase, mode int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	at := func(p *party) interop.Party { return interop.Party{API: strings.TrimSuffix(p.url, "/")} }
	trial := interop.Trial{
		Client: at(w.client), Collector: at(w.collector), Leader: at(w.leader), Helper: at(w.helper),
		Setting: interop.Setting{VDAF: c.vdaf, Measurements: c.measurements, Result: c.result}, Mode: dap.BatchMode(mode), Interval: true,
	}
	o, err := trial.Run(ctx)
	if err != nil {
		w.t.Errorf("%v in mode %d: %v", c.vdaf, mode, err)
		return
	}
	for name, when := range map[string]uint64{"the far future": o.Start + 3600*1000, "a time before the interval": o.Start - 3600*3} {
		in := map[string]any{"measurement": c.measurements[0], "time": when}
		maps.Copy(in, o.Task)
		if out := w.client.post("upload", in); out["status"] != "error" {
			w.t.Errorf("a report of %s was taken: %v", name, out)
		}
	}
}
