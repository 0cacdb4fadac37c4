package ohttp_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/shoal-project/shoal/ohttp"
)

// Example sends a report by way of a relay to a server that does not see where it
// comes from.
func Example() {
	upload := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s from %q: %s", r.Method, r.URL.Path, r.RemoteAddr, body)
	})
	key, err := ohttp.GenerateKey(1, ohttp.XWing, rand.Reader)
	if err != nil {
		panic(err)
	}
	sizes := ohttp.DefaultSizes()
	gateway, err := ohttp.NewGateway(ohttp.GatewayConfig{
		Handler: upload, Authorities: []string{"reports.example"}, Keys: []*ohttp.PrivateKey{key}, Sizes: sizes,
	})
	if err != nil {
		panic(err)
	}
	gatewayAt := httptest.NewServer(gateway)
	defer gatewayAt.Close()

	relay, err := ohttp.NewRelay(ohttp.RelayConfig{Gateways: map[string]string{"reports": gatewayAt.URL}, Sizes: sizes})
	if err != nil {
		panic(err)
	}
	defer relay.CloseIdleConnections()
	relayAt := httptest.NewServer(relay)
	defer relayAt.Close()

	transport, err := ohttp.NewClient(ohttp.ClientConfig{
		Relay: relayAt.URL + "/reports", Key: ohttp.StaticKey(key.Config()), Sizes: sizes,
	})
	if err != nil {
		panic(err)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	response, err := client.Post("https://reports.example/tasks/1/reports", "text/plain", strings.NewReader("hello"))
	if err != nil {
		panic(err)
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", answer)
	// Output: POST /tasks/1/reports from "": hello
}
