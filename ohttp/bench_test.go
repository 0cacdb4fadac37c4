package ohttp_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

var kems = []ohttp.KEM{ohttp.X25519, ohttp.XWing}

// BenchmarkEncapsulate is what a request of 1 KiB costs the client.
func BenchmarkEncapsulate(b *testing.B) {
	for _, kem := range kems {
		b.Run(kem.String(), func(b *testing.B) {
			config := newKey(b, 1, kem).Config()
			message := make([]byte, 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := config.Encapsulate(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenAnswer is what an answer of 1 KiB costs the client.
func BenchmarkOpenAnswer(b *testing.B) {
	e := readInterop(b).Exchanges[0]
	key, err := ohttp.DeriveKey(7, ohttp.KEM(e.KEM), e.IKM)
	if err != nil {
		b.Fatal(err)
	}
	sealed, opener, err := key.Config().Encapsulate(nil)
	if err != nil {
		b.Fatal(err)
	}
	_, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, sealed)
	if err != nil {
		b.Fatal(err)
	}
	answer, err := sealer.Seal(make([]byte, 1<<10), bytes.NewReader(make([]byte, 16)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := opener.Open(answer); err != nil {
			b.Fatal(err)
		}
	}
}

// noContent answers as an upload is answered.
var noContent = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusCreated)
})

// upload is a report of 500 bytes.
func upload(b *testing.B, id string) *bhttp.Request {
	b.Helper()
	return &bhttp.Request{
		Method: "POST", Scheme: "https", Authority: target, Path: "/tasks/8JHGkMYFZ1yvTW4IqQDOdA/reports", Content: make([]byte, 500),
		Header: []bhttp.Field{{Name: "content-type", Value: "application/shoal-report"}, {Name: "idempotency-key", Value: id}},
	}
}

// BenchmarkGateway is what a request costs the gateway besides its connection:
// opening, decoding, a handler that does nothing, encoding and sealing. In the form
// "remembered" each request is another one, whose answer is kept.
func BenchmarkGateway(b *testing.B) {
	for _, kem := range kems {
		for _, remembered := range []bool{false, true} {
			b.Run(fmt.Sprintf("%v/remembered=%v", kem, remembered), func(b *testing.B) {
				key := newKey(b, 1, kem)
				gateway := newGateway(b, noContent, func(c *ohttp.GatewayConfig) {
					c.Sizes = ohttp.DefaultSizes()
					c.Idempotent = func(*http.Request) bool { return !remembered }
				}, key)
				sealed := make([][]byte, 64)
				for i := range sealed {
					var err error
					if sealed[i], _, err = key.Config().Encapsulate(encode(b, upload(b, strconv.Itoa(i)), 1<<10)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if remembered && i%len(sealed) == 0 { // forget, so that none is a repetition
						b.StopTimer()
						if err := gateway.SetKeys(newKey(b, 2, kem)); err != nil {
							b.Fatal(err)
						}
						if err := gateway.SetKeys(key); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(sealed[i%len(sealed)]))
					r.Header.Set("Content-Type", ohttp.MediaTypeRequest)
					w := httptest.NewRecorder()
					gateway.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Fatal(w.Code, w.Body)
					}
					i++
				}
			})
		}
	}
}

// BenchmarkRelay is the relay between clients and a gateway that answers with
// constant bytes, all in this process, over HTTP/1.1 without TLS. A third of the
// work is the client's and the gateway's connections.
func BenchmarkRelay(b *testing.B) {
	sizes := ohttp.DefaultSizes()
	answer := make([]byte, sizes[0].Answer+32)
	gateway, _ := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", ohttp.MediaTypeResponse)
		_, _ = w.Write(answer)
	}))
	relay, err := ohttp.NewRelay(ohttp.RelayConfig{Gateways: map[string]string{"reports": gateway.URL}, Sizes: sizes})
	if err != nil {
		b.Fatal(err)
	}
	at, _ := serve(b, relay)
	body := make([]byte, sizes[0].Request+55)
	b.Run("direct", func(b *testing.B) { benchmarkPosts(b, gateway.URL, body) })
	b.Run("relayed", func(b *testing.B) { benchmarkPosts(b, at.URL+"/reports", body) })
	relay.CloseIdleConnections()
}

func benchmarkPosts(b *testing.B, url string, body []byte) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := client.Post(url, ohttp.MediaTypeRequest, bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
				b.Error(response.StatusCode, err)
				return
			}
			if err := response.Body.Close(); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	client.CloseIdleConnections()
}

// BenchmarkUpload is a report of 500 bytes from client to handler, all in this
// process, directly and through relay and gateway.
func BenchmarkUpload(b *testing.B) {
	direct, _ := serve(b, noContent)
	b.Run("direct", func(b *testing.B) {
		benchmarkUploads(b, &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, direct.URL+"/reports")
	})
	for _, kem := range kems {
		b.Run(kem.String(), func(b *testing.B) {
			w := newWorld(b, kem, noContent, nil, nil)
			benchmarkUploads(b, w.client, "https://"+target+"/reports")
		})
	}
}

func benchmarkUploads(b *testing.B, transport http.RoundTripper, url string) {
	b.Helper()
	report := make([]byte, 300) // with its header it fits the smallest size of the tests
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(report))
			if err != nil {
				b.Error(err)
				return
			}
			response, err := transport.RoundTrip(r)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusCreated {
				b.Error(response.StatusCode, err)
				return
			}
			if err := response.Body.Close(); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
