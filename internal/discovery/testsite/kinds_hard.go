package testsite

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// own makes a page name itself as its canonical URL.
func own(_ *Site, p *Page, _ View, h *sheet) { h.canonical = p.URL() }

// titledAs puts something into the title that looks like markup or code.
func titledAs(format string) func(*Site, *Page, View, *sheet) {
	return func(_ *Site, p *Page, _ View, h *sheet) { h.title = fmt.Sprintf(format, p.Title) }
}

// hardKinds are public pages that an engine took for private ones: known by
// numbers and identifiers, or with addresses and titles of unusual words.
func hardKinds() []Kind {
	fixed := func(before string, words string, after string) func(*draw) string {
		all := wordsOf(words)
		return func(d *draw) string { return before + all[d.index%len(all)] + after + d.slug(1, 2) }
	}
	kinds := []Kind{
		// Known by a number or an identifier, in a sitemap or a feed.
		{Name: "news by a long number", Host: herald, lang: "en", count: 10, listed: true, show: own, path: func(d *draw) string {
			return "/story/" + d.number(1_000_000_000, 1_999_999_999) + "/" + d.slug(3, 5)
		}},
		{Name: "product by an identifier", Host: shop, lang: "en", count: 10, listed: true, show: own, path: func(d *draw) string {
			return "/dp/B0" + tokengen.Text(d.Rand, tokengen.Digits+"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 8)
		}},
		{Name: "video by an identifier, in a feed", Host: films, lang: "en", count: 10, listed: true, show: own, path: func(d *draw) string {
			return "/watch/" + tokengen.Text(d.Rand, tokengen.Base62, 11)
		}},
		{Name: "paper by an identifier", Host: papers, lang: "en", count: 8, listed: true, show: own, path: func(d *draw) string {
			return "/record/" + tokengen.UUID(d.Rand)
		}},
		// Known by a number behind a word for what is published.
		{Name: "question by a number", Host: talk, lang: "en", count: 8, path: func(d *draw) string { return "/question/" + d.number(10_000_000, 99_999_999) }},
		{Name: "dated news with two numbers", Host: journal, lang: "fr", count: 8, path: func(d *draw) string {
			return fmt.Sprintf("/politique/article/2026/%02d/%02d/%s_%s_%s.html", 1+d.IntN(12), 1+d.IntN(28), d.slug(1, 2), d.number(1_000_000, 9_999_999), d.number(100_000, 999_999))
		}},
		// Addresses of unusual words.
		{Name: "file of an encyclopedia", Host: reference, lang: "en", count: 6, path: func(d *draw) string {
			return "/wiki/File:" + strings.Join(titled(some(d.Rand, d.lang.slugs, 2)), "_") + ".png"
		}},
		{Name: "compounds of German", Host: tageblatt, lang: "de", count: 6, path: fixed("/ratgeber/", "krankenversicherungskarte grundstuecksverkehrsordnung donaudampfschifffahrt rechtsschutzversicherung arbeitsunfaehigkeit siebentausendzweihundert", "-")},
		{Name: "double letters of Finnish", Host: notes, lang: "en", count: 6, path: fixed("/artikkelit/", "aiheuttaako-kofeiini-riippuvuutta tyottomyysturvan-muutokset kaupunkipyoraily-talvella terveyskeskuksen-aukioloajat saannollinen-liikunta uuttaa-kahvia", "-")},
		{Name: "documentation of access", Host: docs, lang: "en", count: 6, path: fixed("/topics/", "auth sessions passwords oauth2 tokens permissions", "/")},
		{Name: "titles in camel case", Host: papers, lang: "en", count: 6, path: func(d *draw) string {
			return "/books/" + strings.Join(titled(some(d.Rand, d.lang.slugs, 3)), "") + ".html"
		}},
		{Name: "with a soft hyphen", Host: tageblatt, lang: "de", count: 4, path: func(d *draw) string {
			w := some(d.Rand, d.lang.slugs, 2)
			return "/lexikon/" + url.PathEscape(w[0]+"\u00ad"+w[1])
		}},
		{Name: "section of an article", Host: reference, lang: "en", count: 6, path: func(d *draw) string { return "/articles/" + d.slug(2, 4) }, fragment: func(*draw) string { return "#the-second-part-of-the-story" }},
		{Name: "text of an article", Host: herald, lang: "en", count: 6, path: func(d *draw) string { return "/essay/" + d.slug(3, 4) }, fragment: func(*draw) string { return "#:~:text=three%20rivers%20meet" }},
		{Name: "with a language", Host: city, lang: "en", count: 6, path: func(d *draw) string { return "/guide?title=" + d.slug(1, 1) + "&lang=de" }},
		// Titles that look like markup or code.
		{Name: "title with an element", Host: docs, lang: "en", count: 4, path: func(d *draw) string { return "/elements/" + d.slug(2, 3) }, show: titledAs("<canvas>: %s")},
		{Name: "title with a type", Host: docs, lang: "en", count: 4, path: func(d *draw) string { return "/types/" + d.slug(2, 3) }, show: titledAs("List<T> Class: %s (Harbour.Collections.Generic)")},
		{Name: "title with signs", Host: herald, lang: "en", count: 4, path: func(d *draw) string { return "/letters/" + d.slug(3, 4) }, show: titledAs("“%s”, asyncio.create_subprocess_exec?!")},
	}
	return kinds
}

// accessKinds are pages of one person's access in many languages, and links that
// are short codes.
func accessKinds() []Kind {
	orders := wordsOf(`/bestellung/ /rechnung/ /buchung/ /commande/ /facture/ /pedido/ /reserva/ /fatura/ /ordine/ /prenotazione/ /bestelling/ /zamowienie/ /rezerwacja/
		/objednavka/ /rendeles/ /comanda/ /ordre/ /tilaus/ /siparis/ /заказ/ /бронирование/ /замовлення/ /παραγγελία/ /طلب/ /سفارش/ /הזמנה/ /ऑर्डर/ /คำสั่งซื้อ/ /don-hang/ /pesanan/ /注文/ /주문/ /订单/`)
	kinds := []Kind{
		{Name: "order in another language", Host: shop, count: 33, path: func(d *draw) string {
			return escaped(orders[d.index%len(orders)]) + d.number(10_000, 99_999)
		}},
		{Name: "order, written together", Host: shop, count: 6, path: func(d *draw) string { return "/OrderConfirmation.aspx?n=" + d.number(10_000, 99_999) }},
		{Name: "boarding pass", Host: meet, count: 12, path: func(d *draw) string {
			return "/boardingpass/" + tokengen.Text(d.Rand, "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 6) + "/" + strings.ToUpper(lastNames()[d.IntN(16)])
		}},
		{Name: "appointment by a counter", Host: city, count: 12, path: func(d *draw) string { return "/appointments/" + d.number(1000, 9999) }},
		{Name: "letters of Cyrillic at random", Host: letters, count: 3, path: func(d *draw) string {
			r := []rune("абвгдежзийклмнопрстуфхцчшщъыьэюя")
			for i := range 14 {
				j := i + d.IntN(len(r)-i)
				r[i], r[j] = r[j], r[i]
			}
			return "/c/" + url.PathEscape(string(r[:14]))
		}},
		{Name: "number in digits of Devanagari", Host: people, count: 12, path: func(d *draw) string {
			return "/u/" + url.PathEscape(strings.Map(func(r rune) rune { return '०' + r - '0' }, d.number(1_000_000_000, 9_999_999_999)))
		}},
		{Name: "base62 of 6", Host: files, count: 8, path: func(d *draw) string { return "/a/" + tokengen.Text(d.Rand, tokengen.Base62, 6) }},
		{Name: "record locator", Host: parcels, count: 8, path: func(d *draw) string {
			return "/trip/" + tokengen.Text(d.Rand, tokengen.Digits+"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 6)
		}},
		{Name: "slug and a code of 6", Host: papers, count: 8, path: func(d *draw) string { return "/n/" + d.slug(2, 3) + "-" + tokengen.Text(d.Rand, tokengen.Base62, 6) }},
		{Name: "two segments of base62", Host: files, count: 8, path: func(d *draw) string {
			return "/" + tokengen.Text(d.Rand, tokengen.Base62, 6) + "/" + tokengen.Text(d.Rand, tokengen.Base62, 6)
		}},
		{Name: "base64url of 11", Host: papers, count: 8, path: func(d *draw) string { return "/w/" + tokengen.Base64URL(8)(d.Rand) }},
	}
	for i := range kinds {
		kinds[i].Truth, kinds[i].Audience, kinds[i].lang = Capability, Few, "en"
	}
	return kinds
}

// escaped writes a path as browsers send it.
func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// leaves are links by which one GET ends something, in many languages: a number
// is all that names the person.
func leaves() []Kind {
	words := wordsOf(`/abmelden/ /se-desabonner/ /desinscription/ /darse-de-baja/ /cancelar-suscripcion/ /cancelar-inscricao/ /disiscriviti/ /afmelden/ /wypisz-sie/ /odhlasit/ /leiratkozas/
		/dezabonare/ /avmeld/ /afmeld/ /peru-tilaus/ /отписаться/ /відписатися/ /отписване/ /διαγραφή/ /abonelikten-cik/ /إلغاء-الاشتراك/ /لغو-اشتراک/ /הסרה-מרשימה/ /सदस्यता-समाप्त/ /ยกเลิกการสมัคร/ /huy-dang-ky/
		/berhenti-berlangganan/ /配信停止/ /수신거부/ /退订/ /logout/ /abmeldung/ /deconnexion/ /cerrar-sesion/ /esci/ /uitloggen/ /wyloguj/ /выход/ /çıkış/ /登出/`)
	return []Kind{{Name: "end of a subscription in another language", Truth: OneTime, Audience: Owner, Host: letters, lang: "en", count: len(words), path: func(d *draw) string {
		return escaped(words[d.index%len(words)]) + d.number(1000, 9999)
	}, show: usedUp}}
}
