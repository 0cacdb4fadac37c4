package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits of a bundle. Whatever exceeds them is refused when it is opened.
const (
	MaxSize = 256 << 10 // bytes of a signed bundle

	maxEngines    = 64
	maxPatterns   = 32  // of an engine
	maxHosts      = 256 // of a pattern
	maxStyles     = 8   // of an engine
	maxTransforms = 8   // of a way
	maxName       = 32  // bytes of a name
	maxText       = 512 // bytes of any other string
	maxLifetime   = 400 * 24 * time.Hour
)

// bounds are the limits in which the formats differ.
type bounds struct {
	inputs    int // of a style
	fields    int // of an input or an action
	ways      int // to one field
	arguments int // of a transform
	actions   int // of a style
	selectors int // parts of the selectors of one engine
}

// The formats. What a device of format 1 reads it goes on to read; format 2 has
// wider limits, hosts under every public suffix, clean URLs at another page of the
// engine, and more transforms.
const (
	format1 = 1
	format2 = 2
)

func boundsOf(format int) bounds {
	if format == format1 {
		return bounds{inputs: 16, fields: 16, ways: 4, arguments: 32, actions: 8, selectors: 256}
	}
	return bounds{inputs: 48, fields: 24, ways: 12, arguments: 128, actions: 48, selectors: 1024}
}

// A Document is a bundle as it is written by hand, in JSON; docs/spec/rule-bundles.md
// explains each key with an example.
type Document struct {
	Format    int       `json:"format"` // 1 or 2
	Name      string    `json:"name"`   // of the series of bundles: versions count within it
	About     string    `json:"about,omitempty"`
	Version   uint64    `json:"version"`    // increases with each bundle of the series
	NotBefore time.Time `json:"not_before"` // whole seconds, UTC
	Expires   time.Time `json:"expires"`    // whole seconds, UTC; at most 400 days after NotBefore
	Engines   []Engine  `json:"engines"`
}

// An Engine is one search engine.
type Engine struct {
	Name    string    `json:"name"` // [a-z0-9-], as written in messages
	Pages   []Pattern `json:"pages"`
	Content []Style   `json:"content,omitempty"`

	// Rendered: results are written by script, so that the page must be rendered in
	// an anonymous context before it is read. Format 2.
	Rendered bool `json:"rendered,omitempty"`
}

// A Pattern recognises result pages by their URL.
type Pattern struct {
	Scheme string   `json:"scheme"` // "https" or "http"
	Hosts  []string `json:"hosts"`  // exact; "*.example.org" also takes one label before; of format 2 "www.example.<tld>" takes every public suffix behind
	Path   string   `json:"path"`   // exact; "/a/*" takes everything below
	Query  string   `json:"query"`  // parameter that holds what was searched for
	Not    []string `json:"not,omitempty"`
	Clean  string   `json:"clean"` // URL without query, to which "?<Query>=<words>" is put
}

// A Style is one way in which the result pages of an engine are written. The
// first style of an engine that gives an action is used.
type Style struct {
	About string   `json:"about,omitempty"`
	Input []Input  `json:"input"`
	Out   []Output `json:"output"`
}

// An Input selects elements of a page and reads fields of each.
type Input struct {
	Name   string  `json:"name"`
	First  string  `json:"first,omitempty"` // selector: the first element that matches
	All    string  `json:"all,omitempty"`   // selector: every element that matches
	Fields []Field `json:"fields"`
}

// A Field is read in one of several ways: the first that gives a value counts.
type Field struct {
	Name string `json:"name"`
	Ways []Way  `json:"ways"`
}

// A Way leads from an element to a value: the first element below it that
// matches Select (itself, if Select is empty), its attribute or its text, and
// transforms one after the other.
type Way struct {
	Select    string     `json:"select,omitempty"`
	Attr      string     `json:"attr,omitempty"`
	Text      bool       `json:"text,omitempty"`
	Transform [][]string `json:"transform,omitempty"`
}

// An Output is an action: what is reported if all of its required fields are there.
type Output struct {
	Action string        `json:"action"`
	Fields []OutputField `json:"fields"`
}

// An OutputField is filled from "input.field" of an input that takes the first
// element, or from a whole input that takes all.
type OutputField struct {
	Key      string   `json:"key"`
	From     string   `json:"from"`
	Require  []string `json:"require,omitempty"` // of a whole input: elements without these fields are left out
	Optional bool     `json:"optional,omitempty"`
}

// Parse reads a document strictly: unknown keys, duplicate keys, text
// after the end and anything out of its limits are refused.
func Parse(source []byte) (*Document, error) {
	if len(source) > MaxSize {
		return nil, fmt.Errorf("reading a rule bundle: %w", ErrTooLarge)
	}
	if err := keysOnce(source); err != nil {
		return nil, fmt.Errorf("reading a rule bundle: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(source))
	d.DisallowUnknownFields()
	var doc Document
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("reading a rule bundle: %w", err)
	}
	if _, err := compile(&doc); err != nil {
		return nil, fmt.Errorf("reading a rule bundle: %w", err)
	}
	return &doc, nil
}

// Canonical returns the one spelling of a document that is signed: keys in the
// order of the Go types, no space, times in UTC.
func (d *Document) Canonical() ([]byte, error) {
	c := *d
	c.NotBefore, c.Expires = d.NotBefore.UTC(), d.Expires.UTC()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(&c); err != nil {
		return nil, fmt.Errorf("writing a rule bundle: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// keysOnce refuses objects with a duplicate key, which the decoder of
// the standard library would let pass, nesting beyond what a document needs,
// and text after the end.
func keysOnce(source []byte) error {
	d := json.NewDecoder(bytes.NewReader(source))
	type level struct {
		keys map[string]bool // nil in an array
		key  bool            // a key is next
	}
	stack := make([]level, 1, 20) // the first level is around the document
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && len(stack) == 1:
			return errors.New("the document is empty")
		case err != nil:
			return err
		}
		top := &stack[len(stack)-1]
		if key, ok := token.(string); ok && top.key {
			if top.keys[key] {
				return fmt.Errorf("duplicate key %q", key)
			}
			top.keys[key], top.key = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{map[string]bool{}, true})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > 16 {
			return errors.New("nested too deep")
		}
		if token != json.Delim('{') && token != json.Delim('[') {
			top = &stack[len(stack)-1]
			top.key = top.keys != nil
		}
		if len(stack) == 1 {
			if _, err := d.Token(); !errors.Is(err, io.EOF) {
				return errors.New("text after the end of the document")
			}
			return nil
		}
	}
}
