package interop

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
)

// taskInfo is the task_info of every task of the test API, as Janus has it.
const taskInfo = "task-info"

// A blob is bytes that are unpadded base64url in JSON.
type blob []byte

// UnmarshalJSON implements [json.Unmarshaler].
func (b *blob) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%q is not unpadded base64url", text)
	}
	*b = decoded
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (b blob) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(b))
}

// A taskObject is what every party is given about a task.
type taskObject struct {
	TaskID        string     `json:"task_id"`
	Leader        string     `json:"leader"`
	Helper        string     `json:"helper"`
	VDAF          vdafObject `json:"vdaf"`
	BatchMode     uint8      `json:"batch_mode"`
	QueryType     uint8      `json:"query_type"` // the draft's name of batch_mode
	MinBatchSize  uint64     `json:"min_batch_size"`
	TimePrecision uint64     `json:"time_precision"`
	TaskStart     *uint64    `json:"task_start"`
	TaskEnd       *uint64    `json:"task_end"`
}

// task returns the task that all parties derive alike.
func (o *taskObject) task(v *dap.Variant) (*dap.Task, *scheme, error) {
	id, err := dap.ParseTaskID(o.TaskID)
	if err != nil {
		return nil, nil, fmt.Errorf("task_id: %w", err)
	}
	interval, err := o.interval()
	if err != nil {
		return nil, nil, err
	}
	s, err := o.VDAF.scheme()
	if err != nil {
		return nil, nil, err
	}
	mode := o.BatchMode
	if mode == 0 {
		mode = o.QueryType
	}
	c := dap.TaskConfiguration{
		TaskInfo: []byte(taskInfo), Leader: o.Leader, Helper: o.Helper, TimePrecision: dap.TimePrecision(o.TimePrecision),
		MinBatchSize: o.MinBatchSize, BatchMode: dap.BatchMode(mode), Extensions: interval,
	}
	if err := c.SetVDAF(s.instance); err != nil {
		return nil, nil, err
	}
	b, err := dap.NewCodec(v).Encode(&c)
	if err != nil {
		return nil, nil, err
	}
	t, err := dap.NewTask(v, id, b)
	return t, s, err
}

// A Task is a task of the test API, with what its VDAF makes of JSON.
type Task struct {
	*dap.Task
	scheme *scheme
}

// ParseTask reads the JSON object by which the test API makes a task known. What only
// some parties are given is ignored.
func ParseTask(v *dap.Variant, object []byte) (*Task, error) {
	var o taskObject
	if err := json.Unmarshal(object, &o); err != nil {
		return nil, err
	}
	t, s, err := o.task(v)
	if err != nil {
		return nil, err
	}
	return &Task{t, s}, nil
}

// Measurement reads a measurement.
func (t *Task) Measurement(raw []byte) (client.Measurement, error) { return t.scheme.measure(raw) }

// Unshard returns the result of a batch of count reports as it is encoded in JSON.
func (t *Task) Unshard(shares [][]byte, count uint64) ([]byte, error) {
	result, err := t.scheme.unshard(shares, count)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// interval returns the task extension for task_start and task_end, none without
// them.
func (o *taskObject) interval() ([]dap.Extension, error) {
	if o.TaskStart == nil && o.TaskEnd == nil {
		return nil, nil
	}
	if o.TaskStart == nil || o.TaskEnd == nil {
		return nil, errors.New("task_start and task_end: want both or neither")
	}
	start, end, p := *o.TaskStart, *o.TaskEnd, o.TimePrecision
	if p == 0 || start%p != 0 || end%p != 0 || end <= start {
		return nil, fmt.Errorf("task_start %d and task_end %d: want multiples of the time precision of %d s, the end after the start", start, end, p)
	}
	return []dap.Extension{dap.IntervalExtension(dap.Interval{Start: dap.Time(start / p), Duration: dap.Duration((end - start) / p)})}, nil
}

// maxRequest bounds the body of a request of the test API, in bytes.
const maxRequest = 16 << 20

// serve answers a request of the test API: what do returns, or the error in the
// form of the API.
func serve[I any](do func(r *http.Request, in I) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in I
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil {
			err = json.Unmarshal(b, &in)
		}
		var out any
		if err == nil {
			out, err = do(r, in)
		}
		if err != nil {
			out = map[string]string{"status": "error", "error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the test runner has gone away
	}
}

// ready answers that the party can be used.
func ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}\n")
}

// success is the answer with no other content.
func success() any { return map[string]string{"status": "success"} }
