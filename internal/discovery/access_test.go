package discovery

import (
	"strings"
	"testing"
)

// TestAccessWords covers pages of one person whose URL shows it in any language:
// a fetch of them may change something.
func TestAccessWords(t *testing.T) {
	r := newRules(t)
	for _, segment := range []string{
		"OrderConfirmation.aspx", "ViewMyInvoice", "order-history-8127", "boardingpass", "resetpassword", "RESET_PASSWORD", "unsubscribe-newsletter",
		"meine-bestellungen", "Bestellungsübersicht", "Hotelbuchungsbestätigung", "mot-de-passe-oublié", "se-désabonner", "mis-pedidos", "ConfirmacionPedido",
		"minha-conta", "fatture", "mijn-bestellingen", "bestellingsoverzicht", "Mina_sidor", "orderbekräftelse", "kirjaudu-ulos", "varausvahvistukset", "innskráning",
		"tellimused", "pasūtījumi", "užsakymai", "zamówienia", "objednávky", "megrendelés", "számláim", "comenzile-mele", "narudžbe", "поруџбине", "поръчки", "заказы",
		"заказов", "отписка", "бронирования", "замовлення", "παραγγελίες", "αποσύνδεση", "siparişlerim", "çıkış", "şifremi-unuttum", "הזמנות", "סיסמה",
		"تسجيل-الخروج", "طلباتي", "سبد-خرید", "ऑर्डर", "टिकट", "অর্ডার", "கணக்கு", "ఆర్డర్", "คำสั่งซื้อ", "ออกจากระบบ", "đăng-xuất", "giỏ-hàng", "pesanan-saya",
		"keranjang", "ご注文", "注文履歴", "ログアウト", "주문조회", "로그아웃", "我的订单", "購物車", "退订", "შეკვეთა", "պատվեր", "akaunti",
	} {
		for _, e := range []Evidence{{}, {PublicLink: true}} {
			if d := r.URL("https://www.example.org/"+segment+"/8127", e); d.Rule != RulePathKeyword {
				t.Errorf("%s: %s", segment, d)
			}
		}
		if d := r.URL("https://www.example.org/?page="+segment, Evidence{PublicLink: true}); d.Verdict == Public {
			t.Errorf("%s as a parameter: %s", segment, d)
		}
	}
	for _, path := range []string{
		"blog/author/jane-fox", "the-order-of-the-phoenix", "accounting", "contact", "editor/reviews", "wiki/Private_equity", "docs/git-checkout", "topics/auth/", "package/express-session",
		"made-to-order-furniture", "ticket-to-ride-review", "cartoons", "berechnung", "stadtverwaltung", "baja-california", "formal-verification", "patience", "orden-der-templer",
		"rezept/kuchen", "recettes/tarte", "recetas", "paris-en-voyage", "kontakt", "journal/12", "новости", "рецепты-пирогов", "news/注文住宅の選び方とその費用について", "karte",
	} {
		if d := r.URL("https://www.example.org/"+path, Evidence{}); d.Rule == RulePathKeyword {
			t.Errorf("%s: %s", path, d.Why().Found)
		}
	}
}

// TestAccessWordList: the list has at least 30 languages, each with words for
// what happens and for what one person has.
func TestAccessWordList(t *testing.T) {
	languages := map[string]map[string]bool{"act": {}, "own": {}}
	for section, codes := range accessLanguages() {
		for _, l := range codes {
			languages[section][l] = true
		}
	}
	both := 0
	for l := range languages["act"] {
		if languages["own"][l] {
			both++
		}
	}
	if both < 50 {
		t.Errorf("%d languages have words of both kinds, want 50", both)
	}
}

func accessLanguages() map[string][]string {
	all := make(map[string][]string)
	for line := range strings.Lines(accessWordList) {
		if fields := strings.Fields(line); len(fields) > 2 && (fields[0] == "act" || fields[0] == "own") {
			all[fields[0]] = append(all[fields[0]], strings.Split(fields[1], ",")...)
		}
	}
	return all
}
