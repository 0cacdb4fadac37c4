package exchange

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2" //nolint:depguard // pauses are no secret
	"net/http"
	"net/url"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/problem"
)

// A Client sends requests to servers. Its zero value is ready; it is safe for
// concurrent use.
type Client struct {
	HTTP     *http.Client  // its redirects are not followed; default: one with a timeout of a minute
	Clock    clock.Clock   // default: the system's
	Attempts int           // of a request, 1 for no second one; default 5
	First    time.Duration // the pause after the first failure, doubled for each one after; default 1 s
	Most     time.Duration // the longest pause, also of those that servers ask for; default 1 min
	// Jitter returns a number in [0, 1) by which pauses are spread; default:
	// math/rand/v2.
	Jitter func() float64
}

// A Request is what a [Client] sends.
type Request struct {
	Method string
	URL    string
	Token  auth.Token      // none if zero
	Header string          // that carries Token: auth.Header, or "" for a bearer token
	Body   []byte          // none if nil
	Type   dap.MessageType // of Body
	Want   dap.MessageType // of the answer, if it has a body; "": a body is not read
	Limit  int64           // bytes of the answer's body
}

// A Response is a server's answer that is no failure.
type Response struct {
	Status   int
	Body     []byte        // a message of the type that was wanted; nil without one
	Location string        // absolute; "" if the server named none
	Retry    time.Duration // when to ask again, from Retry-After; an hour at most
	Header   http.Header
}

// ErrAnswer means that an answer is not one that the protocol allows.
var ErrAnswer = errors.New("unexpected answer")

// Do sends a request until it succeeds, fails permanently, or the attempts are used
// up. The error is a [Problem] if the server has answered with one; errors of the
// connection are those of net/http.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	attempts, first := cmp.Or(c.Attempts, 5), cmp.Or(c.First, time.Second)
	most := cmp.Or(c.Most, time.Minute)
	for n := 1; ; n++ {
		answer, err := c.once(ctx, &r)
		if err == nil {
			return answer, nil
		}
		p, refused := errors.AsType[Problem](err)
		final := refused && !p.Passing() || errors.Is(err, ErrAnswer)
		if final || n >= attempts || ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, pathOf(r.URL), err)
		}
		wait := min(max(c.spread(clock.Backoff(n, first, most)), p.Retry), most)
		if err := clock.Sleep(ctx, c.clock(), wait); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, pathOf(r.URL), err)
		}
	}
}

// spread returns between half of a pause and all of it.
func (c *Client) spread(pause time.Duration) time.Duration {
	jitter := rand.Float64
	if c.Jitter != nil {
		jitter = c.Jitter
	}
	return pause/2 + time.Duration(jitter()*float64(pause/2))
}

func (c *Client) clock() clock.Clock {
	if c.Clock == nil {
		return clock.System()
	}
	return c.Clock
}

// once sends a request one time.
func (c *Client) once(ctx context.Context, r *Request) (*Response, error) {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if r.Body != nil {
		req.Header.Set("Content-Type", r.Type.MediaType())
	}
	if r.Want != "" {
		req.Header.Set("Accept", r.Want.MediaType())
	}
	req.Header.Set("User-Agent", "") // none: it would reveal the version
	switch {
	case r.Token.IsZero():
	case r.Header == auth.Header:
		r.Token.SetDAP(req.Header)
	default:
		r.Token.SetBearer(req.Header)
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return nil, bare(err)
	}
	defer resp.Body.Close()
	return c.read(r, req.URL, resp)
}

// read turns an answer into a [Response] or an error.
func (c *Client) read(r *Request, at *url.URL, resp *http.Response) (*Response, error) {
	if resp.StatusCode >= 400 {
		return nil, readProblem(resp, c.clock().Now())
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("%w: HTTP %d", ErrAnswer, resp.StatusCode)
	}
	answer := &Response{Status: resp.StatusCode, Retry: problem.RetryAfter(resp.Header, c.clock().Now()), Header: resp.Header}
	var err error
	if answer.Location, err = location(at, resp.Header.Get("Location")); err != nil {
		return nil, err
	}
	if r.Want == "" {
		return answer, nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, r.Limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(b)) > r.Limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, r.Limit)
	}
	if len(b) == 0 {
		return answer, nil
	}
	got, err := dap.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || got != r.Want {
		return nil, fmt.Errorf("%w: not of the media type %s", ErrAnswer, r.Want.MediaType())
	}
	answer.Body = b
	return answer, nil
}

// location resolves the header Location. It must stay on the server.
func location(at *url.URL, header string) (string, error) {
	if header == "" {
		return "", nil
	}
	u, err := at.Parse(header)
	if err != nil || u.Scheme != at.Scheme || u.Host != at.Host || u.User != nil {
		return "", fmt.Errorf("%w: a location that is no address of the same server", ErrAnswer)
	}
	return u.String(), nil
}

// http returns a client that follows no redirects.
func (c *Client) http() *http.Client {
	h := http.Client{Timeout: time.Minute}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

// bare returns the error of a connection without the URL that net/http puts
// before it: what goes into errors and logs is the path.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func pathOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "a malformed URL"
	}
	return u.Host + u.Path
}
