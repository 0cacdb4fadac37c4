package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// A Record is a message that passed the sanitizer: everything that leaves, and
// nothing else. Fields is what the metric of the same name takes; the rest is
// for transports that need it (docs/spec/discovery.md, "Messages"). Records hold what
// a person did: they print and log as their name only.
type Record struct {
	Name          string         `json:"name"` // of the schema and of the metric
	Version       int            `json:"version"`
	Day           string         `json:"day"`            // "2006-01-02", UTC
	Country       string         `json:"country"`        // two letters, or "--"
	AntiDuplicate uint32         `json:"anti_duplicate"` // below 10^7, drawn afresh
	Fields        map[string]any `json:"fields"`         // string or int64
}

// JSON returns the record in JSON, keys in a fixed order: equal records give
// equal bytes.
func (r Record) JSON() ([]byte, error) {
	type plain Record // without the methods that hide it
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(plain(r)); err != nil {
		return nil, fmt.Errorf("writing a record: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ParseRecord reads what [Record.JSON] writes of a message of [Schemas], strictly: what
// an embedder passes on. Numbers of Fields are int64. Errors quote nothing of the record.
func ParseRecord(line []byte) (Record, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	d.UseNumber()
	type plain Record
	var r plain
	if err := d.Decode(&r); err != nil {
		return Record{}, errors.New("reading a record: not the JSON of a record")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("reading a record: more behind it")
	}
	all := Schemas()
	i := slices.IndexFunc(all, func(s Schema) bool { return s.Name == r.Name })
	if i < 0 {
		return Record{}, errors.New("reading a record: no message of its name")
	}
	if r.Version != all[i].Version {
		return Record{}, fmt.Errorf("reading a record: version %d of %s, want %d", r.Version, r.Name, all[i].Version)
	}
	for name, v := range r.Fields {
		if n, ok := v.(json.Number); ok {
			whole, err := n.Int64()
			if err != nil {
				return Record{}, fmt.Errorf("reading a record: a number of %s is not a whole one", r.Name)
			}
			r.Fields[name] = whole
		}
	}
	if err := conforms(&all[i], r.Fields); err != nil {
		return Record{}, fmt.Errorf("reading a record: %s: %w", r.Name, err)
	}
	return Record(r), nil
}

// String returns the name.
func (r Record) String() string { return "record " + r.Name }

// GoString is String, so that %#v shows nothing private.
func (r Record) GoString() string { return r.String() }

// Format writes String whatever the verb.
func (r Record) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, r.String()) }

// LogValue is String.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }
