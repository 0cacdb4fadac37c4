package pagegen

import (
	"fmt"
	"net/url"
	"strings"
)

const (
	base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
	hex    = "0123456789abcdef"
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Conventions lists how sites write addresses. The names give where a convention
// is usual; the addresses are invented.
func Conventions() []Convention {
	return append(append(append(articles(), products()...), others()...), opaques()...)
}

func articles() []Convention {
	return []Convention{
		{"blog: day and slug", Article, func(s *source) string { return "/" + s.day("/") + "/" + s.slug(3, 8) + "/" }},
		{"blog: month and slug", Article, func(s *source) string { return "/" + s.month("/") + "/" + s.slug(3, 7) + "/" }},
		{"blog: slug alone", Article, func(s *source) string { return "/" + s.slug(3, 9) + "/" }},
		{"blog: category and slug", Article, func(s *source) string { return "/" + s.section() + "/" + s.slug(3, 8) + "/" }},
		{"blog: plain number", Article, func(s *source) string { return "/?p=" + s.count(99_999) }},
		{"blog: archives and number", Article, func(s *source) string { return "/archives/" + s.count(99_999) }},
		{"hosted blog: month and page", Article, func(s *source) string { return "/" + s.month("/") + "/" + s.slug(3, 6) + ".html" }},
		{"site builder: post", Article, func(s *source) string { return "/post/" + s.slug(3, 9) }},
		{"site builder: blog with short date", Article, func(s *source) string {
			return fmt.Sprintf("/blog/%d/%d/%d/%s", 2016+s.IntN(11), 1+s.IntN(12), 1+s.IntN(28), s.slug(3, 7))
		}},
		{"newsletter: p and slug", Article, func(s *source) string { return "/p/" + s.slug(2, 7) }},
		{"content system: node", Article, func(s *source) string { return "/node/" + s.count(20_000) }},
		{"content system: articles and slug", Article, func(s *source) string { return "/articles/" + s.slug(3, 8) }},
		{"content system: index.php, number and slug", Article, func(s *source) string {
			return "/index.php/" + s.section() + "/" + s.count(9999) + "-" + s.slug(2, 6)
		}},
		{"content system: detail and slug", Article, func(s *source) string { return "/" + s.section() + "/detail/" + s.slug(3, 8) }},
		{"content system: numbered page with language", Article, func(s *source) string {
			return "/index.php?id=" + s.count(9999) + "&L=" + s.count(4)
		}},
		{"old system: article.asp", Article, func(s *source) string { return "/article.asp?id=" + s.count(99_999) }},
		{"old system: section and number", Article, func(s *source) string {
			return "/news.php?cat=" + s.count(30) + "&id=" + s.count(99_999)
		}},
		{"news: section, slug, number", Article, func(s *source) string {
			return "/" + s.section() + "/" + s.slug(3, 8) + "-" + s.number(6, 8) + ".html"
		}},
		{"news: section, region, slug", Article, func(s *source) string {
			return "/" + s.section() + "/" + s.section() + "/" + s.slug(5, 10)
		}},
		{"news: slug and date at its end", Article, func(s *source) string {
			return "/" + s.section() + "/" + s.section() + "/" + s.slug(4, 9) + "-" + s.day("-") + "/"
		}},
		{"news: date in one segment", Article, func(s *source) string { return "/" + s.section() + "/" + s.day("-") + "/" + s.slug(4, 9) + ".html" }},
		{"news: date, section, slug", Article, func(s *source) string {
			return "/" + s.day("/") + "/" + s.section() + "/" + s.slug(3, 6) + ".html"
		}},
		{"news: month in letters", Article, func(s *source) string {
			return fmt.Sprintf("/%s/%d/%s/%02d/%s", s.section(), 2016+s.IntN(11), s.one("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1+s.IntN(28), s.slug(3, 8))
		}},
		{"news: underscore numbers", Article, func(s *source) string {
			return "/" + s.section() + "/article/" + s.day("/") + "/" + s.slug(4, 9) + "_" + s.number(7, 7) + "_" + s.number(4, 4) + ".html"
		}},
		{"news: long number at its end", Article, func(s *source) string {
			return "/" + s.section() + "/" + s.day("/") + "/news/" + s.join("_", 4, 8) + "-" + s.number(9, 9) + "/"
		}},
		{"news: section and number", Article, func(s *source) string { return "/news/" + s.section() + "-" + s.number(8, 8) }},
		{"news: story in capitals", Article, func(s *source) string { return "/news/" + s.title("-", 3, 7) + "-" + s.number(7, 7) + ".html" }},
		{"magazine: number before slug", Article, func(s *source) string { return "/" + s.section() + "/" + s.count(99_999) + "/" + s.slug(3, 7) + "/" }},
		{"magazine: letter and number at its end", Article, func(s *source) string { return "/" + s.slug(3, 8) + "-a" + s.count(9999) }},
		{"recipes: number and slug", Article, func(s *source) string { return "/recipe/" + s.count(299_999) + "/" + s.slug(2, 5) + "/" }},
		{"recipes: slug and number", Article, func(s *source) string { return "/recettes/recette_" + s.slug(2, 4) + "_" + s.count(99_999) + ".aspx" }},
		{"press releases: year and slug", Article, func(s *source) string { return fmt.Sprintf("/press/%d/%s", 2016+s.IntN(11), s.slug(4, 9)) }},
		{"government: guidance", Article, func(s *source) string { return "/guidance/" + s.slug(2, 6) }},
		{"letters of another script", Article, func(s *source) string {
			return "/" + s.section() + "/" + url.PathEscape(s.cyrillic()+"-"+s.cyrillic())
		}},
	}
}

// cyrillicWords are words of Russian, Ukrainian, Bulgarian and Serbian.
const cyrillicWords = "погода город новости рецепт история дорога книга весна река мост школа здоровье путешествие музыка театр выставка ремонт хозяйство" +
	" строительство расписание правительство безопасность молодежь сегодня подъезд объявление вечер зима хлеб овощи яблоко україна місто новини подорож" +
	" мистецтво здоровий вулиця країна життя щоденник въпрос българия градина пролет училище пътуване земеделие връзка град путовање изложба пролеће насеље љубав"

// cyrillic is a word of letters that no Latin model knows.
func (s *source) cyrillic() string { return s.one(strings.Fields(cyrillicWords)...) }

func products() []Convention {
	return []Convention{
		{"shop system: products", Product, func(s *source) string { return "/products/" + s.slug(2, 6) }},
		{"shop system: collections and products", Product, func(s *source) string {
			return "/collections/" + s.slug(1, 2) + "/products/" + s.slug(2, 5)
		}},
		{"shop system: products with model", Product, func(s *source) string { return "/products/" + s.slug(1, 3) + "-" + s.model() }},
		{"shop system: product and slug", Product, func(s *source) string { return "/product/" + s.slug(2, 6) + "/" }},
		{"shop system: page at the root", Product, func(s *source) string { return "/" + s.slug(2, 5) + ".html" }},
		{"shop system: category and page", Product, func(s *source) string { return "/" + s.slug(1, 2) + "/" + s.slug(2, 5) + "-" + s.model() + ".html" }},
		{"shop system: language, category, number", Product, func(s *source) string {
			return "/" + s.one("en", "de", "fr", "es", "it", "pl") + "/" + s.section() + "/" + s.count(9999) + "-" + s.slug(2, 5) + ".html"
		}},
		{"shop system: category, number, slug", Product, func(s *source) string { return "/" + s.section() + "/" + s.count(99_999) + "/" + s.slug(2, 4) }},
		{"shop system: route and product", Product, func(s *source) string {
			return "/index.php?route=product/product&product_id=" + s.count(9999)
		}},
		{"shop system: product_info", Product, func(s *source) string { return "/product_info.php?products_id=" + s.count(9999) }},
		{"shop system: variant", Product, func(s *source) string { return "/products/" + s.slug(2, 5) + "?variant=" + s.number(14, 14) }},
		{"site builder: product-page", Product, func(s *source) string { return "/product-page/" + s.slug(2, 5) }},
		{"site builder: shop/p", Product, func(s *source) string { return "/shop/p/" + s.slug(2, 5) }},
		{"furniture: slug and article number", Product, func(s *source) string {
			return "/" + s.one("us/en", "de/de", "fr/fr") + "/p/" + s.slug(2, 5) + "-" + s.number(8, 8) + "/"
		}},
		{"clothes: slug and stock number", Product, func(s *source) string {
			return "/" + s.slug(3, 6) + "-" + s.text(base36, 9) + "-" + s.text("abcdefghk", 1) + s.number(2, 2) + ".html"
		}},
		{"sport: slug and reference", Product, func(s *source) string { return "/p/" + s.slug(3, 6) + "/_/R-p-" + s.number(6, 6) }},
		{"electronics: slug and number", Product, func(s *source) string {
			return "/de/product/_" + s.slug(1, 3) + "-" + s.model() + "-" + s.number(7, 7) + ".html"
		}},
		{"electronics: number with ending", Product, func(s *source) string { return "/site/" + s.slug(3, 7) + "/" + s.number(7, 7) + ".p" }},
		{"department store: A and number", Product, func(s *source) string { return "/p/" + s.slug(3, 6) + "/-/A-" + s.number(8, 8) }},
		{"department store: long number", Product, func(s *source) string { return "/ip/" + s.title("-", 3, 7) + "/" + s.number(9, 10) }},
		{"market place: title and stock number", Product, func(s *source) string {
			return "/" + s.title("-", 3, 6) + "/dp/B0" + s.text(strings.ToUpper(base36), 8)
		}},
		{"market place: listing", Product, func(s *source) string { return "/listing/" + s.number(9, 10) + "/" + s.slug(3, 6) }},
		{"books: number and title", Product, func(s *source) string { return "/book/show/" + s.number(4, 8) + "." + s.title("_", 2, 5) }},
		{"books: ISBN", Product, func(s *source) string { return "/book/" + s.slug(2, 5) + "-" + s.isbn() }},
		{"games: number and title", Product, func(s *source) string { return "/app/" + s.number(3, 7) + "/" + s.title("_", 1, 4) + "/" }},
		{"hotels: country and slug", Product, func(s *source) string {
			return "/hotel/" + s.one("pt", "it", "fr", "de") + "/" + s.slug(1, 3) + ".html"
		}},
		{"travel: numbers and titles", Product, func(s *source) string {
			return "/Restaurant_Review-g" + s.number(6, 6) + "-d" + s.number(6, 7) + "-Reviews-" + s.title("_", 1, 3) + "-" + s.title("_", 1, 2) + ".html"
		}},
		{"cars: make, model, number", Product, func(s *source) string { return "/" + s.word() + "/" + s.model() + "/" + s.number(5, 6) }},
		{"catalogue: category path", Product, func(s *source) string {
			return "/c/" + s.section() + "/" + s.section() + "/" + s.slug(1, 2)
		}},
		{"catalogue: second page", Product, func(s *source) string { return "/" + s.section() + "/" + s.slug(1, 2) + "?page=" + s.count(20) }},
	}
}

func others() []Convention {
	return []Convention{
		{"forum: viewtopic", Other, func(s *source) string { return "/viewtopic.php?t=" + s.count(99_999) }},
		{"forum: viewtopic with forum", Other, func(s *source) string { return "/viewtopic.php?f=" + s.count(40) + "&t=" + s.count(99_999) }},
		{"forum: threads", Other, func(s *source) string { return "/threads/" + s.slug(3, 8) + "." + s.count(999_999) + "/" }},
		{"forum: showthread", Other, func(s *source) string { return "/showthread.php?" + s.count(99_999) + "-" + s.title("-", 3, 6) }},
		{"forum: t, slug, number", Other, func(s *source) string { return "/t/" + s.slug(3, 8) + "/" + s.count(99_999) }},
		{"forum: topic", Other, func(s *source) string { return "/forum/topic/" + s.count(99_999) + "-" + s.slug(3, 7) + "/" }},
		{"questions: number and slug", Other, func(s *source) string { return "/questions/" + s.number(5, 8) + "/" + s.slug(4, 10) }},
		{"talk: sub, comments, base 36", Other, func(s *source) string {
			return "/r/" + s.word() + "/comments/" + s.text(base36, 7) + "/" + s.join("_", 3, 8) + "/"
		}},
		{"talk: item", Other, func(s *source) string { return "/item?id=" + s.number(5, 8) }},
		{"wiki: title", Other, func(s *source) string { return "/wiki/" + s.title("_", 1, 5) }},
		{"wiki: title with accents", Other, func(s *source) string { return "/wiki/" + url.PathEscape(s.title("_", 1, 2)+"_é"+s.word()) }},
		{"wiki: index.php", Other, func(s *source) string { return "/index.php?title=" + s.title("_", 1, 3) }},
		{"code: issues", Other, func(s *source) string { return "/" + s.word() + "/" + s.slug(1, 2) + "/issues/" + s.count(9999) }},
		{"code: file of a branch", Other, func(s *source) string {
			return "/" + s.word() + "/" + s.slug(1, 2) + "/blob/main/" + s.section() + "/" + s.word() + ".md"
		}},
		{"code: package", Other, func(s *source) string { return "/package/" + s.slug(1, 3) }},
		{"reference: version and module", Other, func(s *source) string {
			return "/" + s.count(9) + "." + s.count(20) + "/library/" + s.word() + "." + s.word() + ".html"
		}},
		{"reference: several capitals", Other, func(s *source) string {
			return "/en-US/docs/" + s.title("/", 2, 4)
		}},
		{"papers: year and number", Other, func(s *source) string {
			return fmt.Sprintf("/abs/%02d%02d.%s", 10+s.IntN(16), 1+s.IntN(12), s.number(5, 5))
		}},
		{"films: letters and number", Other, func(s *source) string { return "/title/tt" + s.number(7, 7) + "/" }},
		{"talks: name and title", Other, func(s *source) string { return "/talks/" + s.join("_", 5, 9) }},
		{"events: slug and number", Other, func(s *source) string { return "/e/" + s.slug(3, 6) + "-tickets-" + s.number(11, 12) }},
		{"jobs: slug and number", Other, func(s *source) string { return "/jobs/view/" + s.slug(3, 6) + "-" + s.number(6, 7) }},
		{"weather: country and place", Other, func(s *source) string { return "/" + s.word() + "/" + s.word() + "/" + s.title("-", 1, 2) }},
		{"front page", Other, func(*source) string { return "/" }},
		{"section", Other, func(s *source) string { return "/" + s.section() + "/" }},
	}
}

func opaques() []Convention {
	return []Convention{
		{"news: identifier alone", Opaque, func(s *source) string { return "/news/articles/c" + s.text(base36, 11) }},
		{"news: hash at its end", Opaque, func(s *source) string { return "/article/" + s.slug(3, 7) + "-" + s.text(hex, 32) }},
		{"essays: hash at its end", Opaque, func(s *source) string { return "/@" + s.word() + "/" + s.slug(4, 8) + "-" + s.text(hex, 12) }},
		{"videos: watch", Opaque, func(s *source) string { return "/watch?v=" + s.text(base62, 11) }},
		{"music: track", Opaque, func(s *source) string { return "/track/" + s.text(base62, 22) }},
		{"auctions: item", Opaque, func(s *source) string { return "/itm/" + s.number(12, 12) }},
		{"market place: item", Opaque, func(s *source) string { return "/item/" + s.number(16, 16) + ".html" }},
		{"pictures: short code", Opaque, func(s *source) string { return "/p/" + s.text(base62, 11) + "/" }},
	}
}
