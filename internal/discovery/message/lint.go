package message

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Bounds of the linter.
const (
	mostLooseBits = 16.0    // that a message may reveal beside its crowd
	warnLooseBits = 12.0    // above which Lint warns
	mostContents  = 2       // fields in one message that hold what somebody read or sought, without a warning
	longNumber    = 1 << 20 // from which on a number is an identifier
	mostExact     = 16      // values that an exact number may take
	countries     = 29      // that may be reported, at most
)

// A Finding is something about a schema by which two messages of one person
// could be linked, or a person be known.
type Finding struct {
	Field   string // empty: the whole message
	Refused bool   // false: a warning
	Text    string
}

// String returns the finding as people read it.
func (f Finding) String() string {
	word := "warning"
	if f.Refused {
		word = "refused"
	}
	if f.Field == "" {
		return word + ": " + f.Text
	}
	return fmt.Sprintf("%s: field %q: %s", word, f.Field, f.Text)
}

// Lint reads a schema and reports what in it identifies people. A schema without a
// refusal may be collected; each finding has its reason. No finding is no proof:
// the linter sees kinds and names, not what will be put into them.
func Lint(s Schema) []Finding {
	l := linter{schema: &s}
	l.crowd()
	for i := range s.Fields {
		l.name(&s.Fields[i])
		l.field(&s.Fields[i])
	}
	l.joint()
	return l.findings
}

type linter struct {
	schema   *Schema
	findings []Finding
	bits     float64 // beside the crowd
	contents int
	nonces   int
}

func (l *linter) refuse(field, format string, args ...any) {
	l.findings = append(l.findings, Finding{field, true, fmt.Sprintf(format, args...)})
}

func (l *linter) warn(field, format string, args ...any) {
	l.findings = append(l.findings, Finding{field, false, fmt.Sprintf(format, args...)})
}

// crowd checks what the message hides in.
func (l *linter) crowd() {
	if len(l.schema.Crowd) == 0 {
		l.refuse("", "it has no crowd: every single message would be read")
	}
	for _, name := range l.schema.Crowd {
		f := l.schema.field(name)
		switch {
		case f == nil:
			l.refuse(name, "is in the crowd and not in the message")
		case f.Kind == Nonce:
			l.refuse(name, "a fresh number is in no crowd but its own")
		}
	}
}

// suspicious are words of names by which systems call what identifies.
var suspicious = map[string]string{
	"uid": "a user", "user": "a user", "userid": "a user", "username": "a user", "account": "a user", "customer": "a user", "member": "a user",
	"id": "an identifier", "uuid": "an identifier", "guid": "an identifier", "sid": "a session", "session": "a session", "visit": "a session", "sequence": "an order", "seq": "an order", "counter": "an order",
	"device": "a device", "install": "a device", "client": "a device", "machine": "a device", "serial": "a device", "imei": "a device", "mac": "a device", "fingerprint": "a device", "ua": "a device", "useragent": "a device", "screen": "a device", "canvas": "a device",
	"cookie": "a browser", "token": "a browser", "ip": "an address", "addr": "an address", "email": "an address", "phone": "an address",
	"lat": "a place", "lon": "a place", "lng": "a place", "latitude": "a place", "longitude": "a place", "gps": "a place", "zip": "a place", "postcode": "a place", "city": "a place",
	"birthday": "a person", "dob": "a person", "name": "a person", "surname": "a person", "oc": "an address",
}

// stems are parts of words that mean the same at every place.
func stems() [][2]string {
	return [][2]string{
		{"session", "a session"},
		{"device", "a device"},
		{"finger", "a device"},
		{"cookie", "a browser"},
		{"token", "a browser"},
		{"userid", "a user"},
		{"username", "a user"},
		{"passw", "a person"},
		{"email", "an address"},
		{"phone", "an address"},
		{"ipaddr", "an address"},
		{"latitud", "a place"},
		{"longitud", "a place"},
	}
}

func (l *linter) name(f *Field) {
	for _, stem := range stems() {
		if strings.Contains(strings.ToLower(f.Name), stem[0]) {
			l.refuse(f.Name, "is called %q as what tells %s is: leave it out, or name it after what it holds", stem[0], stem[1])
			return
		}
	}
	for word := range strings.FieldsFuncSeq(strings.ToLower(f.Name), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if what, ok := suspicious[word]; ok {
			l.refuse(f.Name, "is called %q as what tells %s is: leave it out, or name it after what it holds", word, what)
			return
		}
	}
}

func (l *linter) field(f *Field) {
	covered := slices.Contains(l.schema.Crowd, f.Name)
	switch f.Kind {
	case URL, Host, Words, Title, Masked:
		if f.Kind == Words || f.Kind == URL {
			l.contents++
		}
		if !covered {
			l.refuse(f.Name, "kind %q outside the crowd would be read as it is, however rare: put it into the crowd", f.Kind)
		}
	case Text:
		l.refuse(f.Name, "free text may say who wrote it: use a kind that is checked, or a choice")
	case ID:
		l.refuse(f.Name, "the same value in several messages links them")
	case Time:
		if f.Grain < 24*time.Hour {
			l.refuse(f.Name, "a time finer than the day links what happened together: use %q", Day)
		}
	case Nonce:
		if l.nonces++; l.nonces > 1 {
			l.refuse(f.Name, "one fresh number is enough; a second one can hide something")
		}
	case Day:
	case Number:
		l.number(f, covered)
	case Bucket, Choice, Engine, Language, Country:
		l.bounded(f, covered)
	default:
		l.refuse(f.Name, "unknown kind %q", f.Kind)
	}
}

// number judges exact numbers.
func (l *linter) number(f *Field, covered bool) {
	n := float64(f.High) - float64(f.Low) + 1
	switch {
	case n < 1:
		l.refuse(f.Name, "its range is empty")
	case n > longNumber:
		l.refuse(f.Name, "a number of %.0f bits is an identifier: use buckets", math.Ceil(math.Log2(n)))
	case n > mostExact && !covered:
		l.refuse(f.Name, "more than %d exact values outside the crowd, and rare ones would be read: use buckets", mostExact)
	case !covered:
		l.bits += math.Log2(n)
	}
}

// bounded counts the bits that a field of few values can reveal.
func (l *linter) bounded(f *Field, covered bool) {
	n := 0
	switch f.Kind {
	case Bucket:
		n = len(f.Bounds)
		if !slices.IsSorted(f.Bounds) || n != len(slices.Compact(slices.Clone(f.Bounds))) {
			l.refuse(f.Name, "its bounds do not increase")
		}
	case Choice:
		n = len(f.Values)
	case Country:
		n = countries + 1
	case Engine:
		n = 64
	case Language:
		n = 200
	}
	switch {
	case n == 0:
		l.refuse(f.Name, "it has no values")
	case n > longNumber:
		l.refuse(f.Name, "so many values are an identifier")
	case !covered:
		l.bits += math.Log2(float64(n))
	}
}

// joint judges the message as a whole.
func (l *linter) joint() {
	switch {
	case l.bits > mostLooseBits:
		l.refuse("", "it can say %.1f bits beside its crowd, want at most %g: what only one person has would link their messages", l.bits, mostLooseBits)
	case l.bits > warnLooseBits:
		l.warn("", "it can say %.1f bits beside its crowd", l.bits)
	}
	if l.contents > mostContents {
		l.refuse("", "it tells %d things that somebody read or sought: one fact a message", l.contents)
	}
}

// LooseBits returns how much a message of the schema can reveal beside its crowd,
// in bits: a bound on the joint entropy of what no crowd protects.
func LooseBits(s Schema) float64 {
	l := linter{schema: &s}
	for i := range s.Fields {
		l.field(&s.Fields[i])
	}
	return l.bits
}
