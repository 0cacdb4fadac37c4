package sdktest_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/admission"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
	"github.com/shoal-project/shoal/vdaf"
)

// epoch0 is the epoch in which the tests begin.
var epoch0 = task.Epoch(midnight.Unix() / 86400)

// A deployment is the project's own leader and helper behind one server, and the
// collector's secrets.
type deployment struct {
	t                              *testing.T
	clock                          *clock.Virtual
	server                         *httptest.Server
	leaderKey, helperKey, ownerKey task.IdentityKey
	collectorKey                   task.IdentityKey
	registries                     map[dap.Role]*tasks.Registry
	issuers                        map[dap.Role]*credential.Issuer
	leader                         *leader.Leader
	between, token                 auth.Token
	collector                      *dapkey.PrivateKey
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, clock: clock.NewVirtual(midnight.Add(time.Hour)), registries: map[dap.Role]*tasks.Registry{}, issuers: map[dap.Role]*credential.Issuer{}}
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	for _, k := range []*task.IdentityKey{&d.leaderKey, &d.helperKey, &d.ownerKey, &d.collectorKey} {
		var err error
		*k, err = task.GenerateIdentityKey(rand.Reader)
		note(err)
	}
	for _, token := range []*auth.Token{&d.between, &d.token} {
		var err error
		*token, err = auth.NewToken(rand.Reader)
		note(err)
	}
	var err error
	d.collector, err = dapkey.Generate(5, hpke.X25519, rand.Reader)
	note(err)
	key, err := atrest.GenerateKey(rand.Reader)
	note(err)
	keys, err := atrest.New(key)
	note(err)
	for _, role := range []dap.Role{dap.Leader, dap.Helper} {
		note(d.startIssuer(role))
		d.registries[role], err = tasks.Open(t.Context(), taskstest.NewModel(), tasks.Config{
			Role: role, Keys: keys, Clock: d.clock, Rand: rand.Reader,
			Admission: func(e *tasks.Entry) (dap.Admission, [32]byte, error) { return d.admission(role, e) },
		})
		note(err)
	}
	ours, theirs := leadertest.NewModel(), helpertest.NewModel()
	config := ledger.Config{Keys: keys, Clock: d.clock, Rand: rand.Reader}
	leaderLedgers, err := ledger.New(ours, config)
	note(err)
	helperLedgers, err := ledger.New(theirs, config)
	note(err)
	d.leader, err = leader.New(t.Context(), leader.Config{
		Store: ours, Ledgers: leaderLedgers, Registry: d.registries[dap.Leader], FS: durable.Mem(), Dir: "reports", Clock: d.clock,
		Failed: func(err error) { t.Errorf("the leader says: %v", err) },
	})
	note(err)
	h, err := helper.New(helper.Config{
		Store: theirs, Ledgers: helperLedgers, Registry: d.registries[dap.Helper], Clock: d.clock,
		Report: func(err error) { t.Errorf("the helper says: %v", err) },
	})
	note(err)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/leader/tasks/{task}/credentials/", http.StripPrefix("/leader", d.issuers[dap.Leader].Handler()))
	mux.Handle("/helper/tasks/{task}/credentials/", http.StripPrefix("/helper", d.issuers[dap.Helper].Handler()))
	mux.Handle("/leader/", http.StripPrefix("/leader", d.signing(dap.Leader, d.leaderKey, d.leader.Handler())))
	mux.Handle("/helper/", http.StripPrefix("/helper", d.signing(dap.Helper, d.helperKey, h.Handler())))
	d.server = httptest.NewServer(mux)
	t.Cleanup(d.server.Close)
	t.Cleanup(func() { d.leader.Close() })
	return d
}

// roles are the parts of aggregators in Shoal's tasks.
var roles = map[dap.Role]task.Role{dap.Leader: task.Leader, dap.Helper: task.Helper}

// startIssuer makes the issuer of an aggregator, which admits those that the owner invites.
func (d *deployment) startIssuer(role dap.Role) (err error) {
	by := map[dap.Role]task.IdentityKey{dap.Leader: d.leaderKey, dap.Helper: d.helperKey}[role]
	d.issuers[role], err = credential.NewIssuer(credential.IssuerConfig{
		FS: durable.Mem(), Dir: "credentials", Role: roles[role], Party: by.Public(), Clock: d.clock, Gates: []credential.Gate{credential.Invitations{d.ownerKey.Public()}},
		Sign: func(s credential.Slot, b []byte) ([]byte, error) {
			return witness.Statement{Slot: witness.Slot{Party: s.Party, Purpose: s.Purpose(), Start: s.Start}, End: s.End, Keys: b}.Sign(by)
		},
	})
	return err
}

// admission is how an aggregator admits reports, as package server has it.
func (d *deployment) admission(role dap.Role, e *tasks.Entry) (dap.Admission, [32]byte, error) {
	t, err := task.Parse(e.ShoalTask)
	if err != nil || t.Protection.CredentialEpochs == 0 {
		return nil, [32]byte{}, err
	}
	x, err := admission.New(d.issuers[role], t, e.ID, roles[role])
	return x, admission.List(t, roles[role]), err
}

// signing adds the signature to key lists, as package server does.
func (d *deployment) signing(role dap.Role, by task.IdentityKey, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+dap.HpkeConfigPath {
			next.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.Header().Set(dap.KeySignatureHeader, dap.SignConfigs(by, role, answer.Body.Bytes(), d.clock.Now().Add(2*day)))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// ask signs the questions of a file and configures them at leader and helper.
func (d *deployment) ask(file string) ([]byte, map[string]*task.Task) {
	d.t.Helper()
	f, err := metric.Read("metrics.yaml", []byte(file), d.clock.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	bundle, err := f.Build([]task.Party{
		{Role: task.Leader, URL: d.server.URL + "/leader", Identity: d.leaderKey.Public()},
		{Role: task.Helper, URL: d.server.URL + "/helper", Identity: d.helperKey.Public()},
		{Role: task.Collector, Identity: d.collectorKey.Public()},
	}, d.ownerKey, d.clock.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	byMetric := map[string]*task.Task{}
	for _, s := range bundle.Tasks {
		t, err := task.Parse(s.Bytes)
		if err != nil {
			d.t.Fatal(err)
		}
		byMetric[t.Metric] = t
		made := d.made(t)
		verify, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{7}, 32), made.ID())
		if err != nil {
			d.t.Fatal(err)
		}
		e := tasks.Entry{
			ID: made.ID(), Variant: made.Variant().String(), Config: made.Bytes(), Role: dap.Leader,
			VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: *verify}, CollectorTokens: []auth.Hash{d.token.Hash()},
			Outbound: d.between, Collector: d.collector.Config(), Leeway: time.Minute, Grace: taskconfig.Grace(t),
		}
		e.ShoalTask = s.Bytes
		theirs := e
		theirs.Role, theirs.Inbound, theirs.CollectorTokens, theirs.Outbound = dap.Helper, []auth.Hash{d.between.Hash()}, nil, auth.Token{}
		if err := errors.Join(d.registries[dap.Leader].Add(d.t.Context(), e), d.registries[dap.Helper].Add(d.t.Context(), theirs)); err != nil {
			d.t.Fatal(err)
		}
	}
	b, err := bundle.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	return b, byMetric
}

func (d *deployment) made(t *task.Task) *dap.Task {
	d.t.Helper()
	id, err := t.ID()
	if err != nil {
		d.t.Fatal(err)
	}
	made, err := taskconfig.New(t, id)
	if err != nil {
		d.t.Fatal(err)
	}
	return made
}

// collect asks for an epoch as the collector does.
func (d *deployment) collect(t *task.Task, e task.Epoch) *kind.Result {
	d.t.Helper()
	made := d.made(t)
	job := &dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: dap.Time(e), Duration: 1})}
	body, err := made.Codec().Encode(job)
	if err != nil {
		d.t.Fatal(err)
	}
	method, path := made.Variant().CreateCollectionJob(made.ID(), dap.CollectionJobID{1})
	do := func(method, path string, body []byte) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/"+strings.TrimPrefix(path, "/"), bytes.NewReader(body))
		if body != nil {
			r.Header.Set("Content-Type", dap.TypeCollectionJobReq.MediaType())
		}
		d.token.SetBearer(r.Header)
		answer := httptest.NewRecorder()
		d.leader.Handler().ServeHTTP(answer, r)
		if answer.Code/100 != 2 {
			d.t.Fatalf("collecting %s: %d %s", t.Metric, answer.Code, answer.Body)
		}
		return answer
	}
	answer := do(method, path, body)
	at := strings.TrimPrefix(answer.Header().Get("Location"), d.server.URL+"/leader")
	if made.Variant().ClientChoosesIDs() {
		at = path
	}
	for answer.Body.Len() == 0 {
		if err := d.leader.Tick(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
		d.clock.Advance(time.Second)
		answer = do(http.MethodGet, at, nil)
	}
	var resp dap.CollectionJobResp
	if err := made.Codec().Decode(&resp, answer.Body.Bytes()); err != nil {
		d.t.Fatal(err)
	}
	shares, err := made.OpenCollection(d.collector, d.collector, job, &resp)
	if err != nil {
		d.t.Fatal(err)
	}
	q, err := t.Aggregation.Measure()
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := q.Result(shares, resp.ReportCount)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// The whole way, for each type of question: metrics.yaml, signed tasks, what apps
// record, the SDK's outbox, the project's leader and helper with their noise, and
// the collector's result. A hundred people take part; some record nothing.
func TestWayOfAggregates(t *testing.T) {
	t.Run("exact", func(t *testing.T) { wayOfAggregates(t, false) })
	t.Run("noisy", func(t *testing.T) { wayOfAggregates(t, true) })
}

func wayOfAggregates(t *testing.T, noisy bool) {
	d := deploy(t)
	src, err := os.ReadFile("../../docs/examples/aggregate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The examples, with batches of a hundred and of one day, and no parties: those
	// of the test replace them.
	text := string(src)
	from, to := strings.Index(text, "parties:"), strings.Index(text, "metrics:")
	text = text[:from] + text[to:]
	text = strings.NewReplacer("min_batch: 5000", "", "epoch: 7d", "", "length: 256", "length: 4", "expires: 2028-01-01", "expires: 2028-01-01\n    min_batch: 100\n    max_delay: 6h").Replace(text)
	// All three variants.
	text = strings.NewReplacer("type: sum", "type: sum\n    variant: janus", "type: histogram\n    buckets", "type: histogram\n    variant: dap-19\n    buckets").Replace(text)
	if !noisy {
		text = regexp.MustCompile(`noise: \{.*\}`).ReplaceAllString(text, "noise: none")
	}
	bundle, byMetric := d.ask(text)
	var names []string
	for name := range byMetric {
		names = append(names, name)
	}
	const people = 100
	hours := make([]int, 24)
	hours[9], hours[17] = 30, 10
	for i := range people {
		d.clock.Set(midnight.Add(time.Hour))
		c := sdktest.Open(t, shoal.Options{Bundle: bundle, Owner: task.FormatPublic(d.ownerKey.Public()), Metrics: names, Mode: shoal.On, NoSender: true, Clock: d.clock})
		if i%4 != 0 { // every fourth records nothing
			for _, o := range []shoal.Outcome{
				c.Count("feature.export"), c.Add("pages.printed", int64(i%10)), c.Observe("battery.hours", 8+i%5),
				c.Observe("start.milliseconds", 60*(1+i%3)), c.Observe("plugins", []string{"maps", "chess"}),
				c.Vector("hours", hours), c.Vector("model.update", []float64{0.25, -0.5, 0, 0.125}),
			} {
				if !o.Queued() {
					t.Fatal(o)
				}
			}
		}
		c.Observe("theme", []string{"light", "dark"}[i%2])
		if sent, refused := sdktest.Drain(t, c, d.clock, midnight.Add(day+6*time.Hour)); sent != len(byMetric) || refused != 0 {
			t.Fatalf("person %d: %d reports sent, %d refused", i, sent, refused)
		}
		_ = c.Close()
	}
	d.clock.Forward(midnight.Add(day + 7*time.Hour))
	for name, want := range map[string][]float64{
		"feature.export": {75}, "pages.printed": {350}, "battery.hours": {10}, "theme": {50, 50, 0}, "start.milliseconds": {0, 25, 50, 0, 0, 0, 0, 0},
		"plugins": {0, 0, 0, 0, 75, 0, 75, 0}, "hours": {0, 0, 0, 0, 0, 0, 0, 0, 0, 2250}, "model.update": {18.75, -37.5, 0, 9.375},
	} {
		r := d.collect(byMetric[name], epoch0)
		if r.Reports != people {
			t.Errorf("%s: %d reports of %d people", name, r.Reports, people)
		}
		for i, x := range want {
			row := r.Rows[i]
			// Four times the interval of 95 % is a false alarm once in a million runs;
			// 0.05 is the quantisation of gradients.
			half := (row.High - row.Low) / 2
			if off := math.Abs(row.Estimate - x); off > 4*half+0.05 || (half > 0) != (noisy && name != "theme") {
				t.Errorf("%s, %s: %.2f give or take %.2f, want %.2f", name, row.Label, row.Estimate, half, x)
			}
		}
	}
	if got := fmt.Sprint(d.collect(byMetric["theme"], epoch0).Rows); got != "[{light 50 0 50 50} {dark 50 0 50 50} {high contrast 0 0 0 0}]" {
		t.Errorf("without noise: %s", got)
	}
}

// TestWayOfCredentials covers sums that require credentials, from metrics.yaml to the result:
// people with an invitation count once each epoch, also after the app was installed again with
// the same invitation; one without an invitation sends nothing.
func TestWayOfCredentials(t *testing.T) {
	const people = 100
	d := deploy(t)
	bundle, byMetric := d.ask(`version: 1
owner: Example
metrics:
  feature.used:
    question: Do people use the feature?
    consent: Whether you used the feature.
    method: aggregate
    type: count
    noise: none
    min_batch: 100
    max_delay: 6h
    expires: 2028-01-01
    credential: required
`)
	tk := byMetric["feature.used"]
	if tk.Protection.CredentialEpochs == 0 {
		t.Fatal("the task requires no credentials")
	}
	send := func(code string) (sent, refused int) {
		d.clock.Set(midnight.Add(time.Hour))
		c := sdktest.Open(t, shoal.Options{
			Bundle: bundle, Owner: task.FormatPublic(d.ownerKey.Public()), Metrics: []string{"feature.used"}, Mode: shoal.On, NoSender: true, Clock: d.clock, Admission: code,
		})
		defer c.Close()
		if o := c.Count("feature.used"); !o.Queued() {
			t.Fatal(o)
		}
		return sdktest.Drain(t, c, d.clock, midnight.Add(day+6*time.Hour))
	}
	var last string
	for i := range people {
		code, err := credential.Invite(d.ownerKey, midnight.AddDate(1, 0, 0), rand.Reader)
		must(t, err)
		if sent, refused := send(code); sent != 1 || refused != 0 {
			t.Fatalf("person %d: %d reports sent, %d refused", i, sent, refused)
		}
		last = code
	}
	for what, code := range map[string]string{"an invitation that was used": last, "no invitation": ""} {
		if sent, _ := send(code); sent != 0 {
			t.Errorf("%s: %d reports sent", what, sent)
		}
	}
	d.clock.Forward(midnight.Add(day + 7*time.Hour))
	r := d.collect(tk, epoch0)
	if r.Reports != people || r.Rows[0].Estimate != people {
		t.Errorf("%d reports and a sum of %v of %d people", r.Reports, r.Rows[0].Estimate, people)
	}
}
