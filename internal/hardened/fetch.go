package hardened

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
)

const (
	requestTimeout = time.Minute
	maxKey         = 1 << 12 // bytes of what is announced, signed
)

// fetchKey fetches what a party announces, with the fewest headers that HTTP allows.
func fetchKey(ctx context.Context, rt http.RoundTripper, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header["User-Agent"] = nil // none, rather than the library's
	client := &http.Client{
		Transport: rt, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != randomness.KeyType {
		return nil, fmt.Errorf("HTTP %d, %q, want 200 with %s", answer.StatusCode, answer.Header.Get("Content-Type"), randomness.KeyType)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxKey+1))
	if err == nil && len(b) > maxKey {
		err = fmt.Errorf("the answer has more than %d bytes", maxKey)
	}
	return b, err
}

// sortByID sorts entries by when they were recorded.
func sortByID(all []outbox.Entry) {
	slices.SortFunc(all, func(a, b outbox.Entry) int { return cmp.Compare(a.ID, b.ID) })
}
