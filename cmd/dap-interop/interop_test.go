package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strings"
	"testing"
	"time"
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

// do is post for commands that must succeed.
func (p *party) do(command string, in map[string]any) map[string]any {
	p.t.Helper()
	out := p.post(command, in)
	if out["status"] != "success" {
		p.t.Fatalf("%s %s: %v", p.name, command, out)
	}
	return out
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
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

// collect sets up a task, uploads, and checks what is collected.
func (w *world) collect(c vdafCase, mode int) {
	w.t.Helper()
	const precision = 3600
	id := random(32)
	endpoint := func(p *party, role string) string {
		at, _ := p.do("endpoint_for_task", map[string]any{"task_id": id, "role": role, "hostname": "127.0.0.1"})["endpoint"].(string)
		return strings.TrimSuffix(p.url, "/") + at
	}
	common := map[string]any{
		"task_id": id, "leader": endpoint(w.leader, "leader"), "helper": endpoint(w.helper, "helper"), "vdaf": c.vdaf,
		"batch_mode": mode, "min_batch_size": len(c.measurements), "time_precision": precision,
	}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range []map[string]any{common, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	collectorToken, leaderToken, key := random(16), random(16), random(32)
	hpke := w.collector.do("add_task", with(map[string]any{"collector_authentication_token": collectorToken}))["collector_hpke_config"]
	secrets := map[string]any{"leader_authentication_token": leaderToken, "vdaf_verify_key": key, "collector_hpke_config": hpke}
	w.helper.do("add_task", with(merge(secrets, map[string]any{"role": "helper"})))
	w.leader.do("add_task", with(merge(secrets, map[string]any{"role": "leader", "collector_authentication_token": collectorToken})))

	now := time.Now().Truncate(precision * time.Second).Add(-2 * precision * time.Second)
	for _, m := range c.measurements {
		w.client.do("upload", with(map[string]any{"measurement": m, "time": now.Unix()}))
	}
	if out := w.client.post("upload", with(map[string]any{"measurement": c.measurements[0], "time": now.Add(1000 * time.Hour).Unix()})); out["status"] != "error" {
		w.t.Errorf("a report of the far future was taken: %v", out)
	}
	query := map[string]any{"type": mode}
	if mode == 1 {
		query["batch_interval_start"], query["batch_interval_duration"] = now.Unix(), precision
	}
	handle := w.collector.do("collection_start", map[string]any{"task_id": id, "agg_param": "", "query": query})["handle"]
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out := w.collector.post("collection_poll", map[string]any{"handle": handle})
		if out["status"] == "in progress" && time.Now().Before(end) {
			continue
		}
		want := map[string]any{
			"status": "complete", "report_count": float64(len(c.measurements)), "result": c.result,
			"interval_start": float64(now.Unix()), "interval_duration": float64(precision),
		}
		if !reflect.DeepEqual(out, want) {
			w.t.Errorf("%v in mode %d: %v, want %v", c.vdaf, mode, out, want)
		}
		return
	}
}

func merge(a, b map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range []map[string]any{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
