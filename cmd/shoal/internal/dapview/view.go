package dapview

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A View is a message, ready to be shown: its fields in the order of the draft.
// Values are uint64, string, []byte, a View, or a []any of these.
type View []Field

// A Field is one field of a structure.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON writes an object with the fields in their order; bytes are
// hexadecimal.
func (v View) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		value := f.Value
		if raw, ok := value.([]byte); ok {
			value = hex.EncodeToString(raw)
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// WriteText writes the view as indented lines. Of long byte strings it shows the
// beginning and the length.
func (v View) WriteText(w io.Writer) error {
	var b strings.Builder
	v.write(&b, "")
	_, err := io.WriteString(w, b.String())
	return err
}

func (v View) write(b *strings.Builder, indent string) {
	for _, f := range v {
		b.WriteString(indent + f.Name + ":")
		write(b, indent, f.Value)
	}
}

func write(b *strings.Builder, indent string, value any) {
	switch x := value.(type) {
	case View:
		b.WriteByte('\n')
		x.write(b, indent+"  ")
	case []any:
		if len(x) == 0 {
			b.WriteString(" none\n")
			return
		}
		fmt.Fprintf(b, " %d\n", len(x))
		for i, item := range x {
			fmt.Fprintf(b, "%s  %d:", indent, i+1)
			write(b, indent+"  ", item)
		}
	case []byte:
		b.WriteString(" " + abbreviated(x) + "\n")
	default:
		fmt.Fprintf(b, " %v\n", x)
	}
}

// shown is how many bytes of a byte string the text form shows.
const shown = 32

func abbreviated(b []byte) string {
	switch {
	case len(b) == 0:
		return "empty"
	case len(b) <= shown:
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%x... (%d bytes)", b[:shown], len(b))
}
