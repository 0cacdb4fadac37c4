package discovery

import (
	"errors"
	"strings"
	"testing"
)

func page(t testing.TB) URL {
	t.Helper()
	u, err := ParseURL("https://www.example.org/a/story")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSign(t *testing.T) {
	const body = `<!DOCTYPE html><HTML LANG="pt-BR"><head>
<title> A  story &amp; <b>more</b>
</title><title>Another</title><link rel="stylesheet" href="x.css"><link rel="Canonical" href="../a/story"><meta name="viewport" content="noindex">
<style>p { color: red }</style><script>document.write("<input type=password>")</script></head>
<body><svg><title>Drawing</title></svg><p>One   two</p><a href="/x">x</a><a name="y">y</a>
<form action="/search"><input name="q"><input type="HIDDEN"><input type=password><textarea></textarea></form>
<form action="https://other.example.org/"></form><iframe src="//www.example.org/f"></iframe><iframe src="https://ads.example.org"></iframe>
<template><a href="/z">z</a></template><!-- <a href="/comment"> --></body></html>`
	got, err := Sign(page(t), []string{"max-snippet:20"}, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := Signature{
		Bytes: len(body), Text: got.Text, Words: got.Words, Title: "A story & <b>more</b>", Links: 1, Inputs: 3, Hidden: 1, Passwords: 1,
		Forms: 2, FormsSameHost: 1, Frames: 2, FramesSameHost: 1, FramesSameSite: 2, Language: "pt-br", Canonical: "https://www.example.org/a/story", Indexable: true,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Text < 12 || got.Text > 30 {
		t.Errorf("%d characters of text", got.Text)
	}
}

// TestIndexable covers pages whose authors mark them as not public.
func TestIndexable(t *testing.T) {
	for _, c := range []struct {
		robots []string
		body   string
		want   bool
	}{
		{nil, "", true},
		{nil, `<meta name=robots content="index, follow">`, true},
		{nil, `<META NAME="Robots" CONTENT="NOINDEX">`, false},
		{nil, `<meta name="googlebot" content="nofollow,noindex">`, false},
		{nil, `<meta name="robots" content="none">`, false},
		{nil, `<meta content=noindex name=robots name=viewport>`, false},
		{nil, `<meta name="robots" content="` + strings.Repeat("follow,", 1000) + `noindex">`, false},
		{[]string{"noindex"}, "", false},
		{[]string{"max-snippet:20", "otherbot: noindex, nofollow"}, "", false},
		{[]string{"unavailable_after: 2025-01-01"}, "", false},
	} {
		s, err := Sign(page(t), c.robots, []byte(c.body))
		if err != nil || s.Indexable != c.want {
			t.Errorf("%v %s: indexable %v, %v", c.robots, c.body, s.Indexable, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	for body, want := range map[string]string{
		`<link rel=canonical href="https://www.example.org/x">`:                 "https://www.example.org/x",
		`<base href="https://cdn.example.org/d/"><link rel=canonical href="x">`: "https://cdn.example.org/d/x",
		`<link rel=canonical href="/x"><link rel=canonical href="/x">`:          "https://www.example.org/x",
		`<link rel=canonical href="/x"><link rel=canonical href="/y">`:          "",
		`<link rel=canonical href="javascript:x">`:                              "",
		`<link rel=canonical href="/` + strings.Repeat("x", maxField) + `">`:    "",
		`<link rel=canonical>`:             "",
		`<link rel="alternate" href="/x">`: "",
		`<base href="https://a.example.org/"><base href="/b/"><link href=x rel="shortlink canonical">`: "https://a.example.org/x",
	} {
		if s, err := Sign(page(t), nil, []byte(body)); err != nil || s.Canonical != want {
			t.Errorf("%s: %q, %v, want %q", body, s.Canonical, err, want)
		}
	}
}

// TestHostilePages covers pages that want to stall the engine or fill its
// memory: no tree is built, so nesting costs nothing, and large tags are errors.
func TestHostilePages(t *testing.T) {
	const n = 2 << 20
	for unit, wantErr := range map[string]bool{
		"<div>": false, "</": false, "<": false, "<a href=x>": false, "<svg><title>": false, "<template>": false, "&amp": false, "\x00": false, "\xff": false,
	} {
		s, err := Sign(page(t), nil, []byte(strings.Repeat(unit, n/len(unit))))
		if (err != nil) != wantErr && !errors.Is(err, ErrPage) {
			t.Errorf("%q: %v", unit, err)
		}
		if err == nil && len(s.Title) > maxField*3 {
			t.Errorf("%q: a title of %d bytes", unit, len(s.Title))
		}
	}
	for _, body := range []string{strings.Repeat("x", MaxPage+1), "<a " + strings.Repeat("x", 2*maxMarkup), "<!--" + strings.Repeat("x", 2*maxMarkup)} {
		if _, err := Sign(page(t), nil, []byte(body)); !errors.Is(err, ErrPage) {
			t.Errorf("%.10q of %d bytes: %v, want ErrPage", body, len(body), err)
		}
	}
}

func FuzzSign(f *testing.F) {
	f.Add("noindex", []byte(`<title>x</title><base href="/y"><link rel=canonical href=z><form action=""><input type=password>`))
	f.Add("", []byte("<svg><title>\xff</svg><template><a href></template><iframe src=//x>"))
	u := page(f)
	f.Fuzz(func(t *testing.T, robots string, body []byte) {
		s, err := Sign(u, []string{robots}, body)
		if err != nil {
			return
		}
		if s.Passwords > s.Inputs || s.FormsSameHost > s.Forms || s.FramesSameHost > s.FramesSameSite || s.FramesSameSite > s.Frames || s.Bytes != len(body) {
			t.Fatalf("%+v", s)
		}
		if s.Canonical == "" {
			return
		}
		if c, err := ParseURL(s.Canonical); err != nil || c.String() != s.Canonical {
			t.Fatalf("canonical URL %q: %v", s.Canonical, err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	paragraph := `<div class="c"><h2>Head</h2><p>Some words of a story that goes on <a href="/next">and on</a>, with <em>stress</em>.</p><img src="/i.png" alt="picture"></div>` + "\n"
	body := []byte("<html lang=en><head><title>A story</title></head><body>" + strings.Repeat(paragraph, 200<<10/len(paragraph)))
	u := page(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(u, nil, body); err != nil {
			b.Fatal(err)
		}
	}
}
