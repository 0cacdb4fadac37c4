package bridge

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// Options are what an embedder sets. Byte strings are base64 in JSON.
type Options struct {
	Now    time.Time `json:"now"`              // for the validity of the bundle
	Bundle []byte    `json:"bundle,omitempty"` // signed; none: no search pages are known
	Trust  []string  `json:"trust,omitempty"`  // keys whose signature on the bundle counts, "ed25519:" and base64url
	Newest uint64    `json:"newest,omitempty"` // the highest version of the bundle seen so far

	StoreKey  []byte            `json:"store_key,omitempty"` // 32 random bytes that the embedder keeps; needed with a store
	Country   string            `json:"country,omitempty"`
	Countries map[string]uint64 `json:"countries,omitempty"` // people by country, as the task declares them

	Titles    bool `json:"titles,omitempty"`
	Referrers bool `json:"referrers,omitempty"`
	Results   bool `json:"results,omitempty"`

	// RenderPages: pages that show nothing without their scripts are rendered, too.
	RenderPages bool `json:"render_pages,omitempty"`

	// Questions that are answered on the device: bad_query, audience, result_engagement.
	Questions []string `json:"questions,omitempty"`

	Timing Timing `json:"timing,omitzero"`
}

// Timing is lifecycle.Timing in whole seconds; a zero field means its default.
type Timing struct {
	Delay    int `json:"delay,omitempty"`
	Interval int `json:"interval,omitempty"`
	Idle     int `json:"idle,omitempty"`
	Retry    int `json:"retry,omitempty"`
	QueryMin int `json:"query_min,omitempty"`
	QueryMax int `json:"query_max,omitempty"`
	TTL      int `json:"ttl,omitempty"`
	Pending  int `json:"pending,omitempty"`
}

func (t Timing) lifecycle() lifecycle.Timing {
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return lifecycle.Timing{
		Delay: s(t.Delay), Interval: s(t.Interval), Idle: s(t.Idle), Retry: s(t.Retry),
		QueryMin: s(t.QueryMin), QueryMax: s(t.QueryMax), TTL: s(t.TTL), Pending: t.Pending,
	}
}

// String hides the key.
func (o Options) String() string {
	return fmt.Sprintf("options with a bundle of %d bytes", len(o.Bundle))
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

// Format writes String whatever the verb.
func (o Options) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, o.String()) }

// ParseOptions reads Options strictly. Errors quote nothing of the input.
func ParseOptions(text []byte) (Options, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var o Options
	if err := d.Decode(&o); err != nil {
		return Options{}, errors.New("reading options: not the JSON of options")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Options{}, errors.New("reading options: more behind them")
	}
	return o, nil
}

// open opens the bundle, if there is one.
func (o *Options) open() (*bundle.Bundle, error) {
	if len(o.Bundle) == 0 {
		return nil, nil // no bundle is a choice, not an error
	}
	keys, err := o.keys()
	if err != nil {
		return nil, err
	}
	return bundle.Open(o.Bundle, keys, o.Now, o.Newest)
}

// keys reads the trusted keys.
func (o *Options) keys() ([]ed25519.PublicKey, error) {
	keys := make([]ed25519.PublicKey, len(o.Trust))
	for i, text := range o.Trust {
		encoded, ok := strings.CutPrefix(text, "ed25519:")
		key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(key) != ed25519.PublicKeySize {
			return nil, errors.New("a trusted key is not \"ed25519:\" and 43 characters of base64url")
		}
		keys[i] = key
	}
	return keys, nil
}

// questions returns the questions by name.
func (o *Options) questions() ([]lifecycle.Question, error) {
	var all []lifecycle.Question
	for _, name := range o.Questions {
		switch name {
		case "bad_query":
			all = append(all, lifecycle.BadQueries())
		case "audience":
			all = append(all, lifecycle.Audience())
		case "result_engagement":
			all = append(all, lifecycle.ResultEngagement())
		default:
			return nil, errors.New("unknown question: want bad_query, audience or result_engagement")
		}
	}
	return all, nil
}
