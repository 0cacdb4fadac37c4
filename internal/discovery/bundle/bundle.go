package bundle

import (
	"errors"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A Bundle is an opened bundle. It is immutable and safe for concurrent use.
type Bundle struct {
	doc     *Document
	digest  [32]byte
	engines []engine
}

// Name returns the name of the series.
func (b *Bundle) Name() string { return b.doc.Name }

// Version returns the version: keep the highest that was opened, and give it to Open.
func (b *Bundle) Version() uint64 { return b.doc.Version }

// Expires returns from when on the bundle must not be used any more, however
// long ago it was opened.
func (b *Bundle) Expires() time.Time { return b.doc.Expires }

// Digest returns the SHA-256 digest of the signed bytes.
func (b *Bundle) Digest() [32]byte { return b.digest }

// A Search is a recognised result page.
type Search struct {
	Engine string        // name of the engine
	Query  string        // what was searched for, spaces collapsed, otherwise as typed
	Clean  discovery.URL // the page's URL with the query and nothing else: what is fetched anonymously
}

// An Action is what a page gave: texts by key, and lists of items by key.
type Action struct {
	Name  string
	Texts map[string]string
	Lists map[string][]Item
}

// An Item is one matched element: its fields by name.
type Item map[string]string

// Errors of Extract.
var (
	ErrNoRules = errors.New("no rule reads this page")
	ErrPage    = errors.New("the page exceeds the limits of extraction")
)
