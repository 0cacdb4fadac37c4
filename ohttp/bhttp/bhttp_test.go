package bhttp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// An example is a message of testdata/rfc9292.json.
type example struct {
	Name    string
	Hex     string
	Padding int
}

func examples(t testing.TB) []example {
	t.Helper()
	b, err := os.ReadFile("testdata/rfc9292.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Source   string
		Messages []example
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Messages) != 4 {
		t.Fatalf("%d examples, want 4", len(file.Messages))
	}
	return file.Messages
}

func (e example) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(e.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exampleRequest() *bhttp.Request {
	return &bhttp.Request{
		Method: "GET", Scheme: "https", Path: "/hello.txt",
		Header: []bhttp.Field{
			{"user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"},
			{"host", "www.example.com"},
			{"accept-language", "en, mi"},
		},
	}
}

func exampleInformational() *bhttp.Response {
	return &bhttp.Response{
		Informational: []bhttp.Informational{
			{102, []bhttp.Field{{"running", `"sleep 15"`}}},
			{103, []bhttp.Field{{"link", "</style.css>; rel=preload; as=style"}, {"link", "</script.js>; rel=preload; as=script"}}},
		},
		Status: 200,
		Header: []bhttp.Field{
			{"date", "Mon, 27 Jul 2009 12:28:53 GMT"},
			{"server", "Apache"},
			{"last-modified", "Wed, 22 Jul 2009 19:15:56 GMT"},
			{"etag", `"34aa387-d-1568eb00"`},
			{"accept-ranges", "bytes"},
			{"content-length", "51"},
			{"vary", "Accept-Encoding"},
			{"content-type", "text/plain"},
		},
		Content: []byte("Hello World! My content includes a trailing CRLF.\r\n"),
	}
}

func exampleTrailer() *bhttp.Response {
	return &bhttp.Response{
		Status: 200, Content: []byte("This content contains CRLF.\r\n"),
		Trailer: []bhttp.Field{{"trailer", "text"}},
	}
}

// TestExamples decodes and encodes the examples of RFC 9292 byte for byte.
func TestExamples(t *testing.T) {
	limits := bhttp.DefaultLimits()
	for i, e := range examples(t) {
		b := e.bytes(t)
		var got, want any
		var encode func(bhttp.Mode) ([]byte, error)
		var err error
		switch i {
		case 0, 1:
			m := exampleRequest()
			want, encode = m, func(mode bhttp.Mode) ([]byte, error) { return m.Append(nil, mode) }
			got, err = bhttp.DecodeRequest(b, limits)
		case 2:
			m := exampleInformational()
			want, encode = m, func(mode bhttp.Mode) ([]byte, error) { return m.Append(nil, mode) }
			got, err = bhttp.DecodeResponse(b, limits)
		case 3:
			m := exampleTrailer()
			want, encode = m, func(mode bhttp.Mode) ([]byte, error) { return m.Append(nil, mode) }
			got, err = bhttp.DecodeResponse(b, limits)
		}
		if err != nil {
			t.Errorf("%s: %v", e.Name, err)
			continue
		}
		if !same(got, want) {
			t.Errorf("%s: decoded\n%+v, want\n%+v", e.Name, got, want)
		}
		mode := bhttp.KnownLength
		if b[0] >= 2 {
			mode = bhttp.IndeterminateLength
		}
		encoded, err := encode(mode)
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if encoded, err = bhttp.Pad(encoded, len(encoded)+e.Padding); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encoded, b) {
			t.Errorf("%s: encoded\n%x, want\n%x", e.Name, encoded, b)
		}
	}
}

// same compares messages, nil being as good as empty.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	norm := func(b []byte) string {
		return strings.NewReplacer(":[]", ":null", `:""`, ":null").Replace(string(b))
	}
	return errX == nil && errY == nil && norm(x) == norm(y)
}

// decodes reports whether b is a valid message.
func decodes(b []byte) bool {
	_, err := bhttp.DecodeRequest(b, bhttp.DefaultLimits())
	_, err2 := bhttp.DecodeResponse(b, bhttp.DefaultLimits())
	return err == nil || err2 == nil
}

// TestTruncation cuts messages everywhere: only where RFC 9292 allows it is the
// rest a message.
func TestTruncation(t *testing.T) {
	request := &bhttp.Request{
		Method: "POST", Scheme: "https", Authority: "a.example", Path: "/x",
		Header: []bhttp.Field{{"accept", "y"}}, Content: []byte("content"), Trailer: []bhttp.Field{{"digest", "z"}},
	}
	response := &bhttp.Response{
		Informational: []bhttp.Informational{{103, []bhttp.Field{{"link", "l"}}}},
		Status:        404, Header: []bhttp.Field{{"server", "y"}}, Content: []byte("content"), Trailer: []bhttp.Field{{"digest", "z"}},
	}
	type message interface {
		Append([]byte, bhttp.Mode) ([]byte, error)
	}
	for _, test := range []struct {
		name string
		m    message
		mode bhttp.Mode
		want []int // lengths at which a cut leaves a message
	}{
		// framing 1, control 5+6+10+3, header 1+7+2, content 1+7, trailer 1+7+2
		{"request, known", request, bhttp.KnownLength, []int{25, 35, 43, 53}},
		// header 9+1, content 8+1, trailer 9+1
		{"request, indeterminate", request, bhttp.IndeterminateLength, []int{25, 35, 44, 54}},
		// framing 1, status 2, header 1+7, status 2, header 1+9, content 8, trailer 10
		{"response, known", response, bhttp.KnownLength, []int{13, 23, 31, 41}},
		{"response, indeterminate", response, bhttp.IndeterminateLength, []int{13, 23, 32, 42}},
	} {
		b, err := test.m.Append(nil, test.mode)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for n := range len(b) + 1 {
			if decodes(b[:n]) {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s of %d bytes: cuts at %v are messages, want %v", test.name, len(b), got, test.want)
		}
		padded, err := bhttp.Pad(slices.Clone(b), len(b)+100)
		if err != nil || !decodes(padded) {
			t.Errorf("%s: padded: %v", test.name, err)
		}
		padded[len(padded)-3] = 1
		if decodes(padded) {
			t.Errorf("%s: padding that is not zero is taken", test.name)
		}
	}
}

func TestPadRefusesLongMessages(t *testing.T) {
	if _, err := bhttp.Pad(make([]byte, 11), 10); !errors.Is(err, bhttp.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// TestInvalidRequests covers what is encoded and what is decoded alike: the bytes
// are made without the encoder's checks.
func TestInvalidRequests(t *testing.T) {
	valid := func() *bhttp.Request {
		return &bhttp.Request{Method: "GET", Scheme: "https", Authority: "a.example", Path: "/"}
	}
	header := func(fields ...bhttp.Field) func(*bhttp.Request) {
		return func(m *bhttp.Request) { m.Header = fields }
	}
	trailer := func(fields ...bhttp.Field) func(*bhttp.Request) {
		return func(m *bhttp.Request) { m.Trailer = fields }
	}
	for name, change := range map[string]func(*bhttp.Request){
		"empty method":           func(m *bhttp.Request) { m.Method = "" },
		"method with a space":    func(m *bhttp.Request) { m.Method = "GET /" },
		"CONNECT":                func(m *bhttp.Request) { m.Method = "CONNECT" },
		"empty scheme":           func(m *bhttp.Request) { m.Scheme = "" },
		"bad scheme":             func(m *bhttp.Request) { m.Scheme = "1s" },
		"userinfo":               func(m *bhttp.Request) { m.Authority = "u@a.example" },
		"authority with a slash": func(m *bhttp.Request) { m.Authority = "a.example/x" },
		"authority with newline": func(m *bhttp.Request) { m.Authority = "a\n" },
		"empty path":             func(m *bhttp.Request) { m.Path = "" },
		"relative path":          func(m *bhttp.Request) { m.Path = "x" },
		"star":                   func(m *bhttp.Request) { m.Path = "*" },
		"path with a space":      func(m *bhttp.Request) { m.Path = "/a b" },
		"path with a newline":    func(m *bhttp.Request) { m.Path = "/a\nb" },
		"path with a fragment":   func(m *bhttp.Request) { m.Path = "/a#b" },
		"path not ASCII":         func(m *bhttp.Request) { m.Path = "/\xff" },
		"upper case":             header(bhttp.Field{"Accept", "x"}),
		"empty name":             header(bhttp.Field{"", "x"}),
		"name with a colon":      header(bhttp.Field{"a:b", "x"}),
		"name with a space":      header(bhttp.Field{"a b", "x"}),
		"pseudo-field :path":     header(bhttp.Field{":path", "/"}),
		"pseudo-field :other":    header(bhttp.Field{":other", "/"}),
		"late pseudo-field":      header(bhttp.Field{"a", "b"}, bhttp.Field{":method", "GET"}),
		"value with a newline":   header(bhttp.Field{"a", "b\nc"}),
		"value with a return":    header(bhttp.Field{"a", "b\rc"}),
		"value with NUL":         header(bhttp.Field{"a", "b\x00c"}),
		"value with DEL":         header(bhttp.Field{"a", "b\x7fc"}),
		"value begins blank":     header(bhttp.Field{"a", " b"}),
		"value ends blank":       header(bhttp.Field{"a", "b\t"}),
		"connection":             header(bhttp.Field{"connection", "close"}),
		"keep-alive":             header(bhttp.Field{"keep-alive", "1"}),
		"proxy-connection":       header(bhttp.Field{"proxy-connection", "close"}),
		"transfer-encoding":      header(bhttp.Field{"transfer-encoding", "chunked"}),
		"upgrade":                header(bhttp.Field{"upgrade", "h2c"}),
		"te":                     header(bhttp.Field{"te", "gzip"}),
		"two hosts":              header(bhttp.Field{"host", "a.example"}, bhttp.Field{"host", "a.example"}),
		"other host":             header(bhttp.Field{"host", "b.example"}),
		"content-length":         header(bhttp.Field{"content-length", "1"}),
		"content-length twice":   header(bhttp.Field{"content-length", "0"}, bhttp.Field{"content-length", "0"}),
		"content-length, sign":   header(bhttp.Field{"content-length", "+0"}),
		"trailer :path":          trailer(bhttp.Field{":path", "/"}),
		"trailer host":           trailer(bhttp.Field{"host", "a.example"}),
		"trailer length":         trailer(bhttp.Field{"content-length", "0"}),
		"trailer cookie":         trailer(bhttp.Field{"cookie", "a=b"}),
		"trailer upper case":     trailer(bhttp.Field{"Digest", "x"}),
	} {
		m := valid()
		change(m)
		if _, err := m.Append(nil, bhttp.KnownLength); !errors.Is(err, bhttp.ErrInvalid) {
			t.Errorf("%s: encoding: %v", name, err)
		}
		for _, mode := range []bhttp.Mode{bhttp.KnownLength, bhttp.IndeterminateLength} {
			if _, err := bhttp.DecodeRequest(bhttp.AppendUnchecked(m, mode), bhttp.DefaultLimits()); !errors.Is(err, bhttp.ErrInvalid) &&
				!(name == "empty name" && mode == bhttp.IndeterminateLength) { // there it ends the section
				t.Errorf("%s: decoding: %v", name, err)
			}
		}
	}
	if b := bhttp.AppendUnchecked(valid(), bhttp.KnownLength); !decodes(b) {
		t.Error("the request without a change is refused, too")
	}
	star := valid()
	star.Method, star.Path = "OPTIONS", "*"
	if b := bhttp.AppendUnchecked(star, bhttp.KnownLength); !decodes(b) {
		t.Error("OPTIONS * is refused")
	}
}

func TestInvalidBytes(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                      "",
		"framing 4":                  "04",
		"framing of 8 bytes":         "c000000000000004",
		"half an integer":            "40",
		"request, nothing more":      "00",
		"length beyond the end":      "00ffffffffffffffff",
		"status 99":                  "014063",
		"status 600":                 "014258",
		"status 0":                   "0100",
		"status 101":                 "0140650040c8",
		"informational, no more":     "01406600",
		"informational, no header":   "014066",
		"header longer than message": "0140c805016101",
		"value beyond the section":   "0140c80301610162",
		"name without value":         "0140c8020161",
		"content beyond the end":     "0140c8000561",
		"unended header":             "0340c801610162",
		"unended content":            "0340c8000161",
		"unended trailer":            "0340c8000001610162",
		"status ends early":          "0340",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bhttp.DecodeRequest(b, bhttp.DefaultLimits()); !errors.Is(err, bhttp.ErrInvalid) {
			t.Errorf("%s: request: %v", name, err)
		}
		if _, err := bhttp.DecodeResponse(b, bhttp.DefaultLimits()); !errors.Is(err, bhttp.ErrInvalid) {
			t.Errorf("%s: response: %v", name, err)
		}
	}
}

// TestLimits reaches each limit and exceeds it by one.
func TestLimits(t *testing.T) {
	m := &bhttp.Response{
		Informational: []bhttp.Informational{{103, []bhttp.Field{{"a", "bc"}}}, {104, nil}},
		Status:        200, Header: []bhttp.Field{{"d", "ef"}}, Content: []byte("content"), Trailer: []bhttp.Field{{"g", "hi"}},
	}
	for _, mode := range []bhttp.Mode{bhttp.KnownLength, bhttp.IndeterminateLength} {
		b, err := m.Append(nil, mode)
		if err != nil {
			t.Fatal(err)
		}
		fits := bhttp.Limits{Size: len(b), Fields: 3, FieldBytes: 9, Informational: 2}
		if _, err := bhttp.DecodeResponse(b, fits); err != nil {
			t.Errorf("at the limits: %v", err)
		}
		for i := range reflect.TypeOf(fits).NumField() {
			low := fits
			f := reflect.ValueOf(&low).Elem().Field(i)
			f.SetInt(f.Int() - 1)
			if _, err := bhttp.DecodeResponse(b, low); !errors.Is(err, bhttp.ErrTooLarge) {
				t.Errorf("%s one too low: %v", reflect.TypeOf(fits).Field(i).Name, err)
			}
			f.SetInt(0)
			if _, err := bhttp.DecodeResponse(b, low); err == nil {
				t.Errorf("%s of 0 is taken", reflect.TypeOf(fits).Field(i).Name)
			}
		}
	}
}

// TestManyFieldsAllocateLittle: a message of field lines beyond the limit is
// refused before it is read to its end.
func TestManyFieldsAllocateLittle(t *testing.T) {
	b := []byte{3, 0x40, 200}
	for len(b) < 1<<20 {
		b = append(b, 1, 'a', 0)
	}
	allocated := testing.AllocsPerRun(5, func() {
		if _, err := bhttp.DecodeResponse(b, bhttp.DefaultLimits()); !errors.Is(err, bhttp.ErrTooLarge) {
			t.Fatal(err)
		}
	})
	if limit := 4 * bhttp.DefaultLimits().Fields; allocated > float64(limit) {
		t.Errorf("%v allocations for a refused message, want %d at most", allocated, limit)
	}
}
