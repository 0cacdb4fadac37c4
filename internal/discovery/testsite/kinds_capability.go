package testsite

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// links is how many capability links of most kinds a site has.
const links = 32

// capabilityKinds are pages that open to anyone with the link.
func capabilityKinds() []Kind {
	token := func(before string, draws func(*draw) string, after string) func(*draw) string {
		return func(d *draw) string { return before + draws(d) + after }
	}
	text := func(alphabet string, n int) func(*draw) string {
		return func(d *draw) string { return tokengen.Text(d.Rand, alphabet, n) }
	}
	b64 := func(n int) func(*draw) string {
		return func(d *draw) string { return tokengen.Base64URL(n)(d.Rand) }
	}
	groups := func(alphabet string, sizes ...int) func(*draw) string {
		return func(d *draw) string { return tokengen.Grouped(alphabet, sizes...)(d.Rand) }
	}
	uuid := func(d *draw) string { return tokengen.UUID(d.Rand) }
	salad := func(n int, sep string) func(*draw) string {
		return func(d *draw) string { return d.lang.slug(d.Rand, n, sep) }
	}
	var all []Kind
	add := func(name, host string, path func(*draw) string) *Kind {
		all = append(all, Kind{Name: name, Truth: Capability, Audience: Few, Host: host, lang: "en", count: links, path: path})
		return &all[len(all)-1]
	}
	add("hex of 12", files, token("/i/", text(tokengen.Hex, 12), ""))
	add("hex of 16 and a file", files, token("/s/", text(tokengen.Hex, 16), "/report.pdf?dl=0"))
	add("hex of 32", files, token("/f/", text(tokengen.Hex, 32), ""))
	add("hex of 40 in a page of words", papers, token("/annual-report-", text(tokengen.Hex, 40), ""))
	add("UUID", papers, token("/document/", uuid, ""))
	add("UUID after the name of a team", papers, func(d *draw) string { return "/team/" + d.slug(1, 2) + "/" + tokengen.UUID(d.Rand) })
	add("base62 of 11", files, token("/v/", text(tokengen.Base62, 11), ""))
	add("base62 of 16", papers, token("/p/", text(tokengen.Base62, 16), "/view"))
	add("base62 of 22", papers, token("/d/", text(tokengen.Base62, 22), ""))
	add("[0-9a-z] of 12", files, token("/g/", text(tokengen.Base36, 12), ""))
	add("[0-9a-z] of 25", papers, token("/deck/", text(tokengen.Base36, 25), ""))
	add("base64url of 16", papers, token("/b/", b64(12), ""))
	add("base64url of 22", papers, token("/doc/", b64(16), "/"))
	add("base64url of 43", papers, token("/sheet/", b64(32), "/edit"))
	add("base32 in groups", files, token("/card/", groups(tokengen.Base32, 4, 4, 4, 4), ""))
	add("9 digits", papers, token("/file/", text(tokengen.Digits, 9), ""))
	add("12 digits", parcels, token("/where/", text(tokengen.Digits, 12), ""))
	add("meeting by digits", meet, token("/j/", text("123456789", 11), ""))
	add("digits over segments", parcels, func(d *draw) string {
		return "/where/" + tokengen.Text(d.Rand, "123456789", 5) + "-" + tokengen.Text(d.Rand, "123456789", 6)
	})
	add("hex over segments", blobs, func(d *draw) string {
		h := tokengen.Text(d.Rand, tokengen.Hex, 20)
		return "/" + h[:4] + "/" + h[4:8] + "/" + h[8:12] + "/" + h[12:16] + "/" + h[16:]
	})
	add("invitation", people, token("/invite/", text(tokengen.Base36, 8), ""))
	add("invitation to a team", papers, func(d *draw) string { return "/join/" + d.slug(2, 2) + "/" + tokengen.Base64URL(12)(d.Rand) }).show = func(_ *Site, _ *Page, _ View, h *sheet) { h.canonical = "/join" }
	add("share of words", files, token("/share/", salad(4, "-"), ""))
	add("thank you for the order", shop, token("/thank-you?order=", text("123456789", 6), ""))
	add("order to look at", shop, token("/orders/view/", text("123456789", 8), ""))
	add("order in two parameters", shop, token("/track?number=", text("123456789", 7), "&zip=10117"))
	add("token parameter", events, token("/rsvp?token=", text(tokengen.Base62, 20), ""))
	add("hex parameter of a plain name", events, token("/ticketing?x=", text(tokengen.Hex, 16), ""))
	add("base62 parameter of a plain name", films, token("/play?v=", text(tokengen.Base62, 11), ""))
	add("key beside words", films, func(d *draw) string { return "/album/" + d.slug(2, 3) + "?key=" + tokengen.Base64URL(6)(d.Rand) })
	add("signed address with expiry", blobs, func(d *draw) string {
		return "/" + d.slug(1, 1) + "-files/" + d.slug(2, 3) + ".html?Expires=17" + tokengen.Text(d.Rand, tokengen.Digits, 8) + "&Signature=" + tokengen.Base64URL(32)(d.Rand)
	})
	add("signed address, long form", blobs, func(d *draw) string {
		return "/" + d.slug(2, 2) + ".html?X-Sig-Algorithm=HMAC&X-Sig-Date=20261104T101112Z&X-Sig-Expires=900&X-Sig-Signature=" + tokengen.Text(d.Rand, tokengen.Hex, 64)
	})
	add("signed cookie-like parameter", parcels, func(d *draw) string {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		return "/case?jwt=" + part(`{"alg":"HS256"}`) + "." + part(`{"sub":"`+d.number(1, 99999)+`"}`) + "." + tokengen.Base64URL(32)(d.Rand)
	})
	add("session in the path", shop, func(d *draw) string {
		return "/catalogue/" + d.slug(2, 2) + ";jsessionid=" + strings.ToUpper(tokengen.Text(d.Rand, tokengen.Hex, 32))
	})
	add("address of a person", letters, func(d *draw) string {
		return "/preferences?to=" + strings.ToLower(firstNames()[d.IntN(20)]) + "." + strings.ToLower(lastNames()[d.IntN(16)]) + fmt.Sprint(d.index) + "%40example.org"
	})
	add("letter in a browser", letters, token("/view/", text(tokengen.Hex, 24), ""))
	add("calendar", meet, token("/calendar/", text(tokengen.Hex, 32), "/basic"))
	add("token with noindex", papers, token("/x/", text(tokengen.Base62, 14), "")).robots = "noindex"
	add("token with a canonical of itself", papers, token("/y/", text(tokengen.Base62, 16), "")).show = func(_ *Site, p *Page, _ View, h *sheet) { h.canonical = p.URL() }
	add("time-sortable identifier", papers, token("/z/01J", text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 23), ""))
	add("key in the fragment", files, token("/sealed/", salad(2, "-"), "")).fragment = func(d *draw) string { return "#key=" + tokengen.Base64URL(16)(d.Rand) }
	add("meeting in letters", meet, token("/m/", groups(tokengen.Lower, 3, 4, 3), "")).count = 6
	add("base62 of 8", files, token("/q/", text(tokengen.Base62, 8), "")).count = 6
	wide := add("shared with forty people", papers, token("/handout/", text(tokengen.Hex, 16), ""))
	wide.Audience, wide.count = Group, 12
	wide = add("read by forty people, base64url", papers, token("/minutes/", b64(16), ""))
	wide.Audience, wide.count = Group, 12
	// What no rule can see: a secret that is words, where any article could be.
	add("words that only friends know", events, token("/", salad(4, "-"), "")).count = 4
	add("words without a hyphen", meet, func(d *draw) string { return "/" + strings.Join(titled(some(d.Rand, d.lang.slugs, 3)), "") }).count = 2
	return all
}

// onceKinds are links that one GET uses up.
func onceKinds() []Kind {
	token := func(before string, alphabet string, n int, after string) func(*draw) string {
		return func(d *draw) string { return before + tokengen.Text(d.Rand, alphabet, n) + after }
	}
	var all []Kind
	for _, k := range []struct {
		name, host string
		path       func(*draw) string
	}{
		{"confirmation", people, token("/confirm?code=", tokengen.Base62, 16, "")},
		{"confirmation at a plain address", people, token("/c/", tokengen.Base62, 22, "")},
		{"unsubscription", letters, token("/unsubscribe/", tokengen.Hex, 16, "")},
		{"unsubscription at a plain address", letters, token("/u/", tokengen.Hex, 20, "")},
		{"reset of a password", bank, token("/reset-password?t=", tokengen.Hex, 32, "")},
		{"login by mail", mail, token("/magic/", tokengen.Base62, 24, "")},
		{"secret that is shown once", files, token("/once/", tokengen.Base62, 12, "")},
		{"download that counts", files, token("/dl/", tokengen.Hex, 12, "/archive")},
		{"vote", events, token("/vote/yes/", tokengen.Base36, 14, "")},
		{"acceptance of an invitation", meet, token("/accept/", tokengen.Digits, 10, "")},
	} {
		all = append(all, Kind{Name: k.name, Truth: OneTime, Audience: Owner, Host: k.host, lang: "en", count: 20, path: k.path, show: usedUp})
	}
	return append(append(all, leaves()...), Kind{
		Name: "one-time link on a public page", Truth: OneTime, Host: city, lang: "en", count: 6, linked: true,
		path: func(d *draw) string {
			return "/raffle?draw=" + d.number(1, 999) + "&lot=" + fmt.Sprint(d.index+1) + "&row=" + d.number(1, 9)
		}, show: usedUp,
	})
}

func usedUp(_ *Site, p *Page, v View, h *sheet) {
	if !p.use(v) && v.Person < 0 {
		h.plain(410, "This link was used already")
	}
}
