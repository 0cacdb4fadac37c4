package discovery

import (
	"errors"
	"slices"
	"strings"
	"unicode"
)

// Evidence is what speaks for a page beside its URL. All of it must come from
// requests that carried no cookie, credential or other mark of the person:
// what was shown to the person proves nothing. The zero Evidence holds no evidence.
type Evidence struct {
	Canonical  string // canonical URL that the anonymously fetched page names; may be relative
	PublicLink bool   // a page that was itself fetched anonymously links to exactly this URL
	SearchPage bool   // a signed rule bundle knows the page as a search page
	// Listed: a result page, a sitemap or a feed that was itself fetched
	// anonymously lists exactly this URL: it was made for everybody. It is lax, and
	// lets pages pass that are known by a number or an identifier. See Listings.
	Listed bool
}

// Listings are the rules that a listing overrules: what they find in the URL of a
// page that a search engine, a sitemap or a feed shows to everybody is the name
// of a page, and no secret. All other rules still apply: addresses of people, words of
// accounts and orders, embedded URLs, places, and the rules about hosts.
func Listings() []Rule {
	return []Rule{RulePathToken, RulePathNumber, RulePathWord, RuleQueryLength, RuleQueryNumber, RuleQueryToken}
}

// URL decides about the address of a page. Decision.Text is the clean URL
// (normalised, without fragment), or the masked one, or empty. Public means
// that the address may be considered further; that the page itself is public
// is for the comparison of anonymous fetches to show.
func (r *Rules) URL(raw string, e Evidence) Decision {
	u, err := ParseURL(raw)
	if err != nil {
		rule := RuleUnreadable
		if errors.Is(err, ErrScheme) {
			rule = RuleScheme
		}
		return Decision{Rule: rule, Trace: []Step{{rule, raw, err.Error(), Private}}}
	}
	return r.Page(u, e)
}

// Page decides as URL does about a URL that was read already.
func (r *Rules) Page(u URL, e Evidence) Decision {
	s := newSubject(u, e, Strict)
	level, steps, refused := r.strictness(s)
	if refused {
		return private(steps, level)
	}
	s.level, s.limits = level, limitsOf(level)
	return r.judge(s, steps)
}

// Strictness returns how strictly the rules are applied to a URL, and why. It is
// Lax if an anonymously fetched page links to the URL, or if the page, fetched
// anonymously, names a canonical URL on the same site that is shorter and
// passes the strict rules itself.
func (r *Rules) Strictness(u URL, e Evidence) (Strictness, []Step) {
	level, steps, _ := r.strictness(newSubject(u, e, Strict))
	return level, steps[len(steps)-min(1, len(steps)):]
}

var noEvidence = Strict.String() + ": nothing speaks for the page but its URL"

// strictness asks the rules about the host, then weighs the evidence.
func (r *Rules) strictness(s *subject) (Strictness, []Step, bool) {
	u, e := s.url, s.evidence
	steps, refused := r.askHost(s)
	if refused {
		return Strict, steps, true
	}
	level, input, why := Strict, "", ""
	switch {
	case !e.Listed && !e.PublicLink && e.Canonical == "":
		return Strict, append(steps, Step{RuleStrictness, "no evidence", noEvidence, Public}), false
	case e.Listed:
		level, input, why = Lax, "listing", "a result page, sitemap or feed that was fetched anonymously lists it"
	case e.PublicLink:
		level, input, why = Lax, "public link", "a page that was fetched anonymously links here"
	case e.Canonical != "":
		input = e.Canonical
		level, why = r.canonical(u, e.Canonical)
	}
	return level, append(steps, Step{RuleStrictness, input, level.String() + ": " + why, Public}), false
}

func (r *Rules) canonical(u URL, ref string) (Strictness, string) {
	c, err := u.Resolve(ref)
	switch {
	case err != nil:
		return Strict, "the canonical URL cannot be read"
	case !c.SameSite(u):
		return Strict, "the canonical URL is on another site"
	case len(c.String()) >= len(u.WithoutFragment().String()):
		return Strict, "the canonical URL is not shorter"
	}
	if d := r.Page(c, Evidence{}); d.Verdict != Public {
		return Strict, "the canonical URL does not pass the strict rules itself: " + d.String()
	}
	return Lax, "the page names a shorter canonical URL that passes the strict rules"
}

func (r *Rules) askHost(s *subject) (steps []Step, refused bool) {
	rules := r.host
	var room [16]string
	inputs, found := room[:0], ""
	for _, rule := range rules {
		var input string
		input, found = rule.check(r, s)
		inputs = append(inputs, input)
		if found != "" {
			break
		}
	}
	// A host that is refused needs no room for the steps of the page.
	more := 0
	if found == "" {
		more = len(r.page) + 1
	}
	steps = make([]Step, len(inputs), len(inputs)+more)
	for i, input := range inputs {
		steps[i] = Step{rules[i].rule, input, "", Public}
	}
	if found != "" {
		last := &steps[len(steps)-1]
		last.Found, last.Verdict = found, Private
	}
	return steps, found != ""
}

// judge asks the rules about what follows the host.
func (r *Rules) judge(s *subject, steps []Step) Decision {
	for _, rule := range r.page {
		input, found := rule.check(r, s)
		if found != "" && s.evidence.Listed && slices.Contains(Listings(), rule.rule) {
			steps = append(steps, Step{rule.rule, input, "", Public})
			continue
		}
		if found != "" {
			steps = append(steps, Step{rule.rule, input, found, Mask})
			return Decision{Verdict: Mask, Rule: rule.rule, Text: s.url.Masked(), Strictness: s.level, Trace: steps}
		}
		steps = append(steps, Step{rule.rule, input, "", Public})
	}
	return Decision{Verdict: Public, Text: s.url.WithoutFragment().String(), Strictness: s.level, Trace: steps}
}

// Referrer decides about the page from which a page was reached: it is never
// reported in full. Text is the masked URL, or empty.
func (r *Rules) Referrer(raw string) Decision {
	d := r.URL(raw, Evidence{})
	if d.Verdict != Public {
		return d
	}
	u, err := ParseURL(raw)
	if err != nil {
		return Decision{}
	}
	d.Verdict, d.Rule, d.Text = Mask, RuleReferrer, u.Masked()
	d.Trace = append(d.Trace, Step{RuleReferrer, raw, "a referrer is always masked", Mask})
	return d
}

func private(steps []Step, level Strictness) Decision {
	return Decision{Rule: steps[len(steps)-1].Rule, Strictness: level, Trace: steps}
}

func newSubject(u URL, e Evidence, level Strictness) *subject {
	s := &subject{url: u, evidence: e, level: level, limits: limitsOf(level)}
	s.host = strings.TrimSuffix(u.host, ".")
	s.labels = s.labelRoom[:0]
	for rest, more := s.host, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		s.labels = append(s.labels, label)
	}
	s.site, s.registered = site(s.labels, s.host)
	if original, folder, ok := archived(u); ok {
		s.copied = &original
		u.path, u.query = folder, ""
	}
	var pathLayers, queryLayers int
	s.path, pathLayers = decodeAll(u.path)
	s.query, queryLayers = decodeAll(strings.ReplaceAll(u.query, "+", " "))
	s.layers = max(pathLayers, queryLayers)
	if !isASCII(s.path) {
		s.path = strings.ReplaceAll(s.path, softHyphen, "") // where a word may be broken
	}
	s.segments, s.params = s.segmentRoom[:0], s.paramRoom[:0]
	for segment := range strings.SplitSeq(s.path, "/") {
		segment, matrix, _ := strings.Cut(segment, ";")
		if segment != "" {
			s.segments = append(s.segments, asciiDigits(segment))
		}
		s.addParams(matrix)
	}
	s.addParams(strings.ReplaceAll(u.query, "+", " "))
	return s
}

// softHyphen marks where a word may be broken, and is invisible.
const softHyphen = "\u00ad"

// addParams splits before it decodes, so that an encoded "&" stays in its value.
func (s *subject) addParams(query string) {
	for part := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			key, value = "", part
		}
		key, _ = decodeAll(key)
		value, _ = decodeAll(value)
		value = asciiDigits(value)
		if !language(key, value) {
			s.size += len(key) + len(value)
			s.count++
			if key != "" {
				s.size++
			}
			if s.count > 1 {
				s.size++
			}
		}
		s.params = append(s.params, param{key, value})
	}
}

// language reports whether a parameter gives the language of a page: lang=de.
func language(key, value string) bool {
	switch key {
	case "lang", "language", "hl", "locale", "uselang", "setlang", "sprache", "langue", "idioma":
		main, region, _ := strings.Cut(strings.ReplaceAll(value, "_", "-"), "-")
		return len(main) >= 2 && len(main) <= 3 && len(region) <= 4 && !strings.ContainsFunc(main+region, func(r rune) bool { return r|0x20 < 'a' || r|0x20 > 'z' })
	}
	return false
}

// asciiDigits writes the digits of all scripts as ASCII does.
func asciiDigits(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= 0x80 && unicode.IsDigit(r) {
			return '0' + digitValue(r)
		}
		return r
	}, s)
}

// decodeAll takes off all layers of percent-encoding, one more than is allowed
// at most, and returns how many there were.
func decodeAll(s string) (string, int) {
	for layers := range maxLayers + 1 {
		next := decode(s)
		if next == s {
			return s, layers
		}
		s = next
	}
	return s, maxLayers + 1
}
