package lifecycle

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A scene is what the parts of an engine share: its configuration, its key, and the
// time of the event that is handled.
type scene struct {
	config Config
	vault  *vault
	now    time.Time
}

// bundle returns the bundle, nil if it is missing or has expired.
func (s *scene) bundle() *bundle.Bundle {
	if b := s.config.Bundle; b != nil && s.now.Before(b.Expires()) {
		return b
	}
	return nil
}

// searchPage returns the search that a URL is of.
func (s *scene) searchPage(u discovery.URL) (bundle.Search, bool) {
	b := s.bundle()
	if b == nil {
		return bundle.Search{}, false
	}
	return b.SearchPage(u)
}

// strict tells whether the strict rules let a URL pass without evidence.
func (s *scene) strict(u discovery.URL) bool {
	return s.config.Rules.Page(u, discovery.Evidence{}).Verdict == discovery.Public
}

// uniform draws a duration below limit, in milliseconds.
func (s *scene) uniform(limit time.Duration) (time.Duration, error) {
	n := uint64(limit / time.Millisecond)
	if n == 0 {
		return 0, nil
	}
	var b [8]byte
	for {
		if _, err := io.ReadFull(s.config.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("drawing a time: %w", err)
		}
		// Reject the values that would make some results likelier.
		if v := binary.BigEndian.Uint64(b[:]); v < (1<<64-1)/n*n {
			return time.Duration(v%n) * time.Millisecond, nil
		}
	}
}

func day(t time.Time) int { return int(t.Unix() / (24 * 60 * 60)) }
