package testsite

import (
	"fmt"
	"net/netip"
)

// A Host is a name of the invented web, and where it seems to be.
type Host struct {
	Name   string // as in an address; IPv6 in brackets
	Scheme string
	Port   int        // 0 for the scheme's own
	Addr   netip.Addr // the address that it pretends to have
	About  string
}

// Authority returns the host as an address names it.
func (h *Host) Authority() string {
	if h.Port == 0 {
		return h.Name
	}
	return fmt.Sprintf("%s:%d", h.Name, h.Port)
}

// Names of hosts that kinds of page refer to.
const (
	herald    = "herald.example.org"
	tageblatt = "tageblatt.example.org"
	journal   = "journal.example.org"
	diario    = "diario.example.org"
	gazzetta  = "gazzetta.example.org"
	kurier    = "kurier.example.org"
	vestnik   = "vestnik.example.org"
	shimbun   = "shimbun.example.org"
	sahifa    = "sahifa.example.org"
	shop      = "hearth.example.com"
	talk      = "talk.example.com"
	docs      = "docs.example.net"
	reference = "reference.example.org"
	notes     = "notes.example.net"
	kitchen   = "kitchen.example.com"
	films     = "films.example.com"
	people    = "people.example.com"
	events    = "events.example.org"
	jobs      = "jobs.example.com"
	city      = "city.example.org"
	code      = "code.example.org"
	atlas     = "atlas.example.org"
	mirror    = "mirror.example.com"
	bank      = "bank.example.com"
	mail      = "mail.example.net"
	files     = "files.example.net"
	papers    = "papers.example.com"
	meet      = "meet.example.net"
	blobs     = "blobs.example.com"
	letters   = "letters.example.net"
	parcels   = "parcels.example.com"
	odd       = "odd.example.net"

	finch  = "finch.example.net"
	marlin = "marlin.example.org"

	router    = "192.168.1.1"
	intranet  = "intranet"
	printer   = "printer.local"
	wiki      = "wiki.corp"
	cloud     = "vault.internal"
	homeNAS   = "nas.home.arpa"
	onion     = "quietmarketsquare.onion"
	ulaHost   = "[fd12:3456:789a::1]"
	branch    = "branch.example.com"   // a public name of 10.x
	loop      = "loop.example.com"     // of 127.0.0.1
	metadata  = "metadata.example.com" // of 169.254.169.254
	ula       = "ula.example.com"      // of fd00::
	mapped    = "mapped.example.com"   // of ::ffff:10.0.0.9
	carrier   = "carrier.example.com"  // of 100.64.0.0/10
	benchmark = "bench.example.com"    // of 198.18.0.0/15
	nat64     = "nat64.example.com"    // of 64:ff9b::10.0.0.9
	embedded  = "10-0-0-9.example.com"
	develop   = "develop.example.com" // on port 8443
)

// hosts returns all hosts by authority. Public addresses are of blocks without a
// particular owner here: only the simulation reads them.
func hosts() map[string]*Host {
	all := make(map[string]*Host)
	add := func(name, addr, about string) {
		h := &Host{Name: name, Scheme: "https", Addr: netip.MustParseAddr(addr), About: about}
		all[h.Authority()] = h
	}
	open := []struct{ name, about string }{
		{herald, "news in English"},
		{tageblatt, "news in German"},
		{journal, "news in French"},
		{diario, "news in Spanish"},
		{gazzetta, "news in Italian"},
		{kurier, "news in Polish"},
		{vestnik, "news in Russian"},
		{shimbun, "news in Japanese"},
		{sahifa, "news in Arabic"},
		{shop, "a shop"},
		{talk, "a forum"},
		{docs, "documentation"},
		{reference, "an encyclopedia"},
		{notes, "a blog"},
		{kitchen, "recipes"},
		{films, "videos"},
		{people, "a social network"},
		{events, "events"},
		{jobs, "jobs"},
		{city, "a city's services"},
		{code, "code hosting"},
		{atlas, "maps"},
		{mirror, "copies of other sites"},
		{bank, "a bank"},
		{mail, "webmail"},
		{files, "shared files"},
		{papers, "documents"},
		{meet, "meetings"},
		{blobs, "an object store"},
		{letters, "newsletters"},
		{parcels, "parcels"},
		{odd, "things that go wrong"},
		{finch, "a search engine"},
		{marlin, "a search engine"},
	}
	for i, h := range open {
		if i%5 == 4 { // some on IPv6
			add(h.name, fmt.Sprintf("2a00:1450:4001:8%02x::200e", i), h.about)
			continue
		}
		add(h.name, fmt.Sprintf("93.184.%d.%d", 216+i/20, 30+i), h.about)
	}
	all[notes].Scheme, all[city].Scheme = "http", "http"
	for _, h := range []struct{ name, addr, about string }{
		{router, "192.168.1.1", "a router by its address"},
		{intranet, "10.1.1.1", "an intranet name"},
		{printer, "192.168.1.20", "a printer"},
		{wiki, "10.1.1.2", "a company's wiki"},
		{cloud, "10.1.1.3", "a company's vault"},
		{homeNAS, "192.168.1.30", "a disk at home"},
		{onion, "127.0.0.1", "a hidden service"},
		{ulaHost, "fd12:3456:789a::1", "a router by its IPv6 address"},
		{branch, "10.20.30.40", "a public name of a private network"},
		{loop, "127.0.0.1", "a public name of this machine"},
		{metadata, "169.254.169.254", "a public name of a cloud's metadata"},
		{ula, "fd00::5", "a public name of a local IPv6 network"},
		{mapped, "::ffff:10.0.0.9", "a public name of a mapped private address"},
		{carrier, "100.64.7.7", "a public name behind a carrier's NAT"},
		{benchmark, "198.18.0.9", "a public name of a benchmark network"},
		{nat64, "64:ff9b::a00:9", "a public name of a translated private address"},
		{embedded, "10.0.0.9", "an address written as a name"},
	} {
		add(h.name, h.addr, h.about)
	}
	for _, name := range []string{router, intranet, printer, homeNAS, onion, ulaHost} {
		all[name].Scheme = "http"
	}
	d := &Host{Name: develop, Scheme: "https", Port: 8443, Addr: netip.MustParseAddr("93.184.217.99"), About: "a developer's server on a port of its own"}
	all[d.Authority()] = d
	return all
}
