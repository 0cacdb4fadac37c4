package console_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/metric/task"
)

func handler(t *testing.T, s console.Source) http.Handler {
	t.Helper()
	h, err := console.New(s, console.Options{Clock: clock.NewVirtual(now), Hosts: []string{"console.internal"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, path string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost:8450"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func page(id byte) string { return "/questions/" + task.ID{id}.String() }

// pages are all kinds of page: full, waiting, suppressed, empty, failed.
func pages(t *testing.T) map[string]*http.Response {
	full := handler(t, fullFixture())
	return map[string]*http.Response{
		"list":        get(t, full, "/"),
		"answered":    get(t, full, page(1)),
		"waiting":     get(t, full, page(2)),
		"suppressed":  get(t, full, page(3)),
		"count":       get(t, full, page(4)),
		"histogram":   get(t, full, page(5)),
		"uncollected": get(t, full, page(6)),
		"hostile":     get(t, handler(t, hostileFixture()), page(1)),
		"empty list":  get(t, handler(t, fixture{}), "/"),
		"missing":     get(t, full, page(9)),
		"no page":     get(t, full, "/nowhere"),
		"failed":      get(t, handler(t, fixture{err: errors.New("disk")}), page(1)),
	}
}

// TestPages checks what must hold of every page: a balanced tree, one h1, a
// strict policy, and nothing loaded from elsewhere or written inline.
func TestPages(t *testing.T) {
	for name, r := range pages(t) {
		t.Run(name, func(t *testing.T) {
			checkHeaders(t, r)
			checkTree(t, body(t, r))
		})
	}
}

func checkHeaders(t *testing.T, r *http.Response) {
	t.Helper()
	policy := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
		t.Errorf("policy %q is not strict", policy)
	}
	for header, want := range map[string]string{
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-store",
		"Content-Type":           "text/html; charset=utf-8",
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
}

var void = []string{"meta", "link", "br", "path", "line", "rect"}

func checkTree(t *testing.T, text string) {
	t.Helper()
	var open []string
	headings := 0
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				t.Fatal(z.Err())
			}
			if len(open) > 0 {
				t.Errorf("never closed: %v", open)
			}
			if headings != 1 {
				t.Errorf("%d h1 elements, want 1", headings)
			}
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := z.Token()
			checkTag(t, tag)
			if tag.Data == "h1" {
				headings++
			}
			if tag.Type == html.StartTagToken && !slices.Contains(void, tag.Data) {
				open = append(open, tag.Data)
			}
			if tag.Data == "rect" && tag.Type == html.StartTagToken { // it may hold a title
				open = append(open, tag.Data)
			}
		case html.EndTagToken:
			tag := z.Token()
			if len(open) == 0 || open[len(open)-1] != tag.Data {
				t.Fatalf("</%s> closes %v", tag.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
}

// checkTag refuses whatever would run, style inline, or reach another host.
func checkTag(t *testing.T, tag html.Token) {
	t.Helper()
	if slices.Contains([]string{"script", "style", "iframe", "form", "object", "base", "img"}, tag.Data) {
		t.Errorf("page has an element %s", tag.Data)
	}
	for _, a := range tag.Attr {
		switch {
		case strings.HasPrefix(a.Key, "on"), a.Key == "style":
			t.Errorf("element %s has the attribute %s", tag.Data, a.Key)
		case a.Key == "href" || a.Key == "src" || a.Key == "action":
			if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "//") {
				t.Errorf("element %s leads to %q", tag.Data, a.Val)
			}
		}
	}
}

const hostile = `"><script>alert(1)</script><img src=//evil.example onerror=alert(1)>'`

// hostileFixture puts markup in every text that a client, an owner or a peer
// organisation chooses.
func hostileFixture() fixture {
	a := answered()
	a.Metric, a.Question.Question, a.Owner, a.Consent = hostile, hostile, hostile, hostile
	a.Table.Columns[0].Name = hostile
	a.Table.Rows[0][0] = hostile
	a.Charts[0].Title, a.Charts[0].Unit, a.Charts[0].Bars[0].Label = hostile, hostile, hostile
	a.Batches[0].State = hostile
	a.Privacy.Facts[0] = console.Fact{Name: hostile, Value: hostile, Meaning: hostile}
	a.Privacy.Sees[0] = console.Sight{Party: hostile, Sees: hostile, Never: hostile}
	return fixture{questions: []console.Answer{a}}
}

// TestHostileText: released values come from clients, names from owners; none
// of it may become markup (cross-site scripting). TestPages walks the same page
// for elements and attributes.
func TestHostileText(t *testing.T) {
	h := handler(t, hostileFixture())
	for _, path := range []string{"/", page(1)} {
		text := body(t, get(t, h, path))
		if strings.Contains(text, "<script") || strings.Contains(text, "<img") {
			t.Errorf("%s: hostile text became markup", path)
		}
		if !strings.Contains(text, "&lt;script&gt;") {
			t.Errorf("%s: hostile text is not shown escaped", path)
		}
	}
}

// TestForeignHost: a page elsewhere must not read the console by pointing a
// name of its own at this machine (DNS rebinding).
func TestForeignHost(t *testing.T) {
	h := handler(t, fullFixture())
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8450": 200, "127.0.0.1:8450": 200, "[::1]:8450": 200, "console.internal": 200, "console.internal:8450": 200,
		"evil.example": 421, "127.0.0.1.evil.example:8450": 421, "": 421, "10.0.0.1:8450": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %q: status %d, want %d", host, w.Code, want)
		}
	}
}

func TestStates(t *testing.T) {
	for name, want := range map[string][]string{
		"list":       {"Which kinds of system API", "16,833", "in 26 hours"},
		"answered":   {"15,000 ± 120", "between 14,880 and 15,120", "19,962 – 20,064", "not told", "expired", "4.5 × 10⁻⁹", "more values are in the exports"},
		"waiting":    {"Nothing has arrived yet", "100 reports"},
		"suppressed": {"Every crowd was too small", "shoal plan"},
		"empty list": {"No question is asked yet", "shoal metrics build"},
		"missing":    {"There is no such page"},
		"failed":     {"could not be read"},
	} {
		text := body(t, pages(t)[name])
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("page %s does not say %q", name, w)
			}
		}
	}
}

func TestStatus(t *testing.T) {
	want := map[string]int{"missing": 404, "no page": 404, "failed": 500}
	for name, r := range pages(t) {
		if w := max(want[name], 200); r.StatusCode != w {
			t.Errorf("page %s: status %d, want %d", name, r.StatusCode, w)
		}
	}
}

func TestExport(t *testing.T) {
	h := handler(t, fullFixture())
	for file, media := range map[string]string{
		"export.csv": "text/csv; charset=utf-8", "export.json": "application/json", "export.parquet": "application/vnd.apache.parquet",
	} {
		r := get(t, h, page(1)+"/"+file)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != media || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment;") {
			t.Errorf("%s: status %d, headers %v", file, r.StatusCode, r.Header)
		}
	}
	for _, path := range []string{page(1) + "/export.exe", page(1) + "/csv", page(2) + "/export.csv", "/questions/x/export.csv"} {
		if r := get(t, h, path); r.StatusCode != 404 {
			t.Errorf("%s: status %d, want 404", path, r.StatusCode)
		}
	}
}

// TestReadOnly: the console changes nothing.
func TestReadOnly(t *testing.T) {
	h := handler(t, fullFixture())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		r := httptest.NewRequest(method, "/", nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d, want 405", method, w.Code)
		}
	}
}

func TestAssets(t *testing.T) {
	h := handler(t, fixture{})
	for path, media := range map[string]string{"/assets/console.css": "text/css", "/assets/mark.svg": "image/svg+xml"} {
		r := get(t, h, path)
		text := body(t, r)
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), media) {
			t.Errorf("%s: status %d, type %q", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
		if strings.Contains(text, "@import") || strings.Contains(text, "url(") {
			t.Errorf("%s loads something else", path)
		}
	}
	if r := get(t, h, "/assets/..%2fhandler.go"); r.StatusCode < 400 {
		t.Errorf("status %d for a path out of the assets", r.StatusCode)
	}
}

// TestAggregatePages: what was found, how exact it is, what is waited for and which
// party sees what are on the page.
func TestAggregatePages(t *testing.T) {
	full := handler(t, fullFixture())
	for id, wants := range map[byte][]string{
		4: {"± 8", "95 % intervals of the noise", "not enough yet", "up to 500 of 1000 reports missing", "given up", "not enough reports arrived", `class="path"`, "Leader at leader.example", "2,823 – 3,003"},
		5: {"Noise</dt><dd>none", "exactly what was sent", "1600 and above", "Of 9,021 reports, 8,104 had an answer."},
		6: {"waits for pairing with the leader", "Nothing has been released yet", "if there are 1,000 at least"},
	} {
		page := body(t, get(t, full, page(id)))
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("page %d does not say %q", id, want)
			}
		}
	}
}
