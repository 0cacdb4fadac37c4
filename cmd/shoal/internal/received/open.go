package received

import (
	"bytes"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// A layerKind is what a party has opened.
type layerKind uint8

// The kinds.
const (
	request layerKind = iota // an encapsulated request
	report                   // the layer of a shuffler
	record                   // the innermost layer
	share                    // of an aggregate report
	layerKinds
)

// A layer is what a party has opened with its own keys.
type layer struct {
	kind  layerKind
	bytes []byte
	crowd esa.CrowdTag // of a report
	last  bool         // it says what a device has sent, or is a share of that
}

// An opener opens what one party receives.
type opener struct {
	keys  *keyring
	tasks map[string]*opened // by the ID in paths
}

// An opened is a task with what opens its reports.
type opened struct {
	task *task.Task
	id   task.ID
	hops map[int]*esa.Opener

	shares *dap.Task
	codec  dap.Codec
}

func newOpener(keys *keyring, all []task.Opened) (*opener, error) {
	o := &opener{keys, map[string]*opened{}}
	for _, t := range all {
		if t.Task.Method == task.Aggregate {
			made, err := taskconfig.New(t.Task, t.ID)
			if err != nil {
				return nil, err
			}
			o.tasks[made.ID().String()] = &opened{task: t.Task, id: t.ID, shares: made, codec: made.Codec()}
			continue
		}
		hops := map[int]*esa.Opener{}
		for i, p := range t.Task.Hops {
			if len(keys.layers[p.Role]) == 0 {
				continue
			}
			var err error
			if hops[i], err = esa.NewOpener(t.Task, t.ID, i, keys.layers[p.Role]...); err != nil {
				return nil, err
			}
		}
		o.tasks[t.ID.String()] = &opened{task: t.Task, id: t.ID, hops: hops}
	}
	return o, nil
}

// open returns the layers of a message that the party has the keys of. What it cannot
// open is no error: it is searched as it is.
func (o *opener) open(m message) []layer {
	method, path, _ := strings.Cut(m.path, " ")
	if strings.HasPrefix(path, "/gateway") && len(o.keys.gateway) > 0 {
		plain, _, err := ohttp.Decapsulate(o.keys.gateway, m.body)
		if err != nil {
			return nil
		}
		all := []layer{{kind: request, bytes: plain}}
		if r, err := bhttp.DecodeRequest(plain, bhttp.DefaultLimits()); err == nil {
			all = append(all, o.open(message{path: r.Method + " " + r.Path, body: r.Content})...)
		}
		return all
	}
	parts := strings.Split(path, "/")
	if len(parts) < 4 || parts[1] != "tasks" || o.tasks[parts[2]] == nil {
		return nil
	}
	t := o.tasks[parts[2]]
	switch {
	case method == "POST" && parts[3] == "reports" && t.shares == nil:
		return t.report(m.body)
	case method == "PUT" && parts[3] == "batches" && t.shares == nil:
		return t.batch(m.body)
	case method == "POST" && parts[3] == "reports":
		return o.upload(t, m.body)
	case (method == "PUT" || method == "POST") && parts[3] == "aggregation_jobs":
		return o.job(t, m.body)
	}
	return nil
}

// report opens the outermost layer of a report.
func (t *opened) report(body []byte) []layer {
	h, err := esa.ParseHeader(body)
	if err != nil || t.hops[0] == nil {
		return nil
	}
	l, err := t.hops[0].Open(body, h.Epoch)
	if err != nil {
		return nil
	}
	return []layer{t.layer(l, 0)}
}

// batch opens the layers of what a shuffler hands over.
func (t *opened) batch(body []byte) []layer {
	for i := range t.task.Hops {
		b, err := esa.OpenBatch(bytes.NewReader(body), int64(len(body)), t.task, t.id, i)
		if err != nil || t.hops[i+1] == nil {
			continue
		}
		var all []layer
		for row, err := range b.Layers() {
			if err != nil {
				return all
			}
			if l, err := t.hops[i+1].Open(row, b.Header().Epoch); err == nil {
				all = append(all, t.layer(l, i+1))
			}
		}
		return all
	}
	return nil
}

func (t *opened) layer(l esa.Layer, hop int) layer {
	out := layer{kind: report, bytes: bytes.Clone(l.Next), crowd: l.Crowd}
	for _, x := range l.Extensions {
		out.bytes = append(out.bytes, x.Data...)
	}
	if hop == len(t.task.Hops)-1 {
		out.kind, out.last = record, true
	}
	return out
}

// upload opens the leader's share of a report.
func (o *opener) upload(t *opened, body []byte) []layer {
	var r dap.Report
	if t.codec.Decode(&r, body) != nil {
		return nil
	}
	return o.share(t, dap.Leader, &dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: r.LeaderShare})
}

// job opens the helper's shares of an aggregation job.
func (o *opener) job(t *opened, body []byte) []layer {
	var r dap.AggregationJobInitReq
	if t.codec.Decode(&r, body) != nil {
		return nil
	}
	var all []layer
	for i := range r.VerifyInits {
		all = append(all, o.share(t, dap.Helper, &r.VerifyInits[i].Share)...)
	}
	return all
}

func (o *opener) share(t *opened, role dap.Role, s *dap.ReportShare) []layer {
	ring := o.keys.shares[role]
	if ring == nil {
		return nil
	}
	key := ring.Find(s.InputShare.ConfigID, time.Time{})
	if key == nil {
		return nil
	}
	opened, err := t.shares.OpenInputShare(key, role, s)
	if err != nil {
		return nil
	}
	return []layer{{kind: share, bytes: opened.Payload, last: true}}
}
