// Package testsite is an invented part of the web whose ground truth is known:
// which pages are public, which are shown to one person only, which links are
// secrets. The discovery engine is judged against it.
//
// A [Site] is made from a seed. It has some forty hosts, more than a hundred
// kinds of page ([Kinds]), and two search engines, Finch and Marlin, whose rules
// are [Rules]. All names end in example.org, example.com or
// example.net, which are reserved and have no owner, so that the rules of
// hosts see names like any other. Tokens in capability links are drawn afresh
// from the seed. The site answers in process ([Site.Serve]), which is what large
// runs use, or as real HTTP and HTTPS servers on many loopback addresses
// ([Site.Listen]), to which an injected dialer leads; each host pretends the
// address that it would have, so that private networks can be distinguished from
// public ones as on a real connection.
//
// A [Population] of simulated people browses the site with cookies and logins:
// what they are shown differs from what an anonymous request gets. [Walk] gives
// what one of them did, from the same seed always the same.
//
// # Security
//
// Nothing here protects anybody. The site identifies its simulated people by a plain
// number in a cookie, and its servers listen on loopback only.
//
// # Limits
//
// Pages are small (some 2 to 4 kB) except those that are large on purpose, and
// nothing runs scripts: what a page would draw by script is written into the
// view of the person and missing in the anonymous one.
package testsite
