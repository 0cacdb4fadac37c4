package discovery

import "testing"

// TestArchives: the copy of a page that an archive keeps is judged as the page.
func TestArchives(t *testing.T) {
	r := newRules(t)
	for address, want := range map[string]Rule{
		"https://web.archive.org/web/20170630204729/http://example.org/walks/river":                           RuleNone,
		"https://web.archive.org/web/20170630204729id_/https://www.example.org/walks/river.html":              RuleNone,
		"https://web.archive.org/web/20170630204729/http:/example.org/walks/river":                            RuleNone,
		"http://web.archive.org/web/20170630204729/www.example.org/walks":                                     RuleNone,
		"https://arquivo.pt/wayback/20170630204729/http://example.org/":                                       RuleNone,
		"https://web.archive.org/web/20170630204729/http://example.org/list?page=2":                           RuleNone,
		"https://web.archive.org/web/20170630204729/http://example.org/i/9f86d081884c7d65":                    RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/http://example.org/a?user=anna":                           RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/http://anna:secret@example.org/":                          RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/http://192.168.1.1/":                                      RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/http://example.org/login":                                 RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/http://example.org/?next=http://example.com/":             RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/https://web.archive.org/web/2017/http://example.org/i/f2": RuleEmbeddedURL,
		"https://web.archive.org/anna@example.com/20170630204729/http://example.org/walks":                    RuleEmail,
		"https://web.archive.org/web/20179930204729/http://example.org/walks":                                 RuleEmbeddedURL,
		"https://web.archive.org/save/http://example.org/walks":                                               RuleEmbeddedURL,
		"https://proxy.example.com/web/20170630204729/http://example.org/walks":                               RuleEmbeddedURL,
		"https://web.archive.org/web/20170630204729/mailto:anna":                                              RuleEmbeddedURL,
	} {
		if d := r.URL(address, Evidence{}); d.Rule != want {
			t.Errorf("%s: %s (%s), want %q", address, d, d.Why().Found, want)
		}
	}
	const copied = "https://web.archive.org/web/20170630204729/http://example.org/i/9f86d081884c7d65"
	if d := r.URL(copied, Evidence{Listed: true}); d.Verdict == Public {
		t.Errorf("a listing of %s lets the page behind it pass", copied)
	}
	if d := r.URL("https://web.archive.org/web/20170630204729/http://example.org/walks", Evidence{}); d.Text != "https://web.archive.org/web/20170630204729/http://example.org/walks" {
		t.Errorf("the clean URL is %s", d.Text)
	}
}

// FuzzArchived: whatever the path, a copy is judged without a panic, and the
// original is a URL that parses again.
func FuzzArchived(f *testing.F) {
	f.Add("/web/20170630204729/http://example.org/")
	f.Add("/20170630204729/a.b?x")
	f.Add("//20170630204729id_//x.y")
	f.Fuzz(func(t *testing.T, path string) {
		u, err := ParseURL("https://web.archive.org" + path)
		if err != nil {
			return
		}
		if original, folder, ok := archived(u); ok {
			if _, err := ParseURL(original.String()); err != nil || folder == "" {
				t.Errorf("%q: %v, folder %q", path, err, folder)
			}
		}
	})
}
