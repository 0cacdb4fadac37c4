package server

import "net/http"

// Reports and keys are for programs of everybody, those of web pages too: a browser
// lets a page read an answer only if the answer allows it (CORS). No request of these
// routes carries or gets credentials, so that this gives access to no new party. The
// management API and what other parties ask for are not opened.

// forPages lets the programs of all web pages read what next answers.
func forPages(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		next(w, r)
	}
}

// preflight answers a browser that asks whether a page may send a report.
func preflight(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", http.MethodPost)
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
