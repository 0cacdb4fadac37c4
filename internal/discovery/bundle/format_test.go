package bundle

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestFormat1: a bundle that was signed before format 2 opens, and has the limits
// and the transforms of its time.
func TestFormat1(t *testing.T) {
	signed, err := os.ReadFile("testdata/format-1.bundle")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(signed, []ed25519.PublicKey{DevelopmentKey()}, today(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := b.SearchPage(parseURL(t, "https://www.google.de/search?q=tea")); !ok || s.Query != "tea" {
		t.Errorf("%+v %t", s, ok)
	}
	for _, change := range []func(*Document){
		func(d *Document) {
			d.Engines[0].Pages[0].Hosts, d.Engines[0].Pages[0].Clean = []string{"www.finch.<tld>"}, "https://www.finch.com/s"
		},
		func(d *Document) { *d = *wide(17, 1, 1) },
		func(d *Document) { *d = *wide(1, 9, 1) },
		func(d *Document) { *d = *wide(1, 1, 5) },
		func(d *Document) {
			d.Engines[0].Content[0].Input[0].Fields[0].Ways[0].Transform = [][]string{{"oneOf", "a"}}
		},
	} {
		d := wide(1, 1, 1)
		change(d)
		d.Format = format2
		if _, err := compile(d); err != nil {
			t.Errorf("format 2: %v", err)
		}
		d.Format = format1
		if _, err := compile(d); err == nil {
			t.Error("format 1 takes what only format 2 has")
		}
	}
}

// wide returns a document with so many inputs, actions and ways to a field.
func wide(inputs, actions, ways int) *Document {
	s := Style{}
	for i := range inputs {
		f := Field{Name: "text"}
		for j := range ways {
			f.Ways = append(f.Ways, Way{Select: fmt.Sprintf(".w%d", j), Text: true})
		}
		s.Input = append(s.Input, Input{Name: fmt.Sprintf("in%d", i), First: fmt.Sprintf(".i%d", i), Fields: []Field{f}})
	}
	for i := range actions {
		s.Out = append(s.Out, Output{Action: fmt.Sprintf("action%d", i), Fields: []OutputField{{Key: "text", From: fmt.Sprintf("in%d.text", i%inputs)}}})
	}
	return &Document{
		Format: format2, Name: "wide", Version: 1, NotBefore: today(), Expires: today().AddDate(0, 6, 0),
		Engines: []Engine{{Name: "finch", Pages: []Pattern{{Scheme: "https", Hosts: []string{"finch.example.net"}, Path: "/s", Query: "q", Clean: "https://finch.example.net/s"}}, Content: []Style{s}}},
	}
}

// TestWide: 31 inputs, 24 actions of one page, and the last of twelve ways.
func TestWide(t *testing.T) {
	b, err := compile(wide(31, 24, 12))
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	for i := range 31 {
		fmt.Fprintf(&page, `<div class=i%d><b class=w11>text %d</b></div>`, i, i)
	}
	actions, err := b.Extract(parseURL(t, "https://finch.example.net/s?q=tea"), []byte(page.String()))
	if err != nil || len(actions) != 24 || actions[23].Texts["text"] != "text 23" {
		t.Errorf("%v, %v", actions, err)
	}
}

// TestSuffixHosts: <tld> matches exactly one public suffix.
func TestSuffixHosts(t *testing.T) {
	b := openEmbedded(t, SearchEngines)
	for host, want := range map[string]bool{
		"www.google.de": true, "www.google.co.uk": true, "www.google.com.br": true, "google.com": true,
		"www.google.example.org": false, "www.google.evil.com": false, "www.google.github.io": false, "maps.google.de": false, "www.google": false,
	} {
		if _, ok := b.SearchPage(parseURL(t, "https://"+host+"/search?q=tea")); ok != want {
			t.Errorf("%s: %t", host, ok)
		}
	}
}
