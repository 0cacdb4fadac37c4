package message

import (
	"fmt"
	"slices"
	"time"
)

// A FieldKind is what a field holds, and thereby which check it must pass.
type FieldKind string

// Kinds of fields that messages have.
const (
	URL      FieldKind = "url"      // the clean URL of a page that was found public
	Host     FieldKind = "host"     // the host of such a page
	Words    FieldKind = "query"    // what somebody searched for
	Title    FieldKind = "title"    // the title of a page as it was fetched anonymously
	Masked   FieldKind = "masked"   // "scheme://host/ (PROTECTED)"
	Engine   FieldKind = "engine"   // the name of a search engine that a signed bundle knows
	Language FieldKind = "language" // primary subtag of a language, two or three letters
	Choice   FieldKind = "choice"   // one of Values
	Bucket   FieldKind = "bucket"   // a number, rounded down to one of Bounds
	Day      FieldKind = "day"      // the day, UTC
	Country  FieldKind = "country"  // two letters, or "--"; reported only of large countries
	Nonce    FieldKind = "nonce"    // drawn afresh for each message
)

// Kinds of fields that other systems have. They exist so that Lint can refuse
// them; no message is made of them.
const (
	Text   FieldKind = "text"   // any text
	Number FieldKind = "number" // an exact number, from Low to High
	Time   FieldKind = "time"   // a time, as fine as Grain
	ID     FieldKind = "id"     // the same value in several messages of one person
)

// A Field is one field of a message.
type Field struct {
	Name      string
	Kind      FieldKind
	Values    []string      // Choice
	Bounds    []int64       // Bucket: lower bounds, increasing; the first is the least value
	Low, High int64         // Number
	Grain     time.Duration // Time
}

// A Schema is the shape of a message: the allow-list of what it holds.
type Schema struct {
	Name    string // also of the metric that collects it
	Version int
	About   string
	Fields  []Field
	Crowd   []string // names of the fields that many people must share before anybody reads the message
}

func (s *Schema) field(name string) *Field {
	i := slices.IndexFunc(s.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Fields[i]
}

// envelope are the fields that every message has.
func envelope() []Field {
	return []Field{{Name: "day", Kind: Day}, {Name: "country", Kind: Country}, {Name: "anti_duplicate", Kind: Nonce}}
}

func schema(name, about string, crowd []string, fields ...Field) Schema {
	return Schema{Name: name, Version: 1, About: about, Fields: append(fields, envelope()...), Crowd: crowd}
}

// Bounds of the engagement with a page. They are few: the simulator in
// linkage_test.go finds one message in eight by its sender's habits if each of
// six counters is reported in its own buckets.
func dwellBounds() []int64    { return []int64{0, 5, 15, 60, 300} } // seconds
func activityBounds() []int64 { return []int64{0, 1, 3} }           // of the five kinds of things that are done

// Schemas returns the schemas of all messages that this package makes itself;
// questions that are answered on the device bring their own.
func Schemas() []Schema {
	return []Schema{
		pageSchema(), titleSchema(), pageQuerySchema(), referrerSchema(), querySchema(), resultSchema(),
	}
}

func pageSchema() Schema {
	return schema("page", "a public page was visited, and how much was done there", []string{"url"},
		Field{Name: "url", Kind: URL},
		Field{Name: "dwell", Kind: Bucket, Bounds: dwellBounds()},
		Field{Name: "activity", Kind: Bucket, Bounds: activityBounds()},
	)
}

func titleSchema() Schema {
	return schema("page_title", "what a public page is called when nobody is logged in", []string{"url", "title", "language"},
		Field{Name: "url", Kind: URL}, Field{Name: "title", Kind: Title}, Field{Name: "language", Kind: Language})
}

func pageQuerySchema() Schema {
	return schema("page_query", "a public page was reached straight from the results of a search", []string{"url", "query", "engine"},
		Field{Name: "url", Kind: URL}, Field{Name: "query", Kind: Words}, Field{Name: "engine", Kind: Engine})
}

func referrerSchema() Schema {
	return schema("page_referrer", "a public page was reached from a page of a site", []string{"url", "referrer"},
		Field{Name: "url", Kind: URL}, Field{Name: "referrer", Kind: Masked})
}

func querySchema() Schema {
	return schema("query", "somebody searched for these words", []string{"query", "engine"},
		Field{Name: "query", Kind: Words}, Field{Name: "engine", Kind: Engine})
}

func resultSchema() Schema {
	return schema("result", "a search engine answers these words with this page when nobody is logged in", []string{"query", "engine", "url"},
		Field{Name: "query", Kind: Words}, Field{Name: "engine", Kind: Engine}, Field{Name: "url", Kind: URL},
		Field{Name: "rank", Kind: Bucket, Bounds: []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}})
}

// bucket rounds a number down to a bound; what lies below the first bound
// becomes it.
func (f *Field) bucket(n int64) int64 {
	i, exact := slices.BinarySearch(f.Bounds, n)
	if !exact {
		i--
	}
	return f.Bounds[max(i, 0)]
}

// holds checks that a value of a record is one that its field allows.
func (f *Field) holds(value any) error {
	switch f.Kind {
	case Bucket:
		n, ok := value.(int64)
		if !ok || !slices.Contains(f.Bounds, n) {
			return fmt.Errorf("field %q: not one of its bounds", f.Name)
		}
		return nil
	case Choice:
		s, ok := value.(string)
		if !ok || !slices.Contains(f.Values, s) {
			return fmt.Errorf("field %q: not one of its values", f.Name)
		}
		return nil
	case URL, Host, Words, Title, Masked, Engine, Language:
		if s, ok := value.(string); !ok || s == "" || len(s) > maxField {
			return fmt.Errorf("field %q: want a text of 1 to %d bytes", f.Name, maxField)
		}
		return nil
	}
	return fmt.Errorf("field %q: kind %q stands in no record", f.Name, f.Kind)
}

const maxField = 2048 // bytes of a text
