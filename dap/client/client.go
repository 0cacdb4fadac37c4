package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/problem"
)

const (
	maxAnswer = 1 << 20 // bytes of an answer that are read
)

// A Clock gives the time and waits for it. It is safe for concurrent use.
type Clock interface {
	// Now returns the current time, in UTC.
	Now() time.Time
	// Until waits until the clock reads t or later. It returns ctx.Err() if ctx
	// ends first.
	Until(ctx context.Context, t time.Time) error
}

// Options are the settings of a [Client]. The zero value is good.
type Options struct {
	Keys      *KeyCache         // shared with other clients; nil means one of its own
	Leader    ed25519.PublicKey // identity by which the leader's keys must be signed; nil: any keys
	Helper    ed25519.PublicKey
	Transport http.RoundTripper // nil means [Transport]
	Clock     Clock             // nil means the machine's
	Rand      io.Reader         // of report IDs and shares; nil means crypto/rand

	Attempts int           // requests for one upload at most; 0 means 3
	Backoff  time.Duration // before the second attempt, doubled for each further; 0 means 1 s
}

// A Client uploads reports of one task. It is safe for concurrent use if
// Options.Rand is.
type Client struct {
	o    Options
	task *dap.Task
	http *http.Client
}

// New returns a client of a task.
func New(t *dap.Task, o Options) *Client {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Attempts == 0 {
		o.Attempts = 3
	}
	if o.Backoff == 0 {
		o.Backoff = time.Second
	}
	if o.Keys == nil {
		o.Keys = NewKeyCache(o.Transport, o.Clock)
	}
	return &Client{o: o, task: t, http: httpClient(o.Transport)}
}

// A Rejected is the error for a report that the leader refused permanently.
type Rejected struct {
	ID    dap.ReportID
	Cause dap.ReportError
}

func (r *Rejected) Error() string {
	return fmt.Sprintf("the leader rejects report %v: %v", r.ID, r.Cause)
}

// An Answer is a response other than success. A problem document of DAP is
// final but where a later attempt may go better: see [Answer.Temporary].
type Answer struct {
	Status     int
	Problem    dap.ProblemType // "" if the answer is no problem document of DAP
	Detail     string          // of the problem, for people
	RetryAfter time.Duration   // 0 if not given, an hour at most
}

func (a *Answer) Error() string {
	if a.Problem == "" {
		return fmt.Sprintf("HTTP %d", a.Status)
	}
	return fmt.Sprintf("HTTP %d: %s: %s", a.Status, a.Problem, a.Detail)
}

// Temporary reports whether the same request may succeed later: the server is in
// trouble or busy, or something that is not the server has answered.
func (a *Answer) Temporary() bool {
	return problem.Temporary(a.Status) || a.Status/100 != 4 || a.Problem == ""
}

func (c *Client) sources() (leader, helper Source) {
	config := c.task.Config()
	return Source{config.Leader, dap.Leader, c.o.Leader}, Source{config.Helper, dap.Helper, c.o.Helper}
}

// Keys returns what reports are sealed to now, from the cache if possible.
func (c *Client) Keys(ctx context.Context) (Keys, error) {
	leader, helper := c.sources()
	var keys Keys
	var err error
	if keys.Leader, err = c.o.Keys.Get(ctx, leader); err != nil {
		return Keys{}, err
	}
	if keys.Helper, err = c.o.Keys.Get(ctx, helper); err != nil {
		return Keys{}, err
	}
	return keys, nil
}

// Forget drops the cached keys, so the next report fetches them again.
func (c *Client) Forget() {
	leader, helper := c.sources()
	c.o.Keys.Forget(leader)
	c.o.Keys.Forget(helper)
}

// Report makes a report of the moment at, with a new ID.
func (c *Client) Report(ctx context.Context, m Measurement, at time.Time) (*dap.Report, error) {
	id, err := NewReportID(c.o.Rand)
	if err != nil {
		return nil, err
	}
	when, err := c.task.Config().TimePrecision.Time(at)
	if err != nil {
		return nil, err
	}
	return c.report(ctx, m, id, when)
}

func (c *Client) report(ctx context.Context, m Measurement, id dap.ReportID, at dap.Time) (*dap.Report, error) {
	keys, err := c.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return Make(c.task, m, keys, id, at, c.o.Rand)
}

// Upload makes a report and uploads it. If the leader answers that the keys are
// outdated, it does so once more, with newly fetched keys and the same report ID.
// A report that the leader refuses is a [Rejected].
func (c *Client) Upload(ctx context.Context, m Measurement, at time.Time) error {
	r, err := c.Report(ctx, m, at)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		rejected, err := c.UploadReports(ctx, r)
		if err != nil {
			return err
		}
		if len(rejected) == 0 {
			return nil
		}
		if again || rejected[0].Error != c.task.Variant().UploadConfigError() {
			return &Rejected{rejected[0].ID, rejected[0].Error}
		}
		c.Forget()
		if r, err = c.report(ctx, m, r.Metadata.ID, r.Metadata.Time); err != nil {
			return err
		}
	}
}

// longestPause is the longest pause between attempts.
const longestPause = time.Hour

// UploadReports uploads reports in one request, and the same bytes again after a
// failure that may pass. It returns those that the leader refused. A relay may
// send many; a client that sends several of its own at once reveals that they are
// one client's.
func (c *Client) UploadReports(ctx context.Context, reports ...*dap.Report) ([]dap.ReportUploadStatus, error) {
	body, err := Encode(c.task, reports...)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		rejected, err := c.Post(ctx, body)
		if err == nil || attempt >= c.o.Attempts || ctx.Err() != nil {
			return rejected, err
		}
		delay := clock.Backoff(attempt, c.o.Backoff, longestPause)
		if answer, ok := errors.AsType[*Answer](err); ok {
			if !answer.Temporary() {
				return nil, err
			}
			delay = max(delay, min(answer.RetryAfter, time.Minute))
		}
		if err := clock.Sleep(ctx, c.o.Clock, delay); err != nil {
			return nil, err
		}
	}
}

// Post makes the one request that uploads body, which [Encode] returned, and
// returns the reports that the leader refused. A response other than success is
// an [Answer].
func (c *Client) Post(ctx context.Context, body []byte) ([]dap.ReportUploadStatus, error) {
	req, err := newRequest(ctx, http.MethodPost, dap.Resolve(c.task.Config().Leader, dap.ReportsPath(c.task.ID())), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", dap.TypeUploadRequest.MediaType())
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, answerOf(resp, c.o.Clock.Now())
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(answer) == 0 {
		return nil, nil
	}
	if kind, err := dap.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != dap.TypeUploadErrors || len(answer) > maxAnswer {
		return nil, fmt.Errorf("HTTP %d with something else than upload errors: a proxy may answer in the leader's place", resp.StatusCode)
	}
	var errs dap.UploadErrors
	if err := c.task.Codec().Decode(&errs, answer); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return errs.Status, nil
}

// Transport returns a transport that reveals to the server as little as HTTP
// allows, and gives each request a connection of its own: two reports on one
// connection, or in one resumed session, are known to be of one client.
func Transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS13},
		TLSHandshakeTimeout:    20 * time.Second,
		ResponseHeaderTimeout:  requestTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
}

func httpClient(rt http.RoundTripper) *http.Client {
	if rt == nil {
		rt = Transport()
	}
	return &http.Client{
		Transport:     rt,
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newRequest makes a request with the fewest headers that HTTP allows, the same
// for every client.
func newRequest(ctx context.Context, method, to string, body []byte) (*http.Request, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); u.Scheme != "https" && u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		return nil, fmt.Errorf("endpoint %q: plain http is for the loopback interface only", to)
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	req.Header["User-Agent"] = nil // none, rather than the library's
	return req, nil
}

// answerOf reads a response other than success.
func answerOf(resp *http.Response, now time.Time) *Answer {
	p := problem.Read(resp, now)
	a := &Answer{Status: p.Status, RetryAfter: p.Retry}
	if kind, ok := dap.ParseProblemURI(p.Type); ok {
		a.Problem, a.Detail = kind, p.Detail
	}
	return a
}
