package shoal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/hardened"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	reportType = "application/shoal-report;v=1"
	keysType   = "application/shoal-keys;v=1"

	maxKeys        = 1 << 20          // bytes of a list of key configurations
	maxTasks       = 256              // that are kept once they were checked
	keysFor        = time.Hour        // how long key configurations are used before they are fetched again
	requestTimeout = 60 * time.Second // with one request
)

// A route takes reports of one method to the first party of their task, and nowhere
// else. It is safe for concurrent use.
type route interface {
	outbox.Sealer
	outbox.Sender
}

// An uploader seals and sends what is in an outbox, each report by the route of its
// method.
type uploader struct {
	clock  Clock
	relays *relay.Client // of tasks that have one
	routes map[task.Method]route
	owners owners
	signed *signedTasks      // that the wallet and the records of hardened tasks read
	rt     http.RoundTripper // to the parties of tasks without a relay

	// wallet has the credentials of tasks that require them, records the values of hardened
	// ones. They are set before anything is sealed. If the wallet cannot be used unusable says
	// why, and what needs no credentials goes on.
	wallet   *credential.Wallet
	records  *hardened.Records
	unusable error
}

func newUploader(rt http.RoundTripper, c Clock, o owners) *uploader {
	relays := relay.NewClient(rt, c)
	if rt == nil {
		rt = client.Transport()
	}
	return &uploader{clock: c, relays: relays, owners: o, signed: &signedTasks{owners: o}, rt: rt, routes: map[task.Method]route{
		task.Crowd:     newCrowdRoute(rt, relays, c, o),
		task.Aggregate: newAggregateRoute(rt, relays, c, o),
	}}
}

// openWallet opens the wallet beside an outbox. A wallet that cannot be read is no error:
// it concerns the metrics that require credentials alone.
func (u *uploader) openWallet(box *outbox.Box, dir string, fsys durable.FS, o Options) error {
	key, err := box.Subkey("wallet")
	if err != nil {
		return err
	}
	u.wallet, u.unusable = credential.OpenWallet(credential.WalletOptions{
		Dir: dir, FS: fsys, Key: key, Admission: []byte(o.Admission), Clock: o.Clock, Rand: o.Rand,
		Open: openAnnounced, Tasks: u.signed.open,
	})
	crowd := u.routes[task.Crowd].(*crowdRoute)
	if u.unusable != nil {
		u.wallet = nil
		u.unusable = fmt.Errorf("metrics that require credentials wait until those of this device can be read; without the file, it gets others in its next period: %w", u.unusable)
		crowd.unusable = u.unusable
		return nil
	}
	u.records, err = hardened.Open(hardened.Options{
		Dir: dir, FS: fsys, Box: box, Wallet: u.wallet, Tasks: u.signed.open, Direct: u.rt, Clock: o.Clock, Rand: o.Rand,
		Way: func(t *task.Task) (hardened.Way, error) { return u.relays.Way(t) },
		OpenKey: func(t *task.Task, id task.ID, e task.Epoch, announced []byte) ([]byte, error) {
			return relay.EvaluationSlot(t, id, e).Open(announced)
		},
	})
	crowd.credentials, crowd.records = u.wallet, u.records
	u.routes[task.Aggregate].(*aggregateRoute).credentials = u.wallet
	return err
}

// prepare does what records of hardened tasks wait for, and returns when it is to be called
// again.
func (u *uploader) prepare(ctx context.Context) (time.Time, error) {
	if u.records == nil {
		return time.Time{}, nil
	}
	return u.records.Prepare(ctx)
}

// openAnnounced checks that the issuer itself has announced a key of credentials, and that
// the relay of the task, if it has one, has signed it for all clients.
func openAnnounced(t *task.Task, s credential.Slot, announced []byte) ([]byte, error) {
	return relay.CredentialSlot(t, s).Open(announced)
}

// issuer returns how the issuer of a party of a task is reached.
func (u *uploader) issuer(t *task.Task, p task.Party) (credential.Route, error) {
	if !t.Relayed() {
		return credential.Route{Keys: u.rt, Issuance: u.rt}, nil
	}
	way, err := u.relays.Way(t)
	if err != nil {
		return credential.Route{}, err
	}
	keys, err := way.Transport(p)
	if err != nil {
		return credential.Route{}, err
	}
	issuance, err := way.Issuance(p)
	return credential.Route{Keys: keys, Issuance: issuance, Now: way.Now}, err
}

// usable returns why a metric of a task cannot be reported, nil if it can.
func (u *uploader) usable(t *task.Task) error {
	if t.Protection.CredentialEpochs == 0 {
		return nil
	}
	return u.unusable
}

// enrol makes the wallet fetch credentials for the metrics that require them: when the
// person agrees, not when something is recorded.
func (u *uploader) enrol(metrics map[string]*metric, now time.Time) error {
	for _, m := range metrics {
		if m.task.Protection.CredentialEpochs == 0 || m.task.Expires <= now.Unix() || u.wallet == nil {
			continue
		}
		if err := u.wallet.Enrol(m.signed); err != nil {
			return err
		}
	}
	return nil
}

// leave ends fetching for the metrics of an owner.
func (u *uploader) leave(owner string) error {
	if u.wallet == nil {
		return nil
	}
	return u.wallet.Leave(func(t *task.Task) bool { return task.FormatPublic(t.Owner) == owner })
}

// fetch fetches the credentials that are due, and returns when it is to be called again.
func (u *uploader) fetch(ctx context.Context) (time.Time, error) {
	if u.wallet == nil {
		return time.Time{}, u.unusable
	}
	return u.wallet.Fetch(ctx, u.issuer)
}

// Seal implements [outbox.Sealer].
func (u *uploader) Seal(ctx context.Context, e outbox.Entry) ([]byte, error) {
	r, err := u.route(e)
	if err != nil {
		return nil, err
	}
	return r.Seal(ctx, e)
}

// Send implements [outbox.Sender].
func (u *uploader) Send(ctx context.Context, e outbox.Entry, report []byte) error {
	r, err := u.route(e)
	if err != nil {
		return err
	}
	return r.Send(ctx, e, report)
}

func (u *uploader) route(e outbox.Entry) (route, error) {
	r := u.routes[e.Method]
	if r == nil {
		return nil, fmt.Errorf("entry %d: no route for method %d", e.ID, e.Method)
	}
	return r, nil
}

// A crowdRoute seals reports to the parties of a task and posts them to the first.
type crowdRoute struct {
	client *http.Client // to the parties of tasks without a relay
	relays *relay.Client
	clock  Clock
	owners owners
	// credentials are shown with reports of tasks that require them.
	credentials *credential.Wallet
	records     *hardened.Records // of hardened tasks
	unusable    error             // why there is no wallet

	keys *keyring.Cache[*destination]

	mu    sync.Mutex
	tasks map[task.ID]*task.Task // that were checked; guarded by mu
}

// A destination is a task with the keys of its parties.
type destination struct {
	task    *task.Task
	encoder *encoder.Encoder
	keys    []task.Key // one a hop; nil of a task with a relay, which has keys for each period
}

func newCrowdRoute(rt http.RoundTripper, relays *relay.Client, c Clock, o owners) *crowdRoute {
	return &crowdRoute{
		client: newHTTPClient(rt),
		relays: relays,
		clock:  c,
		owners: o,
		keys:   keyring.NewCache[*destination](c, requestTimeout, 0),
		tasks:  map[task.ID]*task.Task{},
	}
}

// newHTTPClient returns a client that follows no redirect.
func newHTTPClient(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     rt,
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Seal implements [outbox.Sealer].
func (c *crowdRoute) Seal(ctx context.Context, e outbox.Entry) ([]byte, error) {
	d, err := c.destination(ctx, e)
	if err != nil {
		return nil, err
	}
	f, err := d.encoder.Parse(e.Record)
	if err != nil {
		return nil, &outbox.Refused{Cause: "unreadable", Err: err}
	}
	if d.task.Protection.CredentialEpochs > 0 && c.unusable != nil {
		return nil, c.unusable
	}
	keys := d.keys
	if d.task.Relayed() {
		way, err := c.relays.Way(d.task)
		if err != nil {
			return nil, err
		}
		if err := timely(ctx, way, d.task, e); err != nil {
			return nil, err
		}
		if keys, err = way.HopKeys(ctx, d.task); err != nil {
			return nil, err
		}
	}
	var show encoder.Credentials
	if c.credentials != nil {
		show = c.credentials
	}
	report, err := c.seal(d, f, e.Epoch, keys, show) //nolint:contextcheck // to seal is to compute: there is nothing to wait for
	switch {
	case errors.Is(err, encoder.ErrEpoch):
		return nil, &outbox.Refused{Cause: outbox.Expired, Err: err}
	case errors.Is(err, credential.ErrExhausted): // a crash has lost a nonce
		return nil, &outbox.Refused{Cause: "credentialSpent", Err: err}
	}
	return report, err
}

// task returns the task of an entry. The bytes that are stored with entries are checked
// once: the ID is their digest.
func (c *crowdRoute) task(e outbox.Entry) (*task.Task, error) {
	c.mu.Lock()
	t := c.tasks[e.Task]
	c.mu.Unlock()
	if t != nil && t.First().URL == e.Destination {
		return t, nil
	}
	t, err := c.owners.open(e)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tasks) == maxTasks {
		clear(c.tasks)
	}
	c.tasks[e.Task] = t
	return t, nil
}

// seal seals a report, that of a hardened task with what its value was evaluated to.
func (c *crowdRoute) seal(d *destination, f encoder.Fragment, e task.Epoch, keys []task.Key, show encoder.Credentials) ([]byte, error) {
	if !d.task.Hardened() {
		return d.encoder.SealShowing(f, e, keys, show)
	}
	if c.records == nil || show == nil {
		return nil, errors.New("the outbox has no evaluations")
	}
	id, err := d.task.ID()
	if err != nil {
		return nil, err
	}
	output, err := c.records.Output(id, e, f.Crowd)
	if err != nil {
		return nil, err
	}
	defer clear(output)
	return d.encoder.SealHardened(f, e, keys, output, show)
}

// destination returns the task of an entry and current keys of its parties,
// which it fetches when they are missing or old.
func (c *crowdRoute) destination(ctx context.Context, e outbox.Entry) (*destination, error) {
	return c.keys.Get(ctx, e.Task.String(), func(ctx context.Context, now time.Time) (keyring.Announcement[*destination], error) {
		var none keyring.Announcement[*destination]
		t, err := c.task(e)
		if err != nil {
			return none, err
		}
		enc, err := encoder.New(t, e.Task)
		if err != nil {
			return none, err
		}
		if t.Relayed() {
			return keyring.Announcement[*destination]{Value: &destination{task: t, encoder: enc}, Fresh: now.Add(keysFor)}, nil
		}
		configs, err := c.fetchKeys(ctx, t, e.Task, now)
		if err != nil {
			return none, fmt.Errorf("keys of metric %q: %w", t.Metric, err)
		}
		keys, err := esa.ChooseKeys(t, configs, now)
		if err != nil {
			return none, err
		}
		return keyring.Announcement[*destination]{Value: &destination{t, enc, keys}, Fresh: validUntil(now, configs, keys)}, nil
	})
}

// validUntil returns until when the keys are used.
func validUntil(now time.Time, configs []*task.KeyConfig, keys []task.Key) time.Time {
	until := now.Add(keysFor).Unix()
	for _, config := range configs {
		until = min(until, config.NotAfter)
	}
	for _, key := range keys {
		until = min(until, key.NotAfter)
	}
	return time.Unix(until, 0)
}

// forget drops the keys of a task, so that its next report is sealed to keys that are
// fetched again.
func (c *crowdRoute) forget(id task.ID) { c.keys.Forget(id.String()) }

// fetchKeys asks the first party for the key configurations of all and checks
// their signatures.
func (c *crowdRoute) fetchKeys(ctx context.Context, t *task.Task, id task.ID, now time.Time) ([]*task.KeyConfig, error) {
	req, err := newRequest(ctx, http.MethodGet, t.First().URL, id, "keys", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	if !sameType(resp.Header.Get("Content-Type"), keysType) {
		return nil, errors.New("the answer is not a list of key configurations")
	}
	body, err := keyring.ReadBody(resp, maxKeys)
	if err != nil {
		return nil, err
	}
	list, err := task.ParseKeyConfigList(body)
	if err != nil {
		return nil, err
	}
	return list.Open(t, now)
}

// Send implements [outbox.Sender].
func (c *crowdRoute) Send(ctx context.Context, e outbox.Entry, report []byte) error {
	t, err := c.task(e)
	if err != nil {
		return err
	}
	req, err := newRequest(ctx, http.MethodPost, e.Destination, e.Task, "reports", report)
	if err != nil {
		return err
	}
	to := c.client
	if t.Relayed() {
		if to, err = c.relayed(ctx, t, e); err != nil {
			return err
		}
	}
	resp, err := to.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusCreated:
		return nil
	case code >= 400 && !problem.Temporary(code):
		// It may be that our keys are old. This report was sealed to them and
		// stays so: a party that could get a second ciphertext could count it twice.
		c.forget(e.Task)
		if cause, ours := cause(resp, c.clock.Now()); ours {
			return &outbox.Refused{Cause: cause, Err: fmt.Errorf("HTTP %d", code)}
		}
		return fmt.Errorf("HTTP %d, but not in the party's words: a proxy may answer in its place", code)
	default:
		return fmt.Errorf("HTTP %d", code)
	}
}

// relayed returns the client that reaches the first party of an entry's task through its
// relay, if the entry may be sent now.
func (c *crowdRoute) relayed(ctx context.Context, t *task.Task, e outbox.Entry) (*http.Client, error) {
	way, err := c.relays.Way(t)
	if err != nil {
		return nil, err
	}
	if err := timely(ctx, way, t, e); err != nil {
		return nil, err
	}
	rt, err := way.Transport(t.First())
	if err != nil {
		return nil, err
	}
	return newHTTPClient(rt), nil
}

// timely returns nil if an entry may be sealed and sent now, by the relay's clock.
func timely(ctx context.Context, way *relay.Way, t *task.Task, e outbox.Entry) error {
	err := way.Timely(ctx, t, e.Epoch)
	if errors.Is(err, relay.ErrLate) {
		return &outbox.Refused{Cause: outbox.Expired, Err: err}
	}
	return err
}

// newRequest makes a request with the fewest headers that HTTP allows, the same
// for every client.
func newRequest(ctx context.Context, method, base string, id task.ID, what string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+"/tasks/"+id.String()+"/"+what, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header["User-Agent"] = nil // none, rather than the library's
	if body != nil {
		req.Header.Set("Content-Type", reportType)
	}
	return req, nil
}

// cause reads from a problem document (RFC 9457) why a report is refused. It
// returns false if the answer is not one of Shoal's: proxies and firewalls
// answer by pages of their own, and nothing is dropped for those.
func cause(resp *http.Response, now time.Time) (outbox.Cause, bool) {
	name, ours := problem.Read(resp, now).Name()
	return outbox.Cause(name), ours
}

// sameType compares media types, parameters included.
func sameType(got, want string) bool {
	g, gp, err := mime.ParseMediaType(got)
	if err != nil {
		return false
	}
	w, wp, err := mime.ParseMediaType(want)
	return err == nil && g == w && gp["v"] == wp["v"]
}

// owners are those whose tasks are accepted; nil: any that has signed its task.
type owners []ed25519.PublicKey

// openSigned checks a signed task.
func (o owners) openSigned(b []byte) (*task.Task, task.ID, error) {
	signed, err := task.ParseSigned(b)
	if err != nil {
		return nil, task.ID{}, err
	}
	if o == nil {
		unproven, err := task.Parse(signed.Bytes)
		if err != nil {
			return nil, task.ID{}, err
		}
		o = owners{unproven.Owner} // Open checks that they signed
	}
	return signed.Open(o)
}

// signedTasks are signed tasks that were checked: the wallet and the records of hardened
// tasks ask for them whenever something is due.
type signedTasks struct {
	owners owners

	mu    sync.Mutex
	known map[[sha256.Size]byte]signedTask // by the digest of task and signatures; guarded by mu
}

type signedTask struct {
	task *task.Task
	id   task.ID
}

// open is [owners.openSigned], which checks the same bytes once.
func (s *signedTasks) open(b []byte) (*task.Task, task.ID, error) {
	digest := sha256.Sum256(b)
	s.mu.Lock()
	known, ok := s.known[digest]
	s.mu.Unlock()
	if ok {
		return known.task, known.id, nil
	}
	t, id, err := s.owners.openSigned(b)
	if err != nil {
		return nil, task.ID{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) == maxTasks {
		s.known = map[[sha256.Size]byte]signedTask{}
	}
	s.known[digest] = signedTask{t, id}
	return t, id, nil
}

// open checks again the task that is stored with an entry.
func (o owners) open(e outbox.Entry) (*task.Task, error) {
	t, id, err := o.openSigned(e.TaskBytes)
	if err != nil {
		return nil, fmt.Errorf("the task of entry %d: %w", e.ID, err)
	}
	if id != e.Task || t.First().URL != e.Destination {
		return nil, fmt.Errorf("the task of entry %d is another one than the entry names", e.ID)
	}
	return t, task.ValidURL(e.Destination)
}
