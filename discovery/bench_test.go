package discovery

import "testing"

func BenchmarkURL(b *testing.B) {
	r := newRules(b)
	for name, url := range map[string]string{
		"article": "https://www.example.org/2024/05/17/the-long-history-of-the-bicycle-in-europe",
		"query":   "https://www.example.org/shop/item?id=12345",
		"token":   "https://www.example.org/i/9f86d081884c7d65",
		"address": "http://192.168.1.1/admin",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.URL(url, Evidence{})
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
