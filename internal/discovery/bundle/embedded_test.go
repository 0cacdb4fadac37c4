package bundle

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/golden"
)

// today lies within the validity of the embedded bundles.
func today() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }

func openEmbedded(t testing.TB, name string) *Bundle {
	t.Helper()
	signed, err := Embedded(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(signed, []ed25519.PublicKey{DevelopmentKey()}, today(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parseURL(t testing.TB, raw string) discovery.URL {
	t.Helper()
	u, err := discovery.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestEmbeddedAreSigned: the signed bundles are the signed sources.
// -update signs them again.
func TestEmbeddedAreSigned(t *testing.T) {
	for _, name := range []string{SearchEngines, TestSite} {
		source, err := os.ReadFile("embedded/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Sign(doc, developmentKey())
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "embedded/"+name+".bundle", want)
		if got, err := Embedded(name); !golden.Updating() && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%s is not its source, signed: %v", name, err)
		}
	}
}

func TestSearchPages(t *testing.T) {
	b := openEmbedded(t, SearchEngines)
	for raw, want := range map[string]Search{
		"https://www.google.com/search?q=best+private+browser&gl=us&hl=en&ei=Q80bYZrpK5GRlwSk76eQDA&oq=best": {Engine: "google", Query: "best private browser", Clean: parseURL(t, "https://www.google.com/search?q=best+private+browser")},
		"https://www.google.co.uk/search?q=a%26b":                                                            {Engine: "google", Query: "a&b", Clean: parseURL(t, "https://www.google.com/search?q=a%26b")},
		"https://search.brave.com/search?q=%20%20wetter%20M%C3%BCnchen&source=web":                           {Engine: "brave", Query: "wetter München", Clean: parseURL(t, "https://search.brave.com/search?q=wetter+M%C3%BCnchen")},
		"https://www.bing.com/search?form=QBLH&q=Tea&cvid=7B1E":                                              {Engine: "bing", Query: "Tea", Clean: parseURL(t, "https://www.bing.com/search?q=Tea")},
		"https://de.search.yahoo.com/search?fr=yfp&p=tea":                                                    {Engine: "yahoo", Query: "tea", Clean: parseURL(t, "https://search.yahoo.com/search?p=tea")},
		"https://duckduckgo.com/?q=tea&t=h_&ia=web":                                                          {Engine: "duckduckgo", Query: "tea", Clean: parseURL(t, "https://html.duckduckgo.com/html/?q=tea")},
		"https://www.linkedin.com/jobs/search?keywords=tea+taster&geoId=1":                                   {Engine: "linkedin", Query: "tea taster", Clean: parseURL(t, "https://www.linkedin.com/jobs/search?keywords=tea+taster")},
		"https://www.ecosia.org/search?q=tea&addon=x":                                                        {Engine: "ecosia", Query: "tea", Clean: parseURL(t, "https://www.ecosia.org/search?q=tea")},
		"https://www.qwant.com/?q=tea&t=web":                                                                 {Engine: "qwant", Query: "tea", Clean: parseURL(t, "https://www.qwant.com/?q=tea")},
		"https://www.startpage.com/sp/search?query=tea&cat=web":                                              {Engine: "startpage", Query: "tea", Clean: parseURL(t, "https://www.startpage.com/sp/search?query=tea")},
		"https://yandex.ru/search/?text=tea&lr=213":                                                          {Engine: "yandex", Query: "tea", Clean: parseURL(t, "https://yandex.com/search/?text=tea")},
		"https://www.baidu.com/s?ie=utf-8&wd=%E8%8C%B6":                                                      {Engine: "baidu", Query: "茶", Clean: parseURL(t, "https://www.baidu.com/s?wd=%E8%8C%B6")},
		"https://search.naver.com/search.naver?query=tea&sm=top":                                             {Engine: "naver", Query: "tea", Clean: parseURL(t, "https://search.naver.com/search.naver?query=tea")},
		"https://www.linkedin.com/search/results/people/?keywords=tea%20taster&origin=GLOBAL#more":           {Engine: "linkedin", Query: "tea taster", Clean: parseURL(t, "https://www.linkedin.com/search/results/all/?keywords=tea+taster")},
	} {
		got, ok := b.SearchPage(parseURL(t, raw))
		if !ok || got != want {
			t.Errorf("%s: got %+v %t", raw, got, ok)
		}
		if !b.ResultPage(parseURL(t, raw)) || !b.ResultPage(got.Clean) {
			t.Errorf("%s is no result page", raw)
		}
		if again, ok := b.SearchPage(got.Clean); !ok || again != got {
			t.Errorf("%s: its clean URL gives %+v %t", raw, again, ok)
		}
	}
	for _, raw := range []string{
		"http://www.google.com/search?q=tea", "https://www.google.com:8443/search?q=tea", "https://joe@www.google.com/search?q=tea",
		"https://www.google.com/", "https://www.google.com/search", "https://www.google.com/search?q=+", "https://www.google.com/search/x?q=tea",
		"https://www.google.com/search?q=tea&tbm=isch", "https://www.google.com/search?q=tea&start=10", "https://www.google.com/maps?q=tea",
		"https://www.google.com.evil.example.org/search?q=tea", "https://google.example.org/search?q=tea",
		"https://a.b.search.yahoo.com/search?p=tea", "https://search.yahoo.com.example.org/search?p=tea",
		"https://mail.yahoo.com/search?p=tea", "https://www.bing.com/search?Q=tea",
	} {
		if got, ok := b.SearchPage(parseURL(t, raw)); ok {
			t.Errorf("%s is taken for a search: %+v", raw, got)
		}
	}
}

// TestResultPages: a result page whose search may not be reported is still a
// result page, and never reported as a page.
func TestResultPages(t *testing.T) {
	b := openEmbedded(t, SearchEngines)
	for raw, want := range map[string]bool{
		"https://www.google.com/search?q=tea&start=10":      true,
		"https://www.google.com/search?q=tea&tbm=isch#x":    true,
		"http://www.google.com:8080/search":                 true,
		"https://www.linkedin.com/search/results/people/?x": true,
		"https://duckduckgo.com/?q=tea&iax=images":          true,
		"https://duckduckgo.com/":                           false,
		"https://www.google.com/maps?q=tea":                 false,
		"https://www.google.com/":                           false,
		"https://herald.example.org/search?q=tea":           false,
		"https://www.linkedin.com/company/shoal":            false,
		"https://search.brave.com.example.org/search?q=tea": false,
	} {
		if got := b.ResultPage(parseURL(t, raw)); got != want {
			t.Errorf("%s: %t", raw, got)
		}
	}
}
