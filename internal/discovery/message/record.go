package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
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

// String returns the name.
func (r Record) String() string { return "record " + r.Name }

// GoString is String, so that %#v shows nothing private.
func (r Record) GoString() string { return r.String() }

// Format writes String whatever the verb.
func (r Record) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, r.String()) }

// LogValue is String.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }
