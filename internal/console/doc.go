// Package console is the web page of an analyzer and a collector: which questions are asked,
// what has been released in answer, how exact it is, and what each party of a
// question can see.
//
// It renders on the server, from a [Source], and works without JavaScript:
//
//	h := console.New(console.FromServer(s), console.Options{Hosts: []string{"localhost:8450"}})
//
// The pages show released results only; nothing that a threshold has held back
// reaches a Source.
//
// # Security properties
//
// The console has no login. It is meant for a loopback listener, and answers
// only requests with an expected Host header, so that a page
// elsewhere cannot reach it by pointing a name of its own at this machine (DNS
// rebinding). It changes nothing: every route is a GET.
//
// All text goes through html/template, which escapes for the context of each
// value; values come from clients and are hostile by assumption. The content
// security policy allows the console's own style sheet and nothing else: no
// script, no inline style, no frame, no form, nothing from another host.
package console
