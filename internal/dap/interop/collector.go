package interop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/hpke"
)

// A Collector plays the collector's part in the test API, which it serves.
type Collector struct {
	http.Handler
	variant *dap.Variant
	client  exchange.Client

	mu    sync.Mutex
	tasks map[dap.TaskID]*collected
	jobs  map[string]*job
}

// collected is a task as the collector has it.
type collected struct {
	task   *dap.Task
	scheme *scheme
	token  auth.Token
	key    *dapkey.PrivateKey
}

// A job is a collection job.
type job struct {
	of  *collected
	req dap.CollectionJobReq
	url string
}

// NewCollector returns the test API of a collector. It reaches leaders by c, nil
// for a client of its own.
func NewCollector(v *dap.Variant, c *http.Client) *Collector {
	o := &Collector{
		variant: v, client: exchange.Client{HTTP: c, Attempts: 3, First: 100 * time.Millisecond},
		tasks: make(map[dap.TaskID]*collected), jobs: make(map[string]*job),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /internal/test/ready", ready)
	mux.HandleFunc("POST /internal/test/add_task", serve(o.addTask))
	mux.HandleFunc("POST /internal/test/collection_start", serve(o.start))
	mux.HandleFunc("POST /internal/test/collection_poll", serve(o.poll))
	o.Handler = mux
	return o
}

// Key returns the key to which the results of a task are sealed, nil if the task was
// not added.
func (o *Collector) Key(id dap.TaskID) *dapkey.PrivateKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.tasks[id]; t != nil {
		return t.key
	}
	return nil
}

type collectorTask struct {
	taskObject
	Token string `json:"collector_authentication_token"`
}

func (o *Collector) addTask(_ *http.Request, in collectorTask) (any, error) {
	t, s, err := in.task(o.variant)
	if err != nil {
		return nil, err
	}
	token, err := auth.ParseToken(in.Token)
	if err != nil {
		return nil, fmt.Errorf("collector_authentication_token: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tasks[t.ID()] != nil {
		return nil, fmt.Errorf("task %v is there already", t.ID())
	}
	key, err := dapkey.Generate(dap.HpkeConfigID(len(o.tasks)), hpke.X25519, rand.Reader)
	if err != nil {
		return nil, err
	}
	config := key.Config()
	b, err := dap.NewCodec(o.variant).Encode(&config)
	if err != nil {
		return nil, err
	}
	o.tasks[t.ID()] = &collected{t, s, token, key}
	return map[string]any{"status": "success", "collector_hpke_config": blob(b)}, nil
}

type collectionStart struct {
	TaskID   string `json:"task_id"`
	AggParam blob   `json:"agg_param"`
	Query    struct {
		Type     uint8   `json:"type"`
		Start    *uint64 `json:"batch_interval_start"`    // Unix seconds
		Duration *uint64 `json:"batch_interval_duration"` // seconds
	} `json:"query"`
}

func (o *Collector) start(r *http.Request, in collectionStart) (any, error) {
	id, err := dap.ParseTaskID(in.TaskID)
	if err != nil {
		return nil, fmt.Errorf("task_id: %w", err)
	}
	o.mu.Lock()
	of := o.tasks[id]
	o.mu.Unlock()
	if of == nil {
		return nil, fmt.Errorf("task %v was not added", id)
	}
	j := &job{of: of}
	j.req.AggParam = in.AggParam
	switch dap.BatchMode(in.Query.Type) {
	case dap.LeaderSelectedMode:
		j.req.Query = dap.NextBatchQuery()
	case dap.TimeIntervalMode:
		if in.Query.Start == nil || in.Query.Duration == nil {
			return nil, errors.New("query: batch_interval_start and batch_interval_duration are missing")
		}
		p := uint64(of.task.Config().TimePrecision)
		if *in.Query.Start%p != 0 || *in.Query.Duration%p != 0 {
			return nil, fmt.Errorf("query: the interval is no multiple of the time precision of %d s", p)
		}
		j.req.Query = dap.IntervalQuery(dap.Interval{Start: dap.Time(*in.Query.Start / p), Duration: dap.Duration(*in.Query.Duration / p)})
	default:
		return nil, fmt.Errorf("query: type %d is not known", in.Query.Type)
	}
	body, err := of.task.Codec().Encode(&j.req)
	if err != nil {
		return nil, err
	}
	var jobID dap.CollectionJobID
	if _, err := rand.Read(jobID[:]); err != nil {
		return nil, err
	}
	method, path := o.variant.CreateCollectionJob(id, jobID)
	url := dap.Resolve(of.task.Config().Leader, path)
	answer, err := o.client.Do(r.Context(), of.request(method, url, body))
	if err != nil {
		return nil, err
	}
	j.url = answer.Location
	if j.url == "" {
		if !o.variant.ClientChoosesIDs() {
			return nil, errors.New("the leader does not say where the collection job is")
		}
		j.url = url
	}
	handle := rand.Text()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.jobs[handle] = j
	return map[string]string{"status": "success", "handle": handle}, nil
}

// request is a request about a collection job.
func (c *collected) request(method, url string, body []byte) exchange.Request {
	return exchange.Request{
		Method: method, URL: url, Token: c.token, Header: auth.Header, Body: body, Type: dap.TypeCollectionJobReq,
		Want: dap.TypeCollectionJobResp, Limit: c.task.Codec().Limits().Body,
	}
}

type collectionPoll struct {
	Handle string `json:"handle"`
}

func (o *Collector) poll(r *http.Request, in collectionPoll) (any, error) {
	o.mu.Lock()
	j := o.jobs[in.Handle]
	o.mu.Unlock()
	if j == nil {
		return nil, fmt.Errorf("handle %q is not known", in.Handle)
	}
	answer, err := o.client.Do(r.Context(), j.of.request(http.MethodGet, j.url, nil))
	if err != nil {
		return nil, err
	}
	if len(answer.Body) == 0 {
		return map[string]string{"status": "in progress"}, nil
	}
	return o.open(r.Context(), j, answer.Body)
}

// open reads a result, and in the leader-selected mode lets the leader forget the
// job: a query for the next batch has the same bytes.
func (o *Collector) open(ctx context.Context, j *job, body []byte) (any, error) {
	t := j.of.task
	var resp dap.CollectionJobResp
	if err := t.Codec().Decode(&resp, body); err != nil {
		return nil, err
	}
	shares, err := t.OpenCollection(j.of.key, j.of.key, &j.req, &resp)
	if err != nil {
		return nil, err
	}
	result, err := j.of.scheme.unshard(shares, resp.ReportCount)
	if err != nil {
		return nil, err
	}
	if t.Config().BatchMode == dap.LeaderSelectedMode && !o.variant.ClientChoosesIDs() {
		if _, err := o.client.Do(ctx, j.of.request(http.MethodDelete, j.url, nil)); err != nil {
			return nil, fmt.Errorf("deleting the collection job: %w", err)
		}
	}
	p := uint64(t.Config().TimePrecision)
	return map[string]any{
		"status": "complete", "report_count": resp.ReportCount, "result": result,
		"interval_start": uint64(resp.Interval.Start) * p, "interval_duration": uint64(resp.Interval.Duration) * p,
	}, nil
}
