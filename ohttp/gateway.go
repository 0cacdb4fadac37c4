package ohttp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// A GatewayConfig is what a [Gateway] needs.
type GatewayConfig struct {
	// Handler answers the requests that are inside. They come without an address.
	Handler http.Handler
	// Authorities are the hosts, with ports if they have any, that requests may name.
	Authorities []string
	// Keys are accepted, the preferred one first.
	Keys []*PrivateKey
	// Sizes are those of clients and relay, nil not to pad and to take any length.
	Sizes Sizes
	// Idempotent reports whether a request may be processed twice: then its answer
	// is not remembered. Nil means GET, HEAD and OPTIONS.
	Idempotent func(*http.Request) bool
	// MaxRemembered bounds the bytes of remembered answers, 256 MiB if 0.
	MaxRemembered int
	// MaxInFlight bounds the bytes of requests in progress, 256 MiB if 0.
	MaxInFlight int
	// Limits bound the messages inside; the zero value is bhttp.DefaultLimits.
	Limits bhttp.Limits
	// BodyTimeout bounds the arrival of a request, half that of its answer, 30
	// seconds if 0; Timeout the time that Handler has by its context, 1 minute if 0.
	BodyTimeout, Timeout time.Duration
	// Rand is the source of response nonces, nil for crypto/rand.
	Rand io.Reader
}

// A Gateway takes encapsulated requests, has a handler answer them, and
// encapsulates the answers. It is an [http.Handler], safe for concurrent use.
type Gateway struct {
	config   GatewayConfig
	keys     atomic.Pointer[[]*PrivateKey]
	answered answered
	budget   budget
	counts   counter
}

// The problems that are answered outside encapsulation.
var (
	problemMethod    = problem.Problem{Status: http.StatusMethodNotAllowed, Type: problem.Shoal("methodNotAllowed"), Title: "Encapsulated requests are sent by POST."}
	problemMedia     = problem.Problem{Status: http.StatusUnsupportedMediaType, Type: problem.Shoal("unsupportedMediaType"), Title: "The media type must be message/ohttp-req."}
	problemTooLarge  = problem.Problem{Status: http.StatusRequestEntityTooLarge, Type: problem.Shoal("tooLarge"), Title: "The request is larger than the limit."}
	problemBusy      = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("busy"), Title: "Too many requests at once. Try again later.", Retry: 5 * time.Second}
	problemSlow      = problem.Problem{Status: http.StatusRequestTimeout, Type: problem.Shoal("slow"), Title: "The body did not arrive in time. Send it again."}
	problemMalformed = problem.Problem{Status: http.StatusBadRequest, Type: problem.Shoal("malformed"), Title: "The content is not an encapsulated request."}
	problemKey       = problem.Problem{Status: http.StatusUnprocessableEntity, Type: ProblemKey, Title: "The key configuration is not known."}
)

// The problems that are answered inside encapsulation.
var (
	problemInner      = problem.Problem{Status: http.StatusBadRequest, Type: problem.Shoal("innerMalformed"), Title: "The content is not a binary HTTP request."}
	problemSize       = problem.Problem{Status: http.StatusBadRequest, Type: problem.Shoal("messageSize"), Title: "The length of the message is not one of the agreed ones."}
	problemExpect     = problem.Problem{Status: http.StatusExpectationFailed, Type: problem.Shoal("expectation"), Title: "The field Expect cannot be used."}
	problemAuthority  = problem.Problem{Status: http.StatusMisdirectedRequest, Type: problem.Shoal("misdirected"), Title: "This gateway does not serve the host of the request."}
	problemReused     = problem.Problem{Status: http.StatusUnprocessableEntity, Type: problem.Shoal("requestIDReused"), Title: "The request ID was used for another request."}
	problemFull       = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("busy"), Title: "The gateway cannot remember more answers. Try again later.", Retry: 10 * time.Minute}
	problemLost       = problem.Problem{Status: http.StatusBadGateway, Type: problem.Shoal("noAnswer"), Title: "The request was not answered. Send it again."}
	problemTimeout    = problem.Problem{Status: http.StatusGatewayTimeout, Type: problem.Shoal("timeout"), Title: "The request was not answered in time. Send it again."}
	problemLongAnswer = problem.Problem{Status: http.StatusInternalServerError, Type: problem.Shoal("answerSize"), Title: "The answer is longer than the size of the request allows."}
)

// GatewayProblem reports whether a type of problem documents inside encapsulation is of
// gateways, not of their handlers: the request did not reach the handler, or its answer
// did not fit.
func GatewayProblem(kind string) bool {
	for _, p := range []problem.Problem{problemInner, problemSize, problemExpect, problemAuthority, problemReused, problemLost, problemTimeout, problemLongAnswer} {
		if p.Type == kind {
			return true
		}
	}
	return false
}

// NewGateway checks the configuration.
func NewGateway(c GatewayConfig) (*Gateway, error) {
	if c.Handler == nil {
		return nil, fmt.Errorf("oblivious gateway: no handler")
	}
	if len(c.Authorities) == 0 {
		return nil, fmt.Errorf("oblivious gateway: no authority: name the hosts that requests may have")
	}
	if err := c.Sizes.check(); err != nil {
		return nil, fmt.Errorf("oblivious gateway: %w", err)
	}
	if c.Idempotent == nil {
		c.Idempotent = func(r *http.Request) bool {
			return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
		}
	}
	if c.Limits == (bhttp.Limits{}) {
		c.Limits = bhttp.DefaultLimits()
	}
	c.Authorities = slices.Clone(c.Authorities)
	for i, a := range c.Authorities {
		c.Authorities[i] = strings.ToLower(a)
	}
	defaultInt(&c.MaxRemembered, 256<<20)
	defaultInt(&c.MaxInFlight, 256<<20)
	defaultDuration(&c.BodyTimeout, 30*time.Second)
	defaultDuration(&c.Timeout, time.Minute)
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	g := &Gateway{config: c, answered: answered{limit: c.MaxRemembered}, budget: budget{left: c.MaxInFlight}}
	if err := g.SetKeys(c.Keys...); err != nil {
		return nil, err
	}
	return g, nil
}

func defaultInt(v *int, d int) {
	if *v <= 0 {
		*v = d
	}
}

func defaultDuration(v *time.Duration, d time.Duration) {
	if *v <= 0 {
		*v = d
	}
}

// SetKeys replaces the accepted keys, the preferred one first. Requests that are
// sealed to others are refused from now on, and what was remembered for those keys
// is forgotten.
func (g *Gateway) SetKeys(keys ...*PrivateKey) error {
	if len(keys) == 0 || len(keys) > maxConfigs {
		return fmt.Errorf("oblivious gateway: %d keys, want 1 to %d", len(keys), maxConfigs)
	}
	ids := map[uint8]bool{}
	for _, k := range keys {
		if ids[k.config.ID] {
			return fmt.Errorf("oblivious gateway: duplicate key ID %d", k.config.ID)
		}
		ids[k.config.ID] = true
		if len(g.config.Sizes) > 0 && len(withLengthOf(DefaultSuite, k.config.Suites)) != len(k.config.Suites) {
			return fmt.Errorf("oblivious gateway: key %d: with message sizes the AEAD must be AES-128-GCM", k.config.ID)
		}
	}
	keys = slices.Clone(keys)
	g.answered.retain(keys)
	g.keys.Store(&keys)
	return nil
}

// KeyConfigs returns the configurations of the accepted keys, of media type
// application/ohttp-keys.
func (g *Gateway) KeyConfigs() ([]byte, error) {
	var configs []KeyConfig
	for _, k := range *g.keys.Load() {
		configs = append(configs, k.Config())
	}
	return MarshalKeyConfigs(configs)
}

// ServeHTTP answers one encapsulated request. The context of the request that the
// handler gets has nothing of the relay's request but its cancellation.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limitArrival(w, g.config.BodyTimeout)
	message, release, p := g.read(w, r)
	defer departed(w)
	if p != nil {
		if p == &problemSlow {
			w.Header().Set("Connection", "close")
		}
		g.counts.add(p.Type)
		limitDeparture(w, g.config.BodyTimeout)
		p.Write(w, 0)
		return
	}
	defer release()
	request, key, sealer, err := decapsulate(*g.keys.Load(), message)
	if err != nil {
		p := problemKey // a key of the same ID that is another one looks like a wrong key
		if errors.Is(err, ErrMalformed) {
			p = problemMalformed
		}
		g.counts.add(p.Type)
		limitDeparture(w, g.config.BodyTimeout)
		p.Write(w, 0)
		return
	}
	response := g.answer(r.Context(), request, key, sealer)
	sealed, err := sealer.Seal(response, g.config.Rand)
	limitDeparture(w, g.config.BodyTimeout)
	if err != nil {
		g.counts.add(problemLost.Type)
		problemLost.Write(w, 0)
		return
	}
	h := w.Header()
	h.Set("Content-Type", MediaTypeResponse)
	h.Set("Content-Length", strconv.Itoa(len(sealed)))
	h.Set("Cache-Control", "private, no-store")
	_, _ = w.Write(sealed) // the relay has gone if this fails
}

// read returns the encapsulated request, and what to call when its memory is free.
func (g *Gateway) read(w http.ResponseWriter, r *http.Request) (message []byte, release func(), p *problem.Problem) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, nil, &problemMethod
	}
	if r.Header.Get("Content-Type") != MediaTypeRequest {
		return nil, nil, &problemMedia
	}
	limit := g.config.Limits.Size + requestGrowth(XWing)
	if len(g.config.Sizes) > 0 {
		limit = g.config.Sizes.maxSealed()
	}
	if r.ContentLength > int64(limit) {
		return nil, nil, &problemTooLarge
	}
	reserve := limit
	if r.ContentLength >= 0 {
		reserve = int(r.ContentLength)
	}
	reserve *= 2 // sealed and opened
	if !g.budget.take(reserve) {
		return nil, nil, &problemBusy
	}
	message, p = readBounded(w, r, limit)
	if p != nil {
		g.budget.give(reserve)
		return nil, nil, p
	}
	return message, func() { g.budget.give(reserve) }, nil
}

// readBounded reads a body of at most limit bytes, whose arrival is limited.
func readBounded(w http.ResponseWriter, r *http.Request, limit int) ([]byte, *problem.Problem) {
	var b []byte
	var err error
	if r.ContentLength >= 0 {
		b = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, b)
	} else {
		b, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	}
	if err != nil {
		return nil, &problemSlow
	}
	if len(b) > limit {
		return nil, &problemTooLarge
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return b, nil
}

// limitArrival sets the end of reading. It is lifted when the body has arrived, and
// only then: the server reads what is left of a refused one, too.
func limitArrival(w http.ResponseWriter, timeout time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout)) // connections of tests have none
}

// limitDeparture sets the end of writing the answer. It comes after the end of
// arrival, because the server reads what is left of a refused body before it writes.
func limitDeparture(w http.ResponseWriter, timeout time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * timeout)) // connections of tests have none
}

// departed sends what is left of the answer and lifts the limit, which would hold for
// later answers on the connection.
func departed(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.Flush() // the client has gone if this fails
	_ = control.SetWriteDeadline(time.Time{})
}

// answer returns the padded response to a request that was encapsulated. An error
// from here on is reported inside the encapsulation.
func (g *Gateway) answer(ctx context.Context, request []byte, key *PrivateKey, sealer *ResponseSealer) []byte {
	size, ok := g.config.Sizes.ofRequest(len(request))
	if len(g.config.Sizes) == 0 {
		size, ok = Size{Answer: g.config.Limits.Size}, true
	}
	if !ok {
		return g.pad(g.refuse(problemSize), size)
	}
	r, p := g.parse(ctx, request)
	if p != nil {
		return g.pad(g.refuse(*p), size)
	}
	if g.config.Idempotent(r) {
		response, _ := g.serve(r, size)
		return g.pad(response, size)
	}
	return g.pad(g.once(r, request, key, sealer, size), size)
}

// refuse returns an encoded problem document.
func (g *Gateway) refuse(p problem.Problem) []byte {
	g.counts.add("inner " + p.Type)
	m := bhttp.Response{
		Status: p.Status, Content: p.Body(0),
		Header: []bhttp.Field{{Name: "cache-control", Value: "no-store"}, {Name: "content-type", Value: problem.MediaType}},
	}
	if p.Retry > 0 {
		m.Header = append(m.Header, bhttp.Field{Name: "retry-after", Value: problem.FormatRetry(p.Retry)})
	}
	b, err := m.Append(nil, bhttp.KnownLength)
	if err != nil { // constants
		return []byte{1, 0x41, 0xf4} // 500
	}
	return b
}

// pad returns a response of the agreed length.
func (g *Gateway) pad(response []byte, size Size) []byte {
	if len(g.config.Sizes) == 0 {
		return response
	}
	padded, err := bhttp.Pad(slices.Clip(response), size.Answer) // a clone: the answer may be remembered
	if err != nil {
		padded, _ = bhttp.Pad(g.refuse(problemLongAnswer), size.Answer) // at least minAnswer
	}
	return padded
}

// parse decodes the request inside, and checks that it is for this gateway.
func (g *Gateway) parse(ctx context.Context, request []byte) (*http.Request, *problem.Problem) {
	m, err := bhttp.DecodeRequest(request, g.config.Limits)
	if err != nil {
		return nil, &problemInner
	}
	r, err := m.HTTP(inner{ctx}) //nolint:contextcheck // it is ctx without its values
	if err != nil {
		return nil, &problemInner
	}
	if r.Header.Get("Expect") != "" {
		return nil, &problemExpect
	}
	if !slices.Contains(g.config.Authorities, strings.ToLower(r.Host)) {
		return nil, &problemAuthority
	}
	return r, nil
}

// inner is a context without values: net/http puts the server and the addresses
// of the connection into them.
type inner struct{ context.Context } //nolint:containedctx // it is one

// Value returns nil.
func (inner) Value(any) any { return nil }

// AfterFunc spares package context a goroutine for each context that is derived.
func (c inner) AfterFunc(f func()) func() bool { return context.AfterFunc(c.Context, f) }

// once serves a request that must not be processed twice.
func (g *Gateway) once(r *http.Request, request []byte, key *PrivateKey, sealer *ResponseSealer, size Size) []byte {
	id, ok := idOf(r, sealer.enc)
	if !ok {
		return g.refuse(problemInner)
	}
	fp := key.fingerprint()
	answer, other, own, err := g.answered.begin(fp, id, request, size.Answer)
	switch {
	case errors.Is(err, errFull):
		return g.refuse(problemFull)
	case errors.Is(err, errOtherBody):
		return g.refuse(problemReused)
	case err != nil:
		return g.refuse(problemLost)
	case answer != nil:
		g.counts.add("repeated")
		return answer
	case other != nil:
		g.counts.add("repeated")
		select {
		case <-other.done:
			if other.answer != nil {
				return other.answer
			}
		case <-r.Context().Done():
		}
		return g.refuse(problemLost)
	}
	keep := false
	defer func() { g.answered.finish(fp, id, own, size.Answer, answer, keep) }() // also if the handler panics
	answer, keep = g.serve(r, size)
	return answer
}

// idOf returns the ID of a request: the one that it states, or else its
// encapsulated key, which differs for every request that is not a copy.
func idOf(r *http.Request, enc []byte) (requestID, bool) {
	stated := r.Header.Values(RequestIDField)
	if len(stated) > 1 || len(stated) == 1 && (stated[0] == "" || len(stated[0]) > 128) {
		return requestID{}, false
	}
	sum := sha256.Sum256(append([]byte("enc "), enc...))
	if len(stated) == 1 {
		sum = sha256.Sum256(append([]byte("id "), stated[0]...))
	}
	return requestID(sum[:16]), true
}

// serve has the handler answer a request. final reports whether the answer may be
// repeated: one that asks for another try may not.
func (g *Gateway) serve(r *http.Request, size Size) (response []byte, final bool) {
	ctx, cancel := context.WithTimeout(r.Context(), g.config.Timeout)
	defer cancel()
	g.counts.add("served")
	w := &writer{header: http.Header{}, limit: size.Answer}
	g.config.Handler.ServeHTTP(w, r.WithContext(ctx))
	if w.status == 0 && ctx.Err() != nil {
		return g.refuse(problemTimeout), false
	}
	m, err := w.response(r.Method, g.config.Limits)
	if err != nil {
		return g.refuse(problemLongAnswer), true
	}
	b, err := m.Append(nil, bhttp.KnownLength)
	if err != nil || len(b) > size.Answer {
		return g.refuse(problemLongAnswer), true
	}
	return b, !problem.Temporary(m.Status)
}

// Counts returns how many requests were served and repeated, and how many problems
// of each type were answered outside and, with the prefix "inner ", inside.
func (g *Gateway) Counts() map[string]uint64 { return g.counts.snapshot() }

// Remembered returns the bytes of remembered answers, of at most MaxRemembered.
// When they are used up, requests that must not be processed twice are refused
// until a key is no longer accepted.
func (g *Gateway) Remembered() int { return g.answered.size() }
