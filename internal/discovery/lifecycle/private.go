package lifecycle

import (
	"fmt"

	"github.com/shoal-project/shoal/internal/discovery"
)

// withholdRecord makes the page of a record private for ever.
func (e *Engine) withholdRecord(s Stage, r *record, reason string, d discovery.Decision) error {
	e.drop(r)
	return e.withhold(s, r.URL, reason, d)
}

// withhold makes a page private for ever.
func (e *Engine) withhold(s Stage, url, reason string, d discovery.Decision) error {
	e.stats.Withheld++
	e.explain(s, Withheld, url, reason, d)
	if e.private == nil {
		f, err := newFilter(privateShape, e.config.Rand)
		if err != nil {
			return err
		}
		e.private = f
		for i := range f.shape.chunks {
			e.touch(labelPrivate, fmt.Sprint(i))
		}
	}
	e.touch(labelPrivate, fmt.Sprint(e.private.add(e.vault.tag("page", url))))
	e.drop(e.pages[url])
	return nil
}

func (e *Engine) isPrivate(url string) bool {
	return e.private != nil && e.private.has(e.vault.tag("page", url))
}
