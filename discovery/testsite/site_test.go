package testsite

import (
	"testing"
)

func TestKinds(t *testing.T) {
	s := New(Options{Seed: 1, People: 200})
	t.Log(len(s.kinds), len(s.pages), len(s.public))
	n := map[Truth]int{}
	for _, p := range s.Pages() {
		n[p.Truth()]++
		got, ok := s.Lookup(p.URL())
		if !ok || got != p {
			t.Errorf("%s: %s", p.Kind.Name, p.URL())
		}
		for _, v := range []View{Nobody(1), {Person: 3, LoggedIn: true}} {
			r := s.Serve(p.Host, p.Target, v)
			if r.Status == 0 {
				t.Error(p.URL())
			}
		}
	}
	t.Log(n)
}
