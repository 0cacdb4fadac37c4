package linkability_test

import (
	"net/http"

	"github.com/shoal-project/shoal/internal/server"
)

// A leak is a fault that is planted: the trial must find it in the views named.
type leak struct {
	name  string
	views []string
	// options changes how an organisation runs.
	options func(w *world, name string, o *server.Options)
	// transport is put between a client and the relay.
	transport func(w *world, p *person, next http.RoundTripper) http.RoundTripper
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// dated is a client whose requests have the time of its own clock, in seconds.
func dated() *leak {
	return &leak{
		name: "a Date in seconds", views: []string{"relay", "relay with shuffler and leader"},
		transport: func(w *world, p *person, next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.Header.Set("Date", w.clock.Now().Add(p.offset).UTC().Format(http.TimeFormat))
				return next.RoundTrip(r)
			})
		},
	}
}
