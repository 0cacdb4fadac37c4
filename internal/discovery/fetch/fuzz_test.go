package fetch

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/discovery"
)

// FuzzBody reads whatever body under whatever headers: it comes out in UTF-8 and
// within the bounds, or not at all.
func FuzzBody(f *testing.F) {
	f.Add("text/html; charset=utf-8", "", []byte("<title>x</title>"))
	f.Add("text/html; charset=iso-2022-jp", "", []byte("\x1b$B\x46\x7c\x1b(B"))
	f.Add("text/html", "gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00"))
	f.Add("application/xhtml+xml", "x-gzip", []byte("\xff\xfeh\x00"))
	f.Add("text/html;charset=gb18030", "identity", []byte(`<meta charset=big5>`+"\x84\x31\xa4\x37"))
	const limit = 4096
	fetcher, err := New(Options{MaxBody: limit})
	if err != nil {
		f.Fatal(err)
	}
	page, err := discovery.ParseURL("https://pages.example.org/story")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind, packing string, body []byte) {
		answer := &http.Response{StatusCode: 200, ContentLength: -1, Header: http.Header{"Content-Type": {kind}, "Content-Encoding": {packing}}, Body: io.NopCloser(bytes.NewReader(body))}
		if err := fetcher.acceptable(page, answer); err != nil {
			if !errors.Is(err, discovery.ErrPrivate) {
				t.Fatal(err)
			}
			return
		}
		out, err := fetcher.body(answer)
		if err != nil {
			return
		}
		if !utf8.Valid(out) || len(out) > 3*limit {
			t.Fatalf("%d bytes, valid: %v", len(out), utf8.Valid(out))
		}
		if strings.EqualFold(packing, "identity") && len(body) > limit {
			t.Fatalf("%d bytes passed a limit of %d", len(body), limit)
		}
	})
}
