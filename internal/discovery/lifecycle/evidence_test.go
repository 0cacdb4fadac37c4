package lifecycle_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

const (
	film  = "https://films.example.org/watch/9f86d081884c7d65"
	front = "https://films.example.org/"
)

// films adds a site whose films are known by an identifier; links are links of
// its front page, feed its feed.
func films(b *bench, links, feed string) {
	b.net.pages[film] = site{shown: html("A film about the river", canonical(film))}
	b.net.pages[front] = site{shown: `<link rel="alternate" type="application/rss+xml" href="/feed.xml">` + html("Films of the valley", links)}
	b.net.pages[front+"feed.xml"] = site{shown: feed}
	b.net.pages[search("river film")] = site{shown: results("river film", film, "https://news.example.org/about", "https://shop.example.com/lamps/desk", "https://news.example.org/list")}
}

// TestListedByResults: a page that is known by an identifier is reported if the
// result page from which it was reached lists it when it is fetched anonymously,
// and is not asked for otherwise.
func TestListedByResults(t *testing.T) {
	for _, listed := range []bool{true, false} {
		b := newBench(t, nil)
		films(b, "", "")
		if !listed {
			b.net.pages[search("river film")] = site{
				shown:  b.net.pages[search("river film")].shown,
				others: results("river film", "https://news.example.org/", "https://news.example.org/about", "https://shop.example.com/lamps/desk", "https://news.example.org/list"),
			}
		}
		b.visit(1, search("river film"), "", lifecycle.Form)
		b.visit(1, film, search("river film"), lifecycle.Link)
		b.close(1)
		b.wait(4 * time.Hour)
		if listed {
			b.want("query river film finch", "page "+film, "page_query "+film+" river film finch")
		} else {
			b.want("query river film finch")
		}
		// Without a listing the site's sitemap and robots.txt are asked for.
		if s := b.engine.Stats(); s.FetchesListed != map[bool]int{true: 1}[listed] || s.FetchesEvidence != map[bool]int{true: 1, false: 3}[listed] {
			t.Errorf("listed %v: %+v", listed, s)
		}
	}
}

// TestListedByFeed: a feed lists in the same way; a link alone does not.
func TestListedByFeed(t *testing.T) {
	rss := `<?xml version="1.0"?><rss version="2.0"><channel><title>Films</title><item><title>River</title><link>%s</link></item></channel></rss>`
	for name, c := range map[string]struct {
		feed string
		told bool
	}{
		"listed":         {fmt.Sprintf(rss, film), true},
		"guid":           {`<rss><item><guid isPermaLink="true"><![CDATA[` + film + `]]></guid></item></rss>`, true},
		"Atom":           {`<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="alternate" href="/watch/9f86d081884c7d65"/></entry></feed>`, true},
		"another":        {fmt.Sprintf(rss, film+"0"), false},
		"a page, linked": {html("No feed", `<link>`+film+`</link><a href="`+film+`">film</a>`), false},
	} {
		b := newBench(t, nil)
		films(b, `<a href="`+film+`">the film</a>`, c.feed)
		b.visit(1, front, "", lifecycle.Typed)
		b.visit(1, film, front, lifecycle.Link)
		b.close(1)
		b.wait(5 * time.Hour)
		want := []string{"page " + front}
		if c.told {
			want = append(want, "page "+film)
		}
		t.Log(name)
		b.want(want...)
	}
}

// TestListedPrivate: what is listed passes for the name of a page only where that
// is what it can be. A word of accounts, a mail address, another URL stay refused.
func TestListedPrivate(t *testing.T) {
	for _, url := range []string{
		"https://films.example.org/login/9f86d081884c7d65",
		"https://films.example.org/anna@example.org/9f86d081884c7d65",
		"https://films.example.org/watch?token=9f86d081884c7d65",
		"https://films.example.org/watch?next=https%3A%2F%2Fexample.org",
	} {
		b := newBench(t, nil)
		films(b, "", "")
		b.net.pages[url] = site{shown: html("A film about the river", "")}
		b.net.pages[search("river film")] = site{shown: results("river film", url, "https://news.example.org/", "https://news.example.org/about", "https://shop.example.com/lamps/desk", "https://news.example.org/list")}
		b.visit(1, search("river film"), "", lifecycle.Form)
		b.visit(1, url, search("river film"), lifecycle.Link)
		b.close(1)
		b.wait(4 * time.Hour)
		b.want("query river film finch")
		for _, f := range b.net.urls() {
			if f == url {
				t.Errorf("%s was fetched", url)
			}
		}
	}
}

// A scripted net also fetches as a browser does that runs the scripts of a page.
type scripted struct {
	*net
	drawn map[string]string // what an anonymous request is shown then, by URL
	mark  bool
}

func (s scripted) Render(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	r, err := s.Fetch(ctx, u)
	if html, ok := s.drawn[u.String()]; ok {
		r.Body = []byte(html)
	}
	r.Rendered = s.mark
	return r, err
}

// TestRenderPages: a page that shows nothing without its scripts is rendered
// anonymously, if the embedder can and is to, and then compared like any other.
func TestRenderPages(t *testing.T) {
	const app = "https://paper.example.org/walks/river"
	shown, shell := html("A walk along the river", ""), `<title>A walk along the river</title><div id="root"></div><script src="/app.js"></script>`
	for name, c := range map[string]struct {
		render, mark bool
		drawn        string
		told         bool
		fetched      int
	}{
		"rendered":             {true, true, shown, true, 2},
		"not asked for":        {false, true, shown, false, 1},
		"without a mark":       {true, false, shown, false, 2},
		"nothing even then":    {true, true, shell, false, 2},
		"a login for nobody":   {true, true, html("Log in", "<form><input type=password></form>"), false, 2},
		"not to be indexed":    {true, true, "<meta name=robots content=noindex>" + shown, false, 2},
		"something else there": {true, true, html("A walk along the river", strings.Repeat("<p>Other words about hills and how to climb them.</p>", 200)), false, 2},
	} {
		b := newBench(t, func(conf *lifecycle.Config) {
			n := conf.Fetcher.(*net)
			n.pages[app] = site{shown: shown, others: shell}
			conf.Renderer, conf.RenderPages = scripted{n, map[string]string{app: c.drawn}, c.mark}, c.render
		})
		b.visit(1, app, "", lifecycle.Typed)
		b.close(1)
		b.wait(4 * time.Hour)
		t.Log(name)
		if c.told {
			b.want("page " + app)
		} else {
			b.want()
		}
		rendered := map[bool]int{true: 1}[c.render]
		if n := len(b.net.urls()); n != c.fetched || b.engine.Stats().FetchesRendered != rendered {
			t.Errorf("%s: %v fetched, %+v", name, b.net.urls(), b.engine.Stats())
		}
	}
}

// TestLaxComparison: a page whose address passes strictly, and that names itself,
// is compared laxly once a page that was fetched anonymously links to it; without
// such a link the strict comparison holds.
func TestLaxComparison(t *testing.T) {
	const (
		home  = "https://paper.example.org/"
		story = "https://paper.example.org/walks/river"
	)
	for _, c := range []struct {
		home, canonical string
		told            bool
	}{
		{`<a href="/walks/river">A walk</a>`, story, true},
		{`<a href="/walks/hills">A walk</a>`, story, false},
		{`<a href="/walks/river">A walk</a>`, "", false},
	} {
		b := newBench(t, nil)
		extra := ""
		if c.canonical != "" {
			extra = canonical(c.canonical)
		}
		b.net.pages[home] = site{shown: html("The paper", c.home)}
		b.net.pages[story] = site{
			shown:  html("A walk along the river", extra),
			others: html("A walk along the river", extra+`<iframe src="/advertisement"></iframe>`),
		}
		b.visit(1, home, "", lifecycle.Typed)
		b.visit(1, story, home, lifecycle.Link)
		b.close(1)
		b.wait(5 * time.Hour)
		want := []string{"page " + home}
		if c.told {
			want = append(want, "page "+story)
		}
		b.want(want...)
		fetched := strings.Count(strings.Join(b.net.urls(), "\n")+"\n", story+"\n")
		if fetched != 1 {
			t.Errorf("the page was fetched %d times", fetched)
		}
	}
}

// TestTrackingParameters: parameters of letters and advertisements are left out
// though the page names no canonical URL; others beside them stay.
func TestTrackingParameters(t *testing.T) {
	b := newBench(t, nil)
	for _, url := range []string{"https://blog.example.org/walks", "https://blog.example.org/walks?utm_source=letter&utm_medium=mail", "https://blog.example.org/walks?fbclid=IwAR0abcdefghijklmnop", "https://blog.example.org/list?page=2", "https://blog.example.org/list?page=2&gclid=Cj0KCQjw"} {
		title := "Walks of the valley"
		if strings.Contains(url, "list") {
			title = "The second list"
		}
		b.net.pages[url] = site{shown: html(title, "")}
	}
	for i, url := range []string{"https://blog.example.org/walks?utm_source=letter&utm_medium=mail", "https://blog.example.org/walks?fbclid=IwAR0abcdefghijklmnop", "https://blog.example.org/list?page=2&gclid=Cj0KCQjw"} {
		b.visit(int64(i+1), url, "", lifecycle.Typed)
		b.close(int64(i + 1))
	}
	b.wait(5 * time.Hour)
	b.want("page https://blog.example.org/walks", "page https://blog.example.org/list?page=2")
	for _, url := range b.net.urls() {
		if strings.Contains(url, "utm_") || strings.Contains(url, "clid=") {
			t.Errorf("%s was fetched", url)
		}
	}
}

// TestFeedIsNoPage: a feed is evidence, and never reported.
func TestFeedIsNoPage(t *testing.T) {
	b := newBench(t, nil)
	feed := "<rss><channel><title>Films of the valley</title>" + strings.Repeat("<item><title>A film about the river and what lies behind it</title></item>", 9) + "</channel></rss>"
	b.net.pages["https://films.example.org/feed"] = site{shown: feed}
	b.visit(1, "https://films.example.org/feed", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	b.want()
}

// TestListedBySitemap: the sitemap of the site lists as a feed does, to whatever
// way a page was reached; of an index three sitemaps are read. It is not asked for
// unless the page names itself, nor again and again where it lists nothing.
func TestListedBySitemap(t *testing.T) {
	urlset := func(urls ...string) string {
		return `<?xml version="1.0"?><urlset><url><loc>` + strings.Join(urls, "</loc></url><url><loc>") + `</loc></url></urlset>`
	}
	index := `<sitemapindex><sitemap><loc>/old.xml</loc><lastmod>2020-01-01</lastmod></sitemap><sitemap><loc>https://elsewhere.example.com/new.xml</loc><lastmod>2027-01-01</lastmod></sitemap>` +
		`<sitemap><loc>/new.xml.gz</loc><lastmod>2027-01-01</lastmod></sitemap><sitemap><loc>/i/9f86d081884c7d65.xml</loc></sitemap><sitemap><loc>/films.xml</loc><lastmod>2026-11-01</lastmod></sitemap></sitemapindex>`
	for name, c := range map[string]struct {
		named   bool
		sitemap map[string]string
		told    bool
		fetches int // of sitemaps
	}{
		"listed":         {true, map[string]string{"sitemap.xml": urlset(front, film)}, true, 1},
		"another":        {true, map[string]string{"sitemap.xml": urlset(front, film+"0")}, false, 1},
		"not named":      {false, map[string]string{"sitemap.xml": urlset(front, film)}, false, 0},
		"in an index":    {true, map[string]string{"sitemap.xml": index, "films.xml": urlset(film), "old.xml": urlset(front)}, true, 2},
		"second in it":   {true, map[string]string{"sitemap.xml": index, "films.xml": urlset(front), "old.xml": urlset(film)}, true, 3},
		"index of index": {true, map[string]string{"sitemap.xml": index, "films.xml": index, "old.xml": index}, false, 3},
		"a page":         {true, map[string]string{"sitemap.xml": html("No sitemap", "<loc>"+film+"</loc>")}, false, 1},
		"none":           {true, nil, false, 1},
		"by robots.txt":  {true, map[string]string{"robots.txt": "User-agent: *\r\nDisallow: /x\r\nSITEMAP : /lists/films.xml # all\r\n", "lists/films.xml": urlset(film)}, true, 2},
		"index, robots":  {true, map[string]string{"sitemap.xml": urlset(front), "robots.txt": "Sitemap: https://elsewhere.example.com/a.xml\nSitemap: " + front + "sitemap.xml\nsitemap: /index.xml", "index.xml": index, "films.xml": urlset(front), "old.xml": urlset(film)}, true, 4},
		"robots, none":   {true, map[string]string{"robots.txt": "User-agent: *\nDisallow:\n#Sitemap: /lists/films.xml\n", "lists/films.xml": urlset(film)}, false, 1},
		"robots, a page": {true, map[string]string{"robots.txt": "Sitemap: /lists/films.xml", "lists/films.xml": html("No sitemap", "<loc>"+film+"</loc>")}, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			extra := ""
			if c.named {
				extra = canonical(film)
			}
			b.net.pages[film] = site{shown: html("A film about the river", extra)}
			for path, body := range c.sitemap {
				b.net.pages[front+path] = site{shown: body}
			}
			b.visit(1, film, "", lifecycle.Typed)
			b.close(1)
			b.wait(5 * time.Hour)
			var want []string
			fetched, own := 0, 0
			for _, u := range b.net.urls() {
				if strings.HasSuffix(u, ".xml") {
					fetched++
				}
				if u == film {
					own++
				}
			}
			if c.told {
				want = append(want, "page "+film)
			}
			b.want(want...)
			if fetched != c.fetches || own != map[bool]int{true: 1}[c.told] {
				t.Errorf("fetched %v", b.net.urls())
			}
		})
	}
}

// TestRobotsIsNoPage: robots.txt is evidence, and never reported.
func TestRobotsIsNoPage(t *testing.T) {
	b := newBench(t, nil)
	b.net.pages[front+"robots.txt"] = site{shown: html("All that robots may ask for in the valley", "")}
	b.visit(1, front+"robots.txt", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	b.want()
}

// TestSitemapOfNoUse: a site whose sitemap and robots.txt listed nothing of three
// pages is left alone.
func TestSitemapOfNoUse(t *testing.T) {
	b := newBench(t, nil)
	b.net.pages[front+"sitemap.xml"] = site{shown: `<urlset><url><loc>` + front + `</loc></url></urlset>`}
	for i := range 8 {
		u := fmt.Sprintf("%s%d", film, i)
		b.net.pages[u] = site{shown: html("A film about the river", canonical(u))}
		b.visit(1, u, "", lifecycle.Typed)
	}
	b.close(1)
	b.wait(5 * time.Hour)
	b.want()
	if n := len(b.net.urls()); n != 6 {
		t.Errorf("%d fetches, want 6: %v", n, b.net.urls())
	}
}
