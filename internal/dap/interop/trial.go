package interop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

// A Setting is a task's VDAF with measurements and the result that they have, as
// the test API writes them in JSON.
type Setting struct {
	Name         string         `json:"name"`
	VDAF         map[string]any `json:"vdaf"`
	Measurements []any          `json:"measurements"`
	Result       any            `json:"result"`
}

// A Party is where a trial finds one of its four parties.
type Party struct {
	API string // base URL of the test API, without a slash at the end
	DAP string // base URL of the aggregator's endpoint, if it is not API
}

// A Trial is one task from its set-up to its result, in the order of the interop
// test design, between four parties that can be anywhere.
type Trial struct {
	Client, Collector, Leader, Helper Party
	Setting                           Setting
	Mode                              dap.BatchMode
	Interval                          bool          // bound report times by task_start and task_end
	HTTP                              *http.Client  // reaches the test APIs; default: one with a timeout of a minute
	Pause                             time.Duration // between two polls; default 100 ms
	// Added is called when the task is known to all, before the first upload.
	Added func(context.Context, dap.TaskID) error
}

// An Outcome is what a trial leaves.
type Outcome struct {
	Task      map[string]any // what all parties know of the task
	VerifyKey []byte
	Start     uint64 // Unix seconds, of the unit of time with all reports
}

// precision is the unit of time of a trial's task, in seconds.
const precision = 3600

// errTooEarly means that a leader has no batch to select yet: Janus answers so
// until one is full.
var errTooEarly = errors.New("there is no full batch yet")

// Run runs a trial until its result is there and right, or ctx is done. The
// outcome is valid as far as the trial came.
func (t *Trial) Run(ctx context.Context) (*Outcome, error) {
	o := &Outcome{Start: uint64(time.Now().Unix()/precision-2) * precision}
	if err := t.setUp(ctx, o); err != nil {
		return o, err
	}
	for i, m := range t.Setting.Measurements {
		if _, err := t.do(ctx, t.Client, "upload", with(o.Task, map[string]any{"measurement": m, "time": o.Start})); err != nil {
			return o, fmt.Errorf("measurement %d: %w", i, err)
		}
	}
	for {
		result, err := t.collect(ctx, o)
		if err == nil {
			return o, t.check(o, result)
		}
		if !errors.Is(err, errTooEarly) || !t.pause(ctx, 10) {
			return o, err
		}
	}
}

// setUp makes the task known to all parties.
func (t *Trial) setUp(ctx context.Context, o *Outcome) error {
	var id dap.TaskID
	_, _ = rand.Read(id[:]) // never fails
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	o.VerifyKey = key
	leader, err := t.endpoint(ctx, t.Leader, id, "leader")
	if err != nil {
		return err
	}
	helper, err := t.endpoint(ctx, t.Helper, id, "helper")
	if err != nil {
		return err
	}
	o.Task = map[string]any{
		"task_id": id.String(), "leader": leader, "helper": helper, "vdaf": t.Setting.VDAF, "batch_mode": uint8(t.Mode),
		"min_batch_size": len(t.Setting.Measurements), "time_precision": precision,
	}
	if t.Interval {
		o.Task["task_start"], o.Task["task_end"] = o.Start-precision, o.Start+100*precision
	}
	collectorToken, leaderToken := rand.Text(), rand.Text()
	added, err := t.do(ctx, t.Collector, "add_task", with(o.Task, map[string]any{"collector_authentication_token": collectorToken}))
	if err != nil {
		return err
	}
	secrets := map[string]any{
		"leader_authentication_token": leaderToken, "vdaf_verify_key": base64.RawURLEncoding.EncodeToString(key),
		"collector_hpke_config": added["collector_hpke_config"], "role": "helper",
	}
	if _, err := t.do(ctx, t.Helper, "add_task", with(o.Task, secrets)); err != nil {
		return fmt.Errorf("helper: %w", err)
	}
	secrets["role"], secrets["collector_authentication_token"] = "leader", collectorToken
	if _, err := t.do(ctx, t.Leader, "add_task", with(o.Task, secrets)); err != nil {
		return fmt.Errorf("leader: %w", err)
	}
	if t.Added == nil {
		return nil
	}
	return t.Added(ctx, id)
}

// endpoint asks an aggregator where it serves a task.
func (t *Trial) endpoint(ctx context.Context, p Party, id dap.TaskID, role string) (string, error) {
	out, err := t.do(ctx, p, "endpoint_for_task", map[string]any{"task_id": id.String(), "role": role, "hostname": "127.0.0.1"})
	if err != nil {
		return "", fmt.Errorf("%s: %w", role, err)
	}
	at, _ := out["endpoint"].(string)
	base := p.DAP
	if base == "" {
		base = p.API
	}
	return base + at, nil
}

// collect asks the collector for the result, and waits for it.
func (t *Trial) collect(ctx context.Context, o *Outcome) (map[string]any, error) {
	query := map[string]any{"type": uint8(t.Mode)}
	if t.Mode == dap.TimeIntervalMode {
		query["batch_interval_start"], query["batch_interval_duration"] = o.Start, precision
	}
	started, err := t.do(ctx, t.Collector, "collection_start", map[string]any{"task_id": o.Task["task_id"], "agg_param": "", "query": query})
	if err != nil {
		return nil, t.early(err)
	}
	for {
		out, err := t.do(ctx, t.Collector, "collection_poll", map[string]any{"handle": started["handle"]})
		if err != nil {
			return nil, t.early(err)
		}
		if out["status"] == "complete" {
			return out, nil
		}
		if !t.pause(ctx, 1) {
			return nil, fmt.Errorf("no result in time: %w", ctx.Err())
		}
	}
}

// early marks the error of a leader that has nothing to select yet. Our collector
// names the problem's type, that of Janus its title.
func (t *Trial) early(err error) error {
	text := err.Error()
	invalid := strings.Contains(text, string(dap.ProblemBatchInvalid)) || strings.Contains(text, "batch implied by the query is invalid")
	if t.Mode == dap.LeaderSelectedMode && invalid {
		return fmt.Errorf("%w: %w", errTooEarly, err)
	}
	return err
}

// pause lets n pauses pass. It reports false when ctx is done.
func (t *Trial) pause(ctx context.Context, n time.Duration) bool {
	return wait(ctx, n*cmp.Or(t.Pause, 100*time.Millisecond))
}

// wait lets d pass. It reports false when ctx is done.
func wait(ctx context.Context, d time.Duration) bool {
	return clock.Sleep(ctx, clock.System(), d) == nil
}

// check compares a result with what it must be.
func (t *Trial) check(o *Outcome, out map[string]any) error {
	have, err := json.Marshal(out["result"])
	if err != nil {
		return err
	}
	want, err := json.Marshal(t.Setting.Result)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("result %s, want %s", have, want)
	}
	for name, want := range map[string]float64{
		"report_count": float64(len(t.Setting.Measurements)), "interval_start": float64(o.Start), "interval_duration": precision,
	} {
		if have, ok := out[name].(float64); !ok || have != want {
			return fmt.Errorf("%s %v, want %v", name, out[name], want)
		}
	}
	return nil
}

// do sends a command of the test API, and fails unless it succeeds.
func (t *Trial) do(ctx context.Context, p Party, command string, in map[string]any) (map[string]any, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.API+"/internal/test/"+command, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	client := t.HTTP
	if client == nil {
		client = &http.Client{Timeout: time.Minute}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRequest))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP %d with %d bytes that are no answer of the test API", command, resp.StatusCode, len(body))
	}
	switch out["status"] {
	case "success", "complete", "in progress":
		return out, nil
	}
	return nil, fmt.Errorf("%s: %v", command, out["error"])
}

// Ready waits until the test API at a base URL answers that it can be used.
func Ready(ctx context.Context, api string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/internal/test/ready", strings.NewReader("{}"))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("HTTP %d", resp.StatusCode)
		}
		if !wait(ctx, 100*time.Millisecond) {
			return fmt.Errorf("%s is not ready: %w", api, err)
		}
	}
}

func with(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// Settings returns the VDAFs of the interop test design and of Janus, each with a
// batch of two reports.
func Settings() []Setting {
	vector := func(kind string, more map[string]any) Setting {
		v := map[string]any{"type": kind, "max_measurement": "15", "length": "3", "chunk_length": "3"}
		return Setting{
			VDAF:         with(v, more),
			Measurements: []any{[]any{"1", "15", "0"}, []any{"3", "1", "2"}}, Result: []any{"4", "16", "2"},
		}
	}
	sumVec := vector("Prio3SumVec", nil)
	sumVec.Name = "SumVec"
	multiproof := vector("Prio3SumVecField64MultiproofHmacSha256Aes128", map[string]any{"proofs": "3"})
	multiproof.Name = "SumVec multiproof"
	long := make([]any, 100)
	for i := range long {
		long[i] = "0"
	}
	long[0], long[99] = "1", "1"
	return []Setting{
		{"Count", map[string]any{"type": "Prio3Count"}, []any{"1", "1"}, "2"},
		{"Sum", map[string]any{"type": "Prio3Sum", "max_measurement": "1000"}, []any{"1000", "7"}, "1007"},
		{"Histogram 5", map[string]any{"type": "Prio3Histogram", "length": "5", "chunk_length": "2"}, []any{"0", "4"}, []any{"1", "0", "0", "0", "1"}},
		{"Histogram 100", map[string]any{"type": "Prio3Histogram", "length": "100", "chunk_length": "10"}, []any{"0", "99"}, long},
		sumVec, multiproof,
	}
}
