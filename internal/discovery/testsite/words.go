package testsite

import (
	"math/rand/v2" //nolint:depguard // a simulation draws from a seed and keeps no secret
	"strings"
	"unicode"
)

// A language is what texts are made of. Slugs are written in its ASCII words.
type language struct {
	code  string
	slugs []string // lower-case ASCII words, for addresses
	words []string // of the text of pages; slugs if empty
}

func wordsOf(s string) []string { return strings.Fields(s) }

// languages returns the vocabularies by code.
func languages() map[string]*language {
	all := map[string]*language{
		"en": {slugs: wordsOf(`harbour garden winter bridge market letter river stone bread morning island window summer village
			history painting science planet engine valley forest weather kitchen library teacher captain journey mountain silver
			copper orchard meadow lantern candle railway station museum theatre concert football election council budget housing
			energy climate hospital medicine nutrition sailing cycling running baking knitting gardening chess football travel guide
			review report analysis opinion interview preview recipe tutorial introduction overview comparison beginner advanced cheap
			modern ancient northern southern little great hidden famous forgotten simple quick healthy local annual national weekly`)},
		"de": {
			slugs: wordsOf(`hafen garten winter markt brief fluss stein morgen insel fenster sommer dorf geschichte bild wissenschaft
			motor tal wald wetter lehrer reise berg silber kupfer wiese laterne kerze bahnhof museum theater konzert wahl stadtrat haushalt
			energie klima krankenhaus medizin segeln radfahren laufen backen stricken schach anleitung bericht meinung gespraech vorschau
			rezept vergleich anfaenger modern alt nord klein gross versteckt vergessen einfach schnell gesund neue regierung arbeit schule`),
			words: wordsOf(`Häfen Gärten Winter Märkte Brief Flüsse Stein Morgen Insel Fenster Sommer Dörfer Geschichte Bild Wissenschaft
			Motor Tal Wälder Wetter Lehrer Reise Berg Silber Kupfer Wiese Laterne Kerze Bahnhof Museum Theater Konzert Wahl Stadtrat
			für über größer schön müde hören Straße Fuß Prüfung Führung Gemüse Küche Tür Brücke Mühle`),
		},
		"fr": {
			slugs: wordsOf(`port jardin hiver pont lettre riviere pierre pain matin ile fenetre ete village histoire peinture science
			moteur vallee foret meteo cuisine capitaine voyage montagne argent cuivre verger prairie lanterne bougie gare musee concert
			election conseil budget logement energie climat hopital voile velo course patisserie echecs guide critique analyse avis entretien
			recette comparaison debutant moderne ancien nord petit grand cache oublie simple rapide sain local annuel nouveau gouvernement`),
			words: wordsOf(`port jardin hiver pont lettre rivière pierre pain matin île fenêtre été village histoire peinture science moteur
			vallée forêt météo cuisine capitaine voyage montagne argent cuivre verger prairie lanterne bougie gare musée concert élection
			énergie hôpital vélo pâtisserie échecs débutant caché oublié où déjà français garçon naïf`),
		},
		"es": {slugs: wordsOf(`puerto jardin invierno puente mercado carta piedra manana isla ventana verano pueblo historia pintura
			ciencia motor valle bosque tiempo cocina maestro capitan viaje plata cobre huerto prado linterna vela tren estacion museo teatro
			concierto eleccion consejo vivienda energia clima hospital medicina navegacion ciclismo ajedrez guia opinion entrevista receta
			comparacion moderno antiguo norte pequeno grande escondido olvidado sencillo rapido sano anual nacional gobierno trabajo escuela`)},
		"it": {slugs: wordsOf(`porto giardino inverno ponte mercato lettera fiume pietra pane mattina isola finestra estate paese storia
			pittura scienza motore valle bosco tempo cucina maestro capitano viaggio argento rame frutteto prato lanterna candela treno
			stazione museo teatro concerto elezione consiglio bilancio energia clima ospedale medicina vela ciclismo scacchi guida opinione
			intervista ricetta confronto moderno antico nord piccolo grande nascosto dimenticato semplice veloce sano annuale governo lavoro`)},
		"pl": {
			slugs: wordsOf(`ogrod zima most rynek list rzeka kamien chleb poranek wyspa okno lato wioska historia obraz nauka silnik
			dolina las pogoda kuchnia nauczyciel kapitan podroz srebro miedz sad polana latarnia swieca pociag stacja muzeum teatr koncert
			wybory rada budzet energia klimat szpital medycyna zeglarstwo rower szachy poradnik opinia wywiad przepis porownanie nowoczesny
			dawny mala wielka ukryty zapomniany prosty szybki zdrowy roczny krajowy rzad praca szkola`),
			words: wordsOf(`ogród zima most rynek list rzeka kamień chleb poranek wyspa okno lato wioska historia obraz nauka silnik dolina
			las pogoda kuchnia nauczyciel kapitan podróż srebro miedź sad polana latarnia świeca pociąg stacja muzeum teatr wybory źródło żółty`),
		},
		"ru": {
			slugs: wordsOf(`gavan sad zima most rynok pismo reka kamen khleb utro ostrov okno leto derevnya istoriya kartina nauka
			dvigatel dolina les pogoda kukhnya uchitel kapitan puteshestvie serebro med luga fonar svecha poezd stantsiya muzey teatr`),
			words: wordsOf(`гавань сад зима мост рынок письмо река камень хлеб утро остров окно лето деревня история картина наука двигатель
			долина лес погода кухня учитель капитан путешествие серебро медь луга фонарь свеча поезд станция музей театр выборы энергия`),
		},
		"ja": {
			slugs: wordsOf(`minato niwa fuyu hashi ichiba tegami kawa ishi asa shima mado natsu mura rekishi kagaku tani mori tenki
			daidokoro sensei tabi yama gin akari densha eki hakubutsukan gekijo ongaku senkyo shokuji ryori`),
			words: wordsOf(`港 庭 冬 橋 市場 手紙 川 石 朝 島 窓 夏 村 歴史 科学 谷 森 天気 台所 先生 旅 山 銀 灯り 電車 駅 博物館 劇場 音楽 選挙 料理`),
		},
		"ar": {
			slugs: wordsOf(`mina hadiqa shita jisr suq risala nahr hajar subh jazira nafidha sayf qarya tarikh ilm wadi ghaba taqs`),
			words: wordsOf(`ميناء حديقة شتاء جسر سوق رسالة نهر حجر صباح جزيرة نافذة صيف قرية تاريخ علم وادي غابة طقس مطبخ معلم رحلة جبل فضة قطار محطة متحف`),
		},
	}
	for code, l := range all {
		l.code = code
		if l.words == nil {
			l.words = l.slugs
		}
	}
	return all
}

// some draws n words without repeating one at once.
func some(r *rand.Rand, from []string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = from[r.IntN(len(from))]
		for i > 0 && out[i] == out[i-1] {
			out[i] = from[r.IntN(len(from))]
		}
	}
	return out
}

// slug draws n words of a language joined by sep.
func (l *language) slug(r *rand.Rand, n int, sep string) string {
	return strings.Join(some(r, l.slugs, n), sep)
}

// title writes a slug as the title of a page, with words of the language.
func (l *language) title(r *rand.Rand, n int) string {
	t := []rune(strings.Join(some(r, l.words, n), " "))
	t[0] = unicode.ToUpper(t[0])
	return string(t)
}

func firstNames() []string {
	return wordsOf(`Anna Tom Mira Jonas Clara Pedro Aiko Lena Omar Ines Karl Sofia Ravi Marta Hugo Nina Ben Olga Paul Yara`)
}

func lastNames() []string {
	return wordsOf(`Keller Moreau Rossi Nowak Tanaka Silva Larsen Okafor Weber Novak Garcia Petrov Meyer Lind Costa Haddad`)
}
