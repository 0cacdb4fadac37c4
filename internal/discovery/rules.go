package discovery

import (
	"fmt"
	"strings"
)

// A Rule names a rule. Names are stable: they are shown to people and counted.
type Rule string

// The rules. Table describes each.
const (
	RuleNone Rule = ""

	RuleUnreadable  Rule = "url.unreadable"
	RuleScheme      Rule = "url.scheme"
	RuleCredentials Rule = "url.credentials"
	RulePort        Rule = "url.port"

	RuleHostAddress   Rule = "host.address"
	RuleHostEmbedded  Rule = "host.embedded-address"
	RuleHostSpecial   Rule = "host.special-use"
	RuleHostPersonal  Rule = "host.personal"
	RuleHostSingle    Rule = "host.single-label"
	RuleHostMalformed Rule = "host.malformed"
	RuleHostLength    Rule = "host.length"
	RuleHostLabels    Rule = "host.labels"
	RuleHostDigits    Rule = "host.digits"
	RuleHostHyphens   Rule = "host.hyphens"
	RuleHostToken     Rule = "host.token"

	RuleStrictness Rule = "strictness"
	RuleReferrer   Rule = "referrer"

	RuleLength      Rule = "url.length"
	RuleEncoding    Rule = "url.encoding"
	RuleFragment    Rule = "url.fragment"
	RuleEmail       Rule = "url.email"
	RuleEmbeddedURL Rule = "url.embedded-url"
	RuleCoordinates Rule = "url.coordinates"

	RulePathDepth   Rule = "path.depth"
	RulePathKeyword Rule = "path.keyword"
	RulePathWord    Rule = "path.word"
	RulePathNumber  Rule = "path.number"
	RulePathToken   Rule = "path.token"
	RuleShortener   Rule = "path.shortener"

	RuleQueryLength  Rule = "parameters.length"
	RuleQueryCount   Rule = "parameters.count"
	RuleQueryKeyword Rule = "parameters.keyword"
	RuleQueryNumber  Rule = "parameters.number"
	RuleQueryToken   Rule = "parameters.token"
	RuleQueryText    Rule = "parameters.text"

	RuleTextEmpty       Rule = "text.empty"
	RuleTextLength      Rule = "text.length"
	RuleTextWords       Rule = "text.words"
	RuleTextWord        Rule = "text.word"
	RuleTextNumber      Rule = "text.number"
	RuleTextEmail       Rule = "text.email"
	RuleTextCredentials Rule = "text.credentials"
	RuleTextURL         Rule = "text.url"
	RuleTextToken       Rule = "text.token"
	RuleTextMarkup      Rule = "text.markup"
)

// limits are the figures in which the levels of strictness differ.
type limits struct {
	query      int // bytes of the query
	parameters int
	digits     int // in a row in the path, with separators between
	value      int // digits in a row in a parameter
	word       int // letters of a word of the path
}

func limitsOf(s Strictness) limits {
	if s == Lax {
		return limits{query: 30, parameters: 4, digits: 12, value: 8, word: 30}
	}
	return limits{query: 22, parameters: 1, digits: 8, value: 7, word: 24}
}

// Limits that hold at every level.
const (
	maxURL           = 800
	maxParts         = 8 // segments of a path
	maxMixedWord     = 18
	maxCompoundWord  = 45 // letters of a compound of words
	compoundSurprise = 65 // of its letters, in sixteenths of a bit
	maxFragment      = 9
	maxSection       = 100 // bytes of the name of a section
	maxSectionDigits = 4
	maxHost          = 50
	maxLabels        = 6
	maxHostDigits    = 5
	maxHyphens       = 4
	maxRoute         = 40 // bytes of a word before places
	maxLayers        = 3  // of percent-encoding
)

// Rules decides about URLs, queries and titles. It is immutable and may be
// used concurrently; the same input always gives the same decision.
type Rules struct {
	tokens   *Classifier
	words    keywords
	access   *accessWords
	personal map[string]string // kinds of hosts, by domain

	host  []hostRule
	page  []pageRule
	query []queryRule
	title []textRule

	vocabulary vocabulary
}

// NewRules returns the rules with the classifier that this package carries.
func NewRules() (*Rules, error) {
	c, err := NewClassifier()
	if err != nil {
		return nil, fmt.Errorf("making the discovery rules: %w", err)
	}
	v, err := newVocabulary(c.folder, queryWordList)
	if err != nil {
		return nil, fmt.Errorf("making the discovery rules: %w", err)
	}
	a, err := newAccessWords(c.folder, accessWordList)
	if err != nil {
		return nil, fmt.Errorf("making the discovery rules: %w", err)
	}
	p, err := newPersonalHosts(personalHostList)
	if err != nil {
		return nil, fmt.Errorf("making the discovery rules: %w", err)
	}
	return &Rules{
		tokens:     c,
		personal:   p,
		access:     a,
		vocabulary: v,
		words:      newKeywords(),
		host:       hostRules(),
		page:       pageRules(),
		query:      queryRules(),
		title:      titleRules(),
	}, nil
}

// A RuleInfo describes a rule for people.
type RuleInfo struct {
	Rule    Rule
	Verdict Verdict // what follows if the rule finds something
	Text    string
}

// Table lists all rules in the order in which they are asked: those about
// URLs, about queries, about titles.
func Table() (urls, queries, titles []RuleInfo) {
	urls = append(urls, RuleInfo{RuleUnreadable, Private, "a browser could not read it as a URL"},
		RuleInfo{RuleScheme, Private, "the scheme is neither http nor https"})
	for _, r := range hostRules() {
		urls = append(urls, RuleInfo{r.rule, Private, r.about})
	}
	urls = append(urls, RuleInfo{RuleStrictness, Public, "not a refusal: whether the next rules are strict or lax, and why"})
	for _, r := range pageRules() {
		urls = append(urls, RuleInfo{r.rule, Mask, r.about})
	}
	urls = append(urls, RuleInfo{RuleReferrer, Mask, "of referrers only: nothing but the host is reported"})
	for _, r := range queryRules() {
		queries = append(queries, RuleInfo{r.rule, Private, r.about})
	}
	for _, r := range titleRules() {
		titles = append(titles, RuleInfo{r.rule, Private, r.about})
	}
	return urls, queries, titles
}

// keywords are words of parameters, patterns of paths and names of hosts; those
// of paths are in accesswords.txt.
type keywords struct {
	typed    map[string]bool // words of parameter names, and path segments, before what a person typed
	keys     map[string]bool // words of parameter names
	inKeys   []string        // anywhere in parameter names
	special  []string        // suffixes of hosts
	patterns []string        // anywhere in a path
}

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

func newKeywords() keywords {
	return keywords{
		keys: set("user usr uid userid username u url uri ref referer referrer red redir http https href link next return returnto continue goto dest destination target " +
			"pin pwd pass key apikey api sig sign signature code otp hash nonce state ticket order orderid invoice account acct konto phone tel mobile ssn dob birthday " +
			"firstname lastname surname lat lon lng ll latitude longitude geo loc gps zip zipcode postcode postal plz trk utm gclid fbclid msclkid dclid yclid eid cid sid phpsessid jsessionid sessionid " +
			"mail access id_token invite member customer patient client"),
		typed:    set("q s wd kw kwd nkw qs query search text term phrase keyword keywords searchterm searchtext searchquery searchword suche recherche buscar busca cerca zoeken szukaj"),
		inKeys:   []string{"token", "passw", "sess", "auth", "email", "secret", "track", "shar", "redirect", "login", "logout", "logon", "invit", "credential", "signature"},
		special:  []string{"localhost", "local", "localdomain", "onion", "i2p", "internal", "intranet", "home.arpa", "arpa", "test", "invalid", "example", "lan", "home", "corp", "private", "alt", "workgroup", "fritz.box"},
		patterns: []string{"/auth/realms/", "openid-connect", "/wp-admin", "/.well-known/", ";jsessionid="},
	}
}
