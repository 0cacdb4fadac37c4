package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/fetch"
)

// A demonstration brings its own network: here one server that answers for all
// names.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/account" {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>A story</title>")
	}))
	defer server.Close()
	fetcher, err := fetch.New(fetch.Options{
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
		Allow: netip.Addr.IsLoopback,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, address := range []string{"http://news.example.org/story", "http://news.example.org/account"} {
		u, err := discovery.ParseURL(address)
		if err != nil {
			log.Fatal(err)
		}
		response, err := fetcher.Fetch(context.Background(), u)
		if err != nil {
			fmt.Println(err, errors.Is(err, discovery.ErrPrivate))
			continue
		}
		signature, err := response.Sign()
		fmt.Println(signature.Title, err)
	}
	// Output:
	// A story <nil>
	// fetching a page: a redirect: not a public page true
}
