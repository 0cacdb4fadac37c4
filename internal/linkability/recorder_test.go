package linkability_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// A recorder makes events of what the servers got. It has the private keys of all
// parties, and knows whose message each is, which views do not.
type recorder struct {
	w *world

	mu       sync.Mutex
	pending  []*exchange // until the next refresh of keys
	people   map[[32]byte]int
	gateways map[string]map[string]*ohttp.PrivateKey // by address and text
	layers   map[task.Role]map[string]*esa.PrivateKey
	openers  map[opens]*esa.Opener
	routes   map[task.ID]string
	reports  map[string]uint64               // by the name of a request
	rows     map[[32]byte]*letter            // by the inner layer, or the report's ID
	sent     map[[32]byte]*linkability.Event // what the relay got, by the body
	links    map[*linkability.Event]uint64   // the relay's connection to the gateway for each

	client, upstream []*linkability.Event
	letters          []*letter // in the order of arrival
	batches, jobs    []*linkability.Event
	issued           []*linkability.Event // requests for credentials, at the gateway
}

// opens is what an opener opens: the layers for one role, of one task.
type opens struct {
	task task.ID
	role task.Role
}

// A letter is one report as the gateway and the role behind it have it.
type letter struct {
	person int
	report uint64
	events []*linkability.Event // one for each time it was sent
}

func newRecorder(w *world) *recorder {
	return &recorder{
		w: w, people: map[[32]byte]int{}, gateways: map[string]map[string]*ohttp.PrivateKey{}, layers: map[task.Role]map[string]*esa.PrivateKey{},
		openers: map[opens]*esa.Opener{}, routes: map[task.ID]string{}, reports: map[string]uint64{}, rows: map[[32]byte]*letter{},
		sent: map[[32]byte]*linkability.Event{}, links: map[*linkability.Event]uint64{},
	}
}

// take is called with each exchange.
func (r *recorder) take(e *exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.w.orgs {
		if o.address == e.server {
			r.pending = append(r.pending, e)
		}
	}
}

// open reads the parties' keys for the first time.
func (r *recorder) open() {
	for _, t := range r.w.tasks {
		id, err := t.ID()
		must(r.w.t, err)
		r.routes[id] = t.Metric
	}
	r.refresh()
}

// keyLines returns the first word of each line of a file of keys.
func (r *recorder) keyLines(o *org, role task.Role) []string {
	b, err := os.ReadFile(filepath.Join(o.dir, "keys", role.String()+".keys"))
	must(r.w.t, err)
	var lines []string
	for line := range strings.Lines(string(b)) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word != "" && word[0] != '#' {
			lines = append(lines, word)
		}
	}
	return lines
}

// extraKey is one by which requests to an organisation are sealed, that is not in its file.
func (r *recorder) extraKey(name string, key *ohttp.PrivateKey) {
	r.gateways[r.w.orgs[name].address][string(key.Config().PublicKey)] = key
}

// refresh takes the keys that there are now, and reads what was recorded up to now.
func (r *recorder) refresh() {
	t := r.w.t
	for name, role := range map[string]task.Role{"first": task.Shuffler, "second": task.Analyzer} {
		o := r.w.orgs[name]
		if r.gateways[o.address] == nil {
			r.gateways[o.address], r.layers[role] = map[string]*ohttp.PrivateKey{}, map[string]*esa.PrivateKey{}
		}
		for _, line := range r.keyLines(o, task.Gateway) {
			key, err := ohttp.ParsePrivateKey(line)
			must(t, err)
			r.gateways[o.address][line] = key
		}
		for _, line := range r.keyLines(o, role) {
			key, err := esa.ParsePrivateKey(line)
			must(t, err)
			r.layers[role][line] = key
		}
		for _, tk := range r.w.tasks {
			if tk.Method == task.Crowd {
				r.opener(tk, role)
			}
		}
	}
	r.mu.Lock()
	pending := r.pending
	r.pending = nil
	r.mu.Unlock()
	// A request that the relay forwards is read after that of the client.
	slices.SortFunc(pending, func(a, b *exchange) int { return cmp.Compare(a.order, b.order) })
	for _, e := range pending {
		r.read(e)
	}
}

// opener makes what opens the layers of a task for a role, with all keys that there were.
func (r *recorder) opener(t *task.Task, role task.Role) {
	id, err := t.ID()
	must(r.w.t, err)
	hop := map[task.Role]int{task.Shuffler: 0, task.Analyzer: 1}[role]
	r.openers[opens{id, role}], err = esa.NewOpener(t, id, hop, slices.Collect(maps.Values(r.layers[role]))...)
	must(r.w.t, err)
}

// read makes events of an exchange.
func (r *recorder) read(e *exchange) {
	q, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.in)))
	if err != nil {
		r.w.t.Errorf("reading a recorded request: %v", err)
		return
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		r.w.t.Errorf("reading a recorded request to %s: %v", q.URL.Path, err)
		return
	}
	event := r.outside(e, q, body)
	if e.server == r.w.orgs["relay"].address {
		event.Person = e.person
		r.people[sha256.Sum256(body)] = e.person
		if event.Kind == linkability.KindReport {
			r.sent[sha256.Sum256(body)] = event
		}
		r.client = append(r.client, event)
		return
	}
	switch {
	case q.URL.Path == relay.GatewayPath:
		r.gateway(e, event, body)
	case q.URL.Path == relay.IssuancePath:
		r.issuance(e, event, body)
	case strings.HasSuffix(q.URL.Path, "/batches") || strings.Contains(q.URL.Path, "/batches/"):
		r.batch(event, body)
	case strings.HasSuffix(q.URL.Path, "/aggregation_jobs"):
		r.job(event, body)
	}
}

// outside returns what an exchange shows without any key.
func (r *recorder) outside(e *exchange, q *http.Request, body []byte) *linkability.Event {
	kind := "other"
	switch {
	case strings.HasSuffix(q.URL.Path, ".issuance") || q.URL.Path == relay.IssuancePath:
		kind = "issuance"
	case strings.HasPrefix(q.URL.Path, "/gateways/") || q.URL.Path == relay.GatewayPath:
		kind = linkability.KindReport
	case strings.HasPrefix(q.URL.Path, "/keys/"):
		kind = "keys"
	case strings.HasPrefix(q.URL.Path, "/minute"):
		kind = "minute"
	}
	event := &linkability.Event{
		Kind: kind, Person: -1, At: e.at, Order: e.order, Conn: e.conn, Epoch: e.at.Unix() / int64(r.w.plan.epoch()/time.Second), Prints: linkability.Prints(body),
		Numbers: []linkability.Number{
			{Name: "bytes of request", Value: float64(len(e.in))}, {Name: "bytes of answer", Value: float64(len(e.out))}, {Name: "number on connection", Value: float64(e.nth)},
		},
		Tokens: []linkability.Token{{Name: "path", Value: linkability.TokenOf([]byte(q.Method + q.URL.Path))}},
	}
	head, _, _ := bytes.Cut(e.in, []byte("\r\n\r\n"))
	_, fields, _ := bytes.Cut(head, []byte("\r\n"))
	event.Tokens = append(event.Tokens, linkability.Token{Name: "header", Value: linkability.TokenOf(fields)})
	if kind == linkability.KindReport && len(body) > 0 {
		event.Tokens = append(event.Tokens, linkability.Token{Name: "key of request", Value: uint64(body[0])})
	}
	r.header(event, "", q.Header)
	return event
}

// header adds the fields of a header: their values, and what a time in one is ahead.
func (r *recorder) header(event *linkability.Event, prefix string, h http.Header) {
	for name, values := range h {
		for _, value := range values {
			event.Tokens = append(event.Tokens, linkability.Token{Name: prefix + name, Value: linkability.TokenOf([]byte(value))})
			if at, err := http.ParseTime(value); err == nil {
				event.Numbers = append(event.Numbers, linkability.Number{Name: prefix + name + " ahead", Value: at.Sub(event.At).Seconds()})
			}
		}
	}
}

// gateway reads a request as the gateway can, and the role behind it.
func (r *recorder) gateway(e *exchange, event *linkability.Event, body []byte) {
	event.Person = r.personOf(body)
	r.upstream = append(r.upstream, event)
	m, encoded := r.opened(e.server, body)
	if m == nil {
		return // the gateway cannot either
	}
	if !strings.HasSuffix(m.Path, "/reports") {
		event.Kind = "other"
		return
	}
	name := m.Path
	inner := *event
	inner.Tokens = append(slices.Clone(event.Tokens), linkability.Token{Name: "gateway key", Value: uint64(body[0])}, linkability.Token{Name: "inner path", Value: linkability.TokenOf([]byte(m.Path))})
	inner.Numbers = append(slices.Clone(event.Numbers), linkability.Number{Name: "inner bytes", Value: float64(len(bytes.TrimRight(encoded, "\x00")))})
	h := http.Header{}
	for _, f := range m.Header {
		h.Add(f.Name, f.Value)
		if http.CanonicalHeaderKey(f.Name) == ohttp.RequestIDField {
			name += f.Value
		}
	}
	r.header(&inner, "inner ", h)
	inner.Prints = linkability.Prints(append(slices.Clone(m.Content), []byte(name)...))
	if r.reports[name] == 0 {
		r.reports[name] = uint64(len(r.reports) + 1)
	}
	event.Report, inner.Report = r.reports[name], r.reports[name]
	r.role(&inner, m)
	event.Route, event.Epoch = inner.Route, inner.Epoch
	if from := r.sent[sha256.Sum256(body)]; from != nil {
		from.Report, from.Route, from.Epoch = inner.Report, inner.Route, inner.Epoch
		r.links[from] = event.Conn
	}
	r.note(&inner)
}

// opened opens a request by the keys of a gateway, of which several may have one number.
func (r *recorder) opened(server string, body []byte) (*bhttp.Request, []byte) {
	for _, key := range r.gateways[server] {
		encoded, _, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, body)
		if err != nil {
			continue
		}
		m, err := bhttp.DecodeRequest(encoded, bhttp.DefaultLimits())
		must(r.w.t, err)
		return m, encoded
	}
	return nil, nil
}

// issuance reads a request for a credential. Who is admitted is known to the issuer: the
// request has the invitation.
func (r *recorder) issuance(e *exchange, event *linkability.Event, body []byte) {
	event.Person = r.personOf(body)
	m, _ := r.opened(e.server, body)
	if m == nil || m.Method != http.MethodPost || event.Person < 0 {
		return
	}
	event.Contents = append(event.Contents, linkability.Token{Name: "invitation", Value: uint64(event.Person + 1)}) //nolint:gosec // not negative
	r.issued = append(r.issued, event)
}

// note puts a request to the other times that the same report was sent.
func (r *recorder) note(event *linkability.Event) {
	for _, l := range r.letters[max(0, len(r.letters)-1000):] {
		if l.report == event.Report {
			l.events = append(l.events, event)
			return
		}
	}
	r.letters = append(r.letters, &letter{person: event.Person, report: event.Report, events: []*linkability.Event{event}})
}

// personOf returns who sealed a request. The client's part of it may have been recorded
// later, because its connection is still open.
func (r *recorder) personOf(body []byte) int {
	if p, ok := r.people[sha256.Sum256(body)]; ok {
		return p
	}
	return -1
}

// role opens what the role behind the gateway gets.
func (r *recorder) role(event *linkability.Event, m *bhttp.Request) {
	for _, f := range m.Header {
		if strings.EqualFold(f.Name, "content-type") && strings.HasPrefix(f.Value, "application/shoal-report") {
			r.frame(event, m.Content)
			return
		}
	}
	var upload dap.UploadRequest
	if err := dap.NewCodec(dap.DAP18()).Decode(&upload, m.Content); err != nil || len(upload.Reports) != 1 {
		return
	}
	event.Route = "aggregate"
	d := upload.Reports[0].Metadata
	event.Epoch = int64(d.Time)
	event.Tokens = append(event.Tokens,
		linkability.Token{Name: "leader's key", Value: uint64(upload.Reports[0].LeaderShare.ConfigID)},
		linkability.Token{Name: "helper's key", Value: uint64(upload.Reports[0].HelperShare.ConfigID)},
		linkability.Token{Name: "extensions", Value: linkability.TokenOf(d.PublicExtensions)},
	)
	r.rows[sha256.Sum256(d.ID[:])] = &letter{person: event.Person, report: event.Report}
}

// frame opens a report of the crowd route at the shuffler.
func (r *recorder) frame(event *linkability.Event, report []byte) {
	h, err := esa.ParseHeader(report)
	must(r.w.t, err)
	event.Route, event.Epoch = r.routes[h.Task], int64(h.Epoch)
	event.Tokens = append(event.Tokens, linkability.Token{Name: "shuffler's key", Value: linkability.TokenOf(h.Key[:])})
	layer, err := r.openers[opens{h.Task, task.Shuffler}].Open(report, h.Epoch)
	must(r.w.t, err)
	event.Contents = append(event.Contents, linkability.Token{Name: "crowd", Value: linkability.TokenOf(layer.Crowd[:])})
	plain := bytes.Clone(layer.Next)
	for _, x := range layer.Extensions {
		plain = append(plain, x.Data...)
	}
	event.Prints = append(event.Prints, linkability.Prints(plain)...)
	slices.Sort(event.Prints)
	event.Prints = slices.Compact(event.Prints)
	if next, err := esa.ParseHeader(layer.Next); err == nil {
		event.Tokens = append(event.Tokens, linkability.Token{Name: "analyzer's key", Value: linkability.TokenOf(next.Key[:])})
	}
	r.rows[sha256.Sum256(layer.Next)] = &letter{person: event.Person, report: event.Report}
}

// batch reads what the analyzer gets of an epoch.
func (r *recorder) batch(event *linkability.Event, body []byte) {
	h, err := esa.PeekBatchHeader(body)
	if err != nil {
		return
	}
	rows := body[esa.BatchHeaderSize:]
	for i := range int(h.Released) {
		row := rows[i*int(h.RowSize):][:h.RowSize]
		layer := row[h.TagSize():]
		known := r.rows[sha256.Sum256(layer)]
		if known == nil {
			r.w.t.Error("a row of a batch that no client has sent")
			continue
		}
		opened, err := r.openers[opens{h.Task, task.Analyzer}].Open(layer, h.Epoch)
		must(r.w.t, err)
		header, err := esa.ParseHeader(layer)
		must(r.w.t, err)
		r.batches = append(r.batches, &linkability.Event{
			Kind: linkability.KindReport, Person: known.person, Report: known.report, Route: r.routes[h.Task], Epoch: int64(h.Epoch), Order: i,
			Contents: []linkability.Token{{Name: "record", Value: linkability.TokenOf(opened.Next)}},
			Numbers:  []linkability.Number{{Name: "row", Value: float64(i)}},
			Tokens:   []linkability.Token{{Name: "analyzer's key", Value: linkability.TokenOf(header.Key[:])}},
			Prints:   linkability.Prints(layer),
		})
	}
}

// job reads what the helper gets in one aggregation job.
func (r *recorder) job(event *linkability.Event, body []byte) {
	_, reports, err := dap.NewCodec(dap.DAP18()).ReadAggregationJobInitReq(bytes.NewReader(body))
	must(r.w.t, err)
	i := -1
	for v, err := range reports.All() {
		must(r.w.t, err)
		i++
		known := r.rows[sha256.Sum256(v.Share.Metadata.ID[:])]
		if known == nil {
			r.w.t.Error("a report in a job that no client has sent")
			continue
		}
		row := *event
		row.Kind, row.Person, row.Report, row.Route, row.Epoch = linkability.KindReport, known.person, known.report, "aggregate", int64(v.Share.Metadata.Time)
		row.Numbers = append(slices.Clone(event.Numbers), linkability.Number{Name: "row", Value: float64(i)})
		row.Tokens = append(slices.Clone(event.Tokens),
			linkability.Token{Name: "helper's key", Value: uint64(v.Share.InputShare.ConfigID)},
			linkability.Token{Name: "extensions", Value: linkability.TokenOf(v.Share.Metadata.PublicExtensions)},
		)
		row.Prints = linkability.Prints(slices.Concat(v.Share.Metadata.ID[:], v.Share.PublicShare, v.Share.InputShare.Enc, v.Share.InputShare.Payload))
		r.jobs = append(r.jobs, &row)
	}
}
