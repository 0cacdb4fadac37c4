package discovery

import (
	"net/netip"
	"strings"
	"testing"
)

func parseURL(t testing.TB, s string) URL {
	t.Helper()
	u, err := ParseURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLinksTo(t *testing.T) {
	from := parseURL(t, "https://www.example.org/a/b?c")
	target := parseURL(t, "https://www.example.org/a/d?e=1#part")
	for body, want := range map[string]bool{
		`<a href="d?e=1">`:                                          true,
		`<A class=x HREF='/a/./d?e=1#other'>`:                       true,
		`<area href="//www.example.org/a/d?e=1">`:                   true,
		`<base href="https://www.example.org/x/"><a href="d?e=1">`:  false,
		`<base href="https://www.example.org/a/z"><a href="d?e=1">`: true,
		`<base href="/a/"><base href="/b/"><a href="d?e=1">`:        true,
		`<a href="d?e=2">`:                                          false,
		`<a href="d?e=1&f">`:                                        false,
		`<a name="d?e=1">`:                                          false,
		`<a href="http://www.example.org/a/d?e=1">`:                 false,
		`<!-- <a href="d?e=1"> -->`:                                 false,
		`<script>"<a href='d?e=1'>"</script>`:                       false,
		`<template><a href="d?e=1"></template>`:                     false,
		`<noscript><a href="d?e=1"></noscript>`:                     false,
		`<template></template><a href="d?e=1">`:                     true,
		`<link href="d?e=1">`:                                       false,
		`<a href="" href="d?e=1">`:                                  false,
		strings.Repeat("<i>", 1000) + `<a href="d?e=1">`:            true,
		strings.Repeat("x", MaxPage) + `<a href="d?e=1">`:           false,
	} {
		if got := LinksTo(from, []byte(body), target); got != want {
			t.Errorf("%.60s: %v", body, got)
		}
	}
}

func FuzzLinksTo(f *testing.F) {
	f.Add([]byte(`<base href=/x><a href="d">`))
	f.Add([]byte(`<template><script></template><area href=//www.example.org/a/d>`))
	from, target := parseURL(f, "https://www.example.org/a/b"), parseURL(f, "https://www.example.org/a/d")
	f.Fuzz(func(t *testing.T, body []byte) {
		if LinksTo(from, body, target) && !strings.Contains(strings.ToLower(string(body)), "href") {
			t.Fatal("a link without href")
		}
	})
}

// TestPublicAddr has an address of each block of the registries, and addresses
// beside them.
// TestRobotsSitemaps: sitemaps of the own site, three at most, not the usual place.
func TestRobotsSitemaps(t *testing.T) {
	r := newRules(t)
	u, err := ParseURL("https://www.example.org/robots.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !u.Accepts("text/plain") || !u.Accepts("text/html") || u.Accepts("image/png") || u.WithoutFragment().Sitemap().Accepts("text/plain") {
		t.Error("plain text is read of a robots.txt alone")
	}
	body := "User-agent: *\nDisallow: /x\nSitemap: /a.xml # one\nSITEMAP : https://maps.example.org/b.xml\r\nsitemap:\nSitemap: /sitemap.xml\nSitemap: /a.xml\n" +
		"Sitemap: http://www.example.org/plain.xml\nSitemap: https://www.example.com/c.xml\nSitemap: /d.xml.gz\nSitemap: /i/9f86d081884c7d65.xml\n" +
		"# Sitemap: /e.xml\nSitemaps: /f.xml\nSitemap: /g.xml\nSitemap: /h.xml"
	var got []string
	for _, s := range r.RobotsSitemaps(u, []byte(body)) {
		got = append(got, s.String())
	}
	if want := "https://www.example.org/a.xml https://maps.example.org/b.xml https://www.example.org/g.xml"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// FuzzRobotsSitemaps: whatever the text, what is named may be asked for.
func FuzzRobotsSitemaps(f *testing.F) {
	r := newRules(f)
	u, err := ParseURL("https://www.example.org/robots.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("Sitemap: /a.xml\r\nsitemap:https://maps.example.org/b.xml#x"))
	f.Add([]byte("\ufeffSitemap: //\nSitemap: http:\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		all := r.RobotsSitemaps(u, body)
		if len(all) > maxSitemaps {
			t.Fatalf("%d sitemaps", len(all))
		}
		for _, s := range all {
			if !s.SameSite(u) || s.Downgrades(u) || r.Page(s, Evidence{}).Verdict != Public {
				t.Fatalf("%s", s)
			}
		}
	})
}

func TestPublicAddr(t *testing.T) {
	for addr, want := range map[string]bool{
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false, "127.9.9.9": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.1": false, "192.0.0.170": false, "192.0.2.1": false, "192.31.196.1": false,
		"192.52.193.1": false, "192.88.99.1": false, "192.168.255.1": false, "192.175.48.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.7": false, "203.0.113.7": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"1.1.1.1": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.0.1": true, "172.32.0.0": true, "192.0.1.1": true,
		"192.167.1.1": true, "198.17.0.1": true, "198.20.0.1": true, "223.255.255.255": true, "93.184.216.34": true,
		"::": false, "::1": false, "::7f00:1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "::8.8.8.8": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b::808:808": true, "64:ff9b:1::808:808": false, "64:ff9b::1:808:808": false,
		"100::1": false, "100:0:0:1::1": false, "2001::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2001:2::1": false, "2001:10::1": false,
		"2001:20::1": false, "2001:1ff::1": false, "2001:200::1": true, "2001:db8::1": false, "2002:a00:1::1": false, "2002:808:808::1": false,
		"2620:4f:8000::1": false, "3fff::1": false, "3fff:1000::1": true, "5f00::1": false, "fc00::1": false, "fd12:3456::1": false, "fe80::1": false,
		"fe80::1%eth0": false, "fec0::1": false, "ff02::1": false, "2606:4700::1111": true, "2a00:1450::1%eth0": false, "4000::1": false,
	} {
		if got := PublicAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if PublicAddr(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}

func TestCleanURLs(t *testing.T) {
	r := newRules(t)
	const host = "https://www.example.org"
	for _, c := range []struct{ url, canonical, want string }{
		{"/a", "", ""},
		{"/a/b", "", ""},
		{"/a/b/c", "", "/a/b/"},
		{"/a/b/c/", "", "/a/b/"},
		{"/a/b/c?x=1", "", "/a/b/c"},
		{"/a?x=1#part", "", "/a"},
		{"/a?", "", "/a"},
		{"/a/b/c?x=1", host + "/a/b/c", "/a/b/c"},
		{"/a/b/c?x=1", host + "/a/c", "/a/c /a/b/c"},
		{"/?p=12", host + "/2024/the-long-title", "/ /2024/the-long-title"},
		{"/a", host + "/a-longer-one", ""},
		{"/a/b", host + "/i/9f86d081884c7d65", ""},
		{"/long/9f86d081884c7d65/x", "", ""},
		{"/a/b", "https://m.example.org/a", "https://m.example.org/a"},
		{"/a/b", "http://www.example.org/a", ""}, // TLS hid what was read
		{"/a/b?x=1", "http://www.example.org/a/b", "/a/b"},
		{"/a/b", "http://printer.local/", ""},
		{"/a/b", "not a url:", ""},
	} {
		u := parseURL(t, host+c.url)
		var got []string
		for _, v := range r.CleanURLs(u, Signature{Canonical: c.canonical}) {
			got = append(got, strings.TrimPrefix(v.String(), host))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s, %s: %q, want %q", c.url, c.canonical, got, c.want)
		}
	}
}
