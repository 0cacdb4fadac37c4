package discovery

import "testing"

// benchmarkURLs are addresses of several kinds, and how many allocations one takes at
// most: tests do not time, but what allocates more is slower.
func benchmarkURLs() map[string]allocating {
	return map[string]allocating{
		"article": {"https://www.example.org/2024/05/17/the-long-history-of-the-bicycle-in-europe", 19},
		"query":   {"https://www.example.org/shop/item?id=12345", 19},
		"token":   {"https://www.example.org/i/9f86d081884c7d65", 16},
		"address": {"http://192.168.1.1/admin", 10},
	}
}

type allocating struct {
	url  string
	most float64
}

func TestAllocations(t *testing.T) {
	r := newRules(t)
	for name, u := range benchmarkURLs() {
		if n := testing.AllocsPerRun(100, func() { r.URL(u.url, Evidence{}) }); n > u.most {
			t.Errorf("%s: %.0f allocations, want at most %.0f", name, n, u.most)
		}
	}
}

func BenchmarkURL(b *testing.B) {
	r := newRules(b)
	for name, u := range benchmarkURLs() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.URL(u.url, Evidence{})
			}
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	r := newRules(b)
	b.ReportAllocs()
	for b.Loop() {
		r.Query("best private browser for android")
	}
}

func BenchmarkClassify(b *testing.B) {
	c := classifier(b)
	b.ReportAllocs()
	for b.Loop() {
		c.Classify("the-long-history-of-the-bicycle-in-europe", Strict)
	}
}

func BenchmarkParseURL(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseURL("https://www.example.org/2024/05/17/the-long-history-of-the-bicycle-in-europe?a=b"); err != nil {
			b.Fatal(err)
		}
	}
}
