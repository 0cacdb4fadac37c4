package testsite

import "fmt"

// A Truth is what is known of a page: which readers are shown what at its address.
type Truth uint8

// The truths.
const (
	Public       Truth = iota // every request is shown the same
	Login                     // shown to people that are logged in, or a login itself
	Personalised              // everybody is shown something else, by cookie
	Private                   // on a private network
	Noindex                   // open, but its owner does not want it reported
	Capability                // open to anyone with the link, which is a secret
	OneTime                   // as Capability, and one GET uses the link up
	Typed                     // its address holds what a person typed, or where a person was
	Unusable                  // nothing is there that could be reported: gone, broken, too large, no page
)

func (t Truth) String() string {
	names := [...]string{"public", "login", "personalised", "private network", "noindex", "capability", "one-time", "typed", "unusable"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("Truth(%d)", t)
}

// Truths lists them all.
func Truths() []Truth {
	return []Truth{Public, Login, Personalised, Private, Noindex, Capability, OneTime, Typed, Unusable}
}

// MustStay reports whether no page of this truth may ever be reported.
// Of capability links some few may slip through the engine, because a secret
// made of words looks like words; no crowd may release one.
func (t Truth) MustStay() bool {
	return t == Login || t == Personalised || t == Private || t == Noindex
}

// An Audience is which people come to a page.
type Audience uint8

// The audiences.
const (
	Everyone Audience = iota // by popularity
	Owner                    // one person
	Few                      // two to five
	Group                    // forty
)

// A Kind is a kind of page: what the ground truth is of it, and how its pages
// are made.
type Kind struct {
	Name     string
	Truth    Truth
	Audience Audience
	Host     string

	lang  string
	count int
	path  func(*draw) string                // path and query of a page; nil for slugs at the root
	also  func(*Page) (host, target string) // a second address of each page; may be nil
	show  func(*Site, *Page, View, *sheet)  // changes what an article would show; may be nil

	fragment func(*draw) string // what follows in the address bar; drawn for each page

	robots   string // content of a robots meta element
	header   string // X-Robots-Tag
	depends  bool   // needs an account: only people with one come
	linked   bool   // public pages link here, though it is not public
	listed   bool   // in the sitemap of its host, and in its feed if it has one
	unlisted bool   // never among the links and results that pages show
}

// Kinds lists all kinds of page, in a fixed order.
func Kinds() []Kind {
	var all []Kind
	for _, chapter := range [][]Kind{publicKinds(), variantKinds(), hardKinds(), closedKinds(), networkKinds(), capabilityKinds(), accessKinds(), onceKinds(), oddKinds()} {
		all = append(all, chapter...)
	}
	return all
}
