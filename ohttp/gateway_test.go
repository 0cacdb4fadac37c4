package ohttp_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

func newGateway(t testing.TB, h http.Handler, change func(*ohttp.GatewayConfig), keys ...*ohttp.PrivateKey) *ohttp.Gateway {
	t.Helper()
	c := ohttp.GatewayConfig{Handler: h, Authorities: []string{target}, Keys: keys, Sizes: testSizes}
	if change != nil {
		change(&c)
	}
	g, err := ohttp.NewGateway(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// post sends bytes to a handler as an encapsulated request.
func post(h http.Handler, path string, sealed []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(sealed))
	r.Header.Set("Content-Type", "message/ohttp-req")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// problemOf returns the status and type of an answer that is a problem document.
func problemOf(t testing.TB, status int, contentType string, body []byte) (int, string) {
	t.Helper()
	var doc struct {
		Type   string
		Status int
	}
	if contentType != "application/problem+json" || json.Unmarshal(body, &doc) != nil || doc.Status != status {
		t.Errorf("HTTP %d, %s: %q is no problem document", status, contentType, body)
	}
	return status, strings.TrimPrefix(doc.Type, "urn:shoal:problem:")
}

// encode returns the padded message of a request for the target.
func encode(t testing.TB, m *bhttp.Request, size int) []byte {
	t.Helper()
	if m.Scheme == "" {
		m.Scheme = "https"
	}
	if m.Authority == "" {
		m.Authority = target
	}
	if m.Path == "" {
		m.Path = "/"
	}
	b, err := m.Append(nil, bhttp.KnownLength)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = bhttp.Pad(b, max(size, len(b))); err != nil {
		t.Fatal(err)
	}
	return b
}

// exchange sends a message to a gateway and returns the response inside.
func exchange(t testing.TB, g http.Handler, key ohttp.KeyConfig, message []byte) *bhttp.Response {
	t.Helper()
	sealed, opener, err := key.Encapsulate(message)
	if err != nil {
		t.Fatal(err)
	}
	w := post(g, "/", sealed)
	if w.Code != 200 || w.Header().Get("Content-Type") != "message/ohttp-res" || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	b, err := opener.Open(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	m, err := bhttp.DecodeResponse(b, bhttp.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func innerProblem(t testing.TB, m *bhttp.Response) (int, string) {
	t.Helper()
	contentType := ""
	for _, f := range m.Header {
		if f.Name == "content-type" {
			contentType = f.Value
		}
	}
	return problemOf(t, m.Status, contentType, m.Content)
}

// TestGatewayProblemsOutside covers what is answered without encapsulation.
func TestGatewayProblemsOutside(t *testing.T) {
	e := &echo{}
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, e, nil, key)
	sealed, _, err := key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "POST"}, 512))
	if err != nil {
		t.Fatal(err)
	}
	change := func(i int, to byte) []byte {
		b := bytes.Clone(sealed)
		b[i] = to
		return b
	}
	const keyProblem = "https://iana.org/assignments/http-problem-types#ohttp-key"
	for name, test := range map[string]struct {
		body   []byte
		status int
		kind   string
	}{
		"empty":                      {nil, 400, "malformed"},
		"header alone":               {sealed[:7], 400, "malformed"},
		"no ciphertext":              {sealed[:7+32+15], 400, "malformed"},
		"unknown key ID":             {change(0, 2), 422, keyProblem},
		"unknown KEM":                {change(1, 9), 422, keyProblem},
		"another KEM":                {change(2, 0x10), 422, keyProblem},
		"unknown KDF":                {change(4, 9), 422, keyProblem},
		"AEAD that is not accepted":  {change(6, 2), 422, keyProblem},
		"encapsulated key, flipped":  {change(10, sealed[10]^1), 422, keyProblem},
		"encapsulated key of order1": {append(append(bytes.Clone(sealed[:7]), make([]byte, 32)...), sealed[39:]...), 422, keyProblem},
		"ciphertext, flipped":        {change(100, sealed[100]^1), 422, keyProblem},
		"truncated":                  {sealed[:len(sealed)-1], 422, keyProblem},
		"too large":                  {make([]byte, 1<<20), 413, "tooLarge"},
	} {
		w := post(g, "/", test.body)
		if status, kind := problemOf(t, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); status != test.status || kind != test.kind {
			t.Errorf("%s: %d %s, want %d %s", name, status, kind, test.status, test.kind)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", w.Code, w.Header())
	}
	r = httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(sealed))
	w = httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code != 415 {
		t.Errorf("no media type: %d", w.Code)
	}
	r = httptest.NewRequest(http.MethodPost, "/", io.LimitReader(bytes.NewReader(sealed), 10))
	r.Header.Set("Content-Type", "message/ohttp-req")
	r.ContentLength = int64(len(sealed))
	w = httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code != 408 {
		t.Errorf("a body that ends early: %d", w.Code)
	}
	for _, body := range [][]byte{sealed, make([]byte, 1<<20)} { // chunked
		r = httptest.NewRequest(http.MethodPost, "/", io.MultiReader(bytes.NewReader(body)))
		r.Header.Set("Content-Type", "message/ohttp-req")
		r.ContentLength = -1
		w = httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if want := map[bool]int{true: 200, false: 413}[len(body) == len(sealed)]; w.Code != want {
			t.Errorf("chunked, %d bytes: %d, want %d", len(body), w.Code, want)
		}
	}
	if e.count() != 1 {
		t.Errorf("the handler got %d requests, want 1", e.count())
	}
	if n := g.Counts(); n["urn:shoal:problem:malformed"] != 3 || n[keyProblem] != 9 || n["urn:shoal:problem:tooLarge"] != 2 || n["served"] != 1 {
		t.Errorf("counts %v", n)
	}
}

// TestGatewayProblemsInside covers what is answered inside, and that each answer
// has the length that belongs to its request.
func TestGatewayProblemsInside(t *testing.T) {
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			_, _ = w.Write(make([]byte, 2000))
		case "/many":
			for i := range 100 {
				w.Header().Set("X-"+strconv.Itoa(i), "y")
			}
		case "/trailer":
			w.Header().Set("Trailer", "Digest")
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "x")
			w.Header().Set("Digest", "d")
			w.Header().Set("Trailer:Other", "o")
		}
	}), nil, key)
	field := func(name, value string) []bhttp.Field { return []bhttp.Field{{Name: name, Value: value}} }
	for name, test := range map[string]struct {
		m      bhttp.Request
		size   int
		status int
		kind   string
	}{
		"expect":      {bhttp.Request{Method: "POST", Header: field("expect", "100-continue")}, 512, 417, "expectation"},
		"other host":  {bhttp.Request{Method: "POST", Authority: "other.example"}, 512, 421, "misdirected"},
		"other size":  {bhttp.Request{Method: "POST"}, 513, 400, "messageSize"},
		"empty ID":    {bhttp.Request{Method: "POST", Header: field("idempotency-key", "")}, 512, 400, "innerMalformed"},
		"long ID":     {bhttp.Request{Method: "POST", Header: field("idempotency-key", strings.Repeat("a", 129))}, 512, 400, "innerMalformed"},
		"bad escape":  {bhttp.Request{Method: "POST", Path: "/%zz"}, 512, 400, "innerMalformed"},
		"long answer": {bhttp.Request{Method: "POST", Path: "/long"}, 512, 500, "answerSize"},
		"many fields": {bhttp.Request{Method: "POST", Path: "/many"}, 512, 500, "answerSize"},
	} {
		m := exchange(t, g, key.Config(), encode(t, &test.m, test.size))
		if status, kind := innerProblem(t, m); status != test.status || kind != test.kind {
			t.Errorf("%s: %d %s, want %d %s", name, status, kind, test.status, test.kind)
		}
		sealed, _, err := key.Config().Encapsulate(encode(t, &test.m, test.size))
		if err != nil {
			t.Fatal(err)
		}
		want := 1024 + 32
		if test.size == 513 {
			want = 512 + 32
		}
		if w := post(g, "/", sealed); w.Body.Len() != want {
			t.Errorf("%s: an answer of %d bytes, want %d", name, w.Body.Len(), want)
		}
	}
	for name, b := range map[string][]byte{"zeros": make([]byte, 512), "a response": append([]byte{1, 0x40, 200}, make([]byte, 509)...)} {
		if status, kind := innerProblem(t, exchange(t, g, key.Config(), b)); status != 400 || kind != "innerMalformed" {
			t.Errorf("%s: %d %s", name, status, kind)
		}
	}
	m := exchange(t, g, key.Config(), encode(t, &bhttp.Request{Method: "POST", Path: "/trailer"}, 512))
	if m.Status != 200 || string(m.Content) != "x" || len(m.Trailer) != 2 || m.Trailer[0].Value != "d" || m.Trailer[1].Value != "o" || len(m.Header) != 1 {
		t.Errorf("trailer: %+v", m)
	}
}

// TestSlowHandler: a handler that gives up when its time is over is answered for,
// and may be asked again.
func TestSlowHandler(t *testing.T) {
	n := 0
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n++
		<-r.Context().Done()
	}), func(c *ohttp.GatewayConfig) { c.Timeout = time.Millisecond }, key)
	message := encode(t, &bhttp.Request{Method: "POST", Header: []bhttp.Field{{Name: "idempotency-key", Value: "x"}}}, 512)
	for range 2 {
		if status, kind := innerProblem(t, exchange(t, g, key.Config(), message)); status != 504 || kind != "timeout" {
			t.Errorf("%d %s", status, kind)
		}
	}
	if n != 2 || g.Remembered() != 0 {
		t.Errorf("asked %d times, %d bytes remembered", n, g.Remembered())
	}
}

// TestGatewayPadsNothingForOthers: without sizes any length is taken, in both modes.
func TestGatewayPadsNothingForOthers(t *testing.T) {
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, &echo{}, func(c *ohttp.GatewayConfig) { c.Sizes = nil }, key)
	for _, mode := range []bhttp.Mode{bhttp.KnownLength, bhttp.IndeterminateLength} {
		m := bhttp.Request{Method: "POST", Scheme: "https", Authority: target, Path: "/", Content: []byte("hello")}
		b, err := m.Append(nil, mode)
		if err != nil {
			t.Fatal(err)
		}
		r := exchange(t, g, key.Config(), b)
		if r.Status != 201 || string(r.Content) != "got hello" {
			t.Errorf("%+v", r)
		}
	}
}

// TestKeyRotation: requests for each accepted key are answered, those for others
// get the problem that makes a client fetch keys again, and what was remembered for
// a key goes with it.
func TestKeyRotation(t *testing.T) {
	e := &echo{}
	a, b, c := newKey(t, 1, ohttp.X25519), newKey(t, 2, ohttp.XWing), newKey(t, 1, ohttp.X25519)
	g := newGateway(t, e, nil, a)
	message := encode(t, &bhttp.Request{Method: "POST", Header: []bhttp.Field{{Name: "idempotency-key", Value: "x"}}}, 512)
	send := func(k *ohttp.PrivateKey) int {
		t.Helper()
		sealed, _, err := k.Config().Encapsulate(message)
		if err != nil {
			t.Fatal(err)
		}
		return post(g, "/", sealed).Code
	}
	if send(a) != 200 || send(b) != 422 || send(a) != 200 || e.count() != 1 {
		t.Errorf("first key: %d requests processed", e.count())
	}
	if err := g.SetKeys(b, a); err != nil {
		t.Fatal(err)
	}
	if send(a) != 200 || e.count() != 1 {
		t.Error("the answer was forgotten while its key is accepted")
	}
	encoded, err := g.KeyConfigs()
	if err != nil {
		t.Fatal(err)
	}
	configs, err := ohttp.ParseKeyConfigs(encoded)
	if err != nil || len(configs) != 2 || configs[0].ID != 2 || configs[1].ID != 1 {
		t.Errorf("configurations %+v, %v", configs, err)
	}
	if send(b) != 200 || e.count() != 2 {
		t.Errorf("second key: %d requests processed", e.count())
	}
	before := g.Remembered()
	if err := g.SetKeys(b, c); err != nil { // c takes the ID of a
		t.Fatal(err)
	}
	if send(a) != 422 || send(b) != 200 || e.count() != 2 {
		t.Errorf("after rotation: %d requests processed", e.count())
	}
	if after := g.Remembered(); after >= before || after <= 0 {
		t.Errorf("%d bytes remembered, %d before the rotation", after, before)
	}
	for name, keys := range map[string][]*ohttp.PrivateKey{"none": nil, "one ID twice": {a, c}} {
		if err := g.SetKeys(keys...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	wide, err := ohttp.GenerateKey(9, ohttp.X25519, rand.Reader, ohttp.Suite{KDF: 1, AEAD: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetKeys(wide); err == nil {
		t.Error("a key whose answers have other lengths is taken")
	}
}

// TestReplay: a copy of a request that has no ID is known by its encapsulated key;
// the same message sealed again is another request.
func TestReplay(t *testing.T) {
	e := &echo{}
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, e, nil, key)
	message := encode(t, &bhttp.Request{Method: "POST", Content: []byte("hello")}, 512)
	sealed, opener, err := key.Config().Encapsulate(message)
	if err != nil {
		t.Fatal(err)
	}
	first, second := post(g, "/", sealed), post(g, "/", sealed)
	if e.count() != 1 {
		t.Errorf("processed %d times", e.count())
	}
	x, errX := opener.Open(first.Body.Bytes())
	y, errY := opener.Open(second.Body.Bytes())
	if errX != nil || errY != nil || !bytes.Equal(x, y) || bytes.Equal(first.Body.Bytes(), second.Body.Bytes()) {
		t.Errorf("answers differ inside, or are sealed alike: %v, %v", errX, errY)
	}
	exchange(t, g, key.Config(), message)
	if e.count() != 2 {
		t.Errorf("processed %d times", e.count())
	}
}

// TestAnswersThatAreNotFinal: a client that is asked to try again gets another
// answer.
func TestAnswersThatAreNotFinal(t *testing.T) {
	for _, status := range []int{407, 408, 425, 429, 500, 502, 503} {
		n := 0
		key := newKey(t, 1, ohttp.X25519)
		g := newGateway(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 1 {
				w.WriteHeader(status)
			}
		}), nil, key)
		message := encode(t, &bhttp.Request{Method: "POST", Header: []bhttp.Field{{Name: "idempotency-key", Value: "x"}}}, 512)
		for i, want := range []int{status, 200, 200} {
			if m := exchange(t, g, key.Config(), message); m.Status != want {
				t.Errorf("%d: attempt %d: %d", status, i, m.Status)
			}
		}
		if n != 2 {
			t.Errorf("%d: processed %d times", status, n)
		}
	}
}

// TestMemoryIsBounded fills the memory for answers: what was answered stays known,
// what is new is refused inside, what is idempotent goes on, and a rotation frees
// it.
func TestMemoryIsBounded(t *testing.T) {
	const limit = 20_000
	e := &echo{}
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, e, func(c *ohttp.GatewayConfig) { c.MaxRemembered = limit }, key)
	post := func(id int) *bhttp.Response {
		return exchange(t, g, key.Config(), encode(t, &bhttp.Request{
			Method: "POST", Content: []byte("same"), Header: []bhttp.Field{{Name: "idempotency-key", Value: strconv.Itoa(id)}},
		}, 512))
	}
	n := 0
	for ; n < 1000; n++ {
		m := post(n)
		if g.Remembered() > limit {
			t.Fatalf("%d bytes are remembered, limit %d", g.Remembered(), limit)
		}
		if m.Status != 201 {
			if status, kind := innerProblem(t, m); status != 503 || kind != "busy" {
				t.Errorf("request %d: %d %s", n, status, kind)
			}
			break
		}
	}
	if n < limit/200 || n > limit/100 { // equal answers are kept once: 160 bytes a request
		t.Errorf("%d requests remembered in %d bytes", n, limit)
	}
	if m := post(0); m.Status != 201 || e.count() != n {
		t.Errorf("the first request is forgotten: %d, %d processed", m.Status, e.count())
	}
	if m := exchange(t, g, key.Config(), encode(t, &bhttp.Request{Method: "GET"}, 512)); m.Status != 201 {
		t.Errorf("GET: %d", m.Status)
	}
	next := newKey(t, 2, ohttp.X25519)
	if err := g.SetKeys(next); err != nil {
		t.Fatal(err)
	}
	if g.Remembered() != 0 {
		t.Errorf("%d bytes are remembered for no key", g.Remembered())
	}
	key = next
	if m := post(n); m.Status != 201 {
		t.Errorf("after the rotation: %d", m.Status)
	}
}

// TestConcurrentRetries: of requests with one ID at one time one is processed, and
// the others get its answer, also if keys change meanwhile.
func TestConcurrentRetries(t *testing.T) {
	const retries = 8
	e := &echo{}
	release := make(chan struct{})
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		e.ServeHTTP(w, r)
	}), nil, key)
	message := encode(t, &bhttp.Request{Method: "POST", Content: []byte("hello"), Header: []bhttp.Field{{Name: "idempotency-key", Value: "x"}}}, 512)
	var wait sync.WaitGroup
	for range retries {
		wait.Go(func() {
			if m := exchange(t, g, key.Config(), message); m.Status != 201 || string(m.Content) != "got hello" {
				t.Errorf("%+v", m)
			}
		})
	}
	for i := 0; g.Counts()["served"]+g.Counts()["repeated"] < retries && i < 30_000; i++ {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wait.Wait()
	if e.count() != 1 || g.Counts()["repeated"] != retries-1 {
		t.Errorf("processed %d times, counts %v", e.count(), g.Counts())
	}
}

// TestPanicFreesTheRequest: a handler that panics leaves no request in progress.
func TestPanicFreesTheRequest(t *testing.T) {
	n := 0
	key := newKey(t, 1, ohttp.X25519)
	g := newGateway(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n++; n == 1 {
			panic(http.ErrAbortHandler)
		}
	}), nil, key)
	message := encode(t, &bhttp.Request{Method: "POST", Header: []bhttp.Field{{Name: "idempotency-key", Value: "x"}}}, 512)
	sealed, _, err := key.Config().Encapsulate(message)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != http.ErrAbortHandler {
				t.Errorf("recovered %v", r)
			}
		}()
		post(g, "/", sealed)
	}()
	if g.Remembered() != 0 {
		t.Errorf("%d bytes are held", g.Remembered())
	}
	if m := exchange(t, g, key.Config(), message); m.Status != 200 || n != 2 {
		t.Errorf("%d, processed %d times", m.Status, n)
	}
}

// TestGatewayBusy: beyond the bytes in progress requests are refused at once.
func TestGatewayBusy(t *testing.T) {
	key := newKey(t, 1, ohttp.X25519)
	entered, release := make(chan struct{}), make(chan struct{})
	g := newGateway(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}), func(c *ohttp.GatewayConfig) { c.MaxInFlight = 2 * (512 + 55) }, key)
	message := encode(t, &bhttp.Request{Method: "GET"}, 512)
	sealed, _, err := key.Config().Encapsulate(message)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() { exchange(t, g, key.Config(), message) })
	<-entered
	w := post(g, "/", sealed)
	if status, kind := problemOf(t, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); status != 503 || kind != "busy" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", status, kind)
	}
	close(release)
	wait.Wait()
	wait.Go(func() { <-entered })
	exchange(t, g, key.Config(), message)
	wait.Wait()
}

func TestNewGatewayRefuses(t *testing.T) {
	key := newKey(t, 1, ohttp.X25519)
	for name, change := range map[string]func(*ohttp.GatewayConfig){
		"no handler":   func(c *ohttp.GatewayConfig) { c.Handler = nil },
		"no authority": func(c *ohttp.GatewayConfig) { c.Authorities = nil },
		"no key":       func(c *ohttp.GatewayConfig) { c.Keys = nil },
		"sizes":        func(c *ohttp.GatewayConfig) { c.Sizes = ohttp.Sizes{{Request: 0, Answer: 1}} },
	} {
		c := ohttp.GatewayConfig{Handler: &echo{}, Authorities: []string{target}, Keys: []*ohttp.PrivateKey{key}, Sizes: testSizes}
		change(&c)
		if _, err := ohttp.NewGateway(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
