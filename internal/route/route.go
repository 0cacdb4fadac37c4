// Package route finds the methods that a path takes, for servers that answer
// paths they do not know by themselves, in a form of their own. A pattern "/" for
// these takes away the answer 405 that net/http gives.
package route

import (
	"net/http"
)

// Methods returns the methods for which mux has a pattern other than "/" that
// matches the path of r, in alphabetical order, none if the path is not served. It
// asks once for each method of RFC 9110 and RFC 5789: it is for requests that are
// refused.
func Methods(mux *http.ServeMux, r *http.Request) []string {
	var found []string
	for _, method := range []string{
		http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut,
	} {
		probe := http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(&probe); pattern != "" && pattern != "/" {
			found = append(found, method)
		}
	}
	return found
}
