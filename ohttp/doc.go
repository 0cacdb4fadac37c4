// Package ohttp is Oblivious HTTP (RFC 9458): a client, a relay and a gateway, by
// which a server answers a request without seeing where it comes from, and the
// party that sees where it comes from does not see the request.
//
//	client ── sealed request ──> relay ── the same bytes ──> gateway ──> handler
//	        address, length              length                 request
//
// # Use
//
// The gateway is an [http.Handler] in front of another one. The client is an
// [http.RoundTripper]: the requests that it is given name the handler's host, and
// are sent to the relay.
//
//	key, err := ohttp.GenerateKey(1, ohttp.X25519, rand.Reader)
//	gateway, err := ohttp.NewGateway(ohttp.GatewayConfig{
//		Handler: mux, Authorities: []string{"reports.example"},
//		Keys: []*ohttp.PrivateKey{key}, Sizes: ohttp.DefaultSizes(),
//	})
//	relay, err := ohttp.NewRelay(ohttp.RelayConfig{
//		Gateways: map[string]string{"reports": "https://reports.example/gateway"},
//		Sizes: ohttp.DefaultSizes(),
//	})
//	client, err := ohttp.NewClient(ohttp.ClientConfig{
//		Relay: "https://relay.example/reports",
//		Key: ohttp.StaticKey(key.Config()), Sizes: ohttp.DefaultSizes(),
//	})
//	response, err := (&http.Client{Transport: client}).Get("https://reports.example/tasks")
//
// [KeyConfig.Encapsulate] and [Decapsulate] are the bare encapsulation; package
// bhttp has the messages inside. Both work with other implementations: without
// [Sizes] nothing is padded, and any length is taken.
//
// # Privacy
//
// The client contacts the relay and nothing else, whatever happens: no proxy of
// the environment, no redirect, no direct way when the relay fails. Every failure
// is an error, and the caller waits. Its requests have no Date and no User-Agent.
// A key configuration that only one client uses would identify it: it must be the
// same for all, which package witness is for. Package minute gives clients a time
// that is not their own.
//
// The relay forwards to listed gateways only. It passes on the content and one
// constant header field, and of an answer the content if it is an encapsulated
// response of the agreed length; anything else becomes one of few problem
// documents. Every answer to a request has the length that belongs to the length
// of the request, over HTTP/1.1 to the byte with its head. Over HTTP/2 heads differ
// by some bytes, because they are compressed. The relay holds no logger and counts
// causes only; the server around it must have none either: [http.Server.ErrorLog]
// writes addresses unless it is set to discard. Each request uses a pool of
// connections that is chosen by chance, so that requests of one client share a
// connection as often as requests of two do. A client that goes away does not end
// the exchange with the gateway.
//
// The gateway's handler gets requests without an address and without values of the
// connection's context. Problems of the encapsulation are answered outside it, as
// RFC 9458 demands; everything later is inside.
//
// # Retries and replays
//
// A relay can send a request twice, and a client may have to: it does not know
// what became of a request whose answer it did not get. Each request has an ID (the
// field Idempotency-Key inside), and a retry has the same message inside, sealed
// again. The gateway answers the second as it answered the first, without asking
// its handler, until the key of the first is no longer accepted; requests of others,
// which have no ID, are known by their encapsulated key. What is remembered is
// bounded: when the bound is reached, requests that may not be processed twice get
// 503 inside. It is in memory, so a handler whose effects must survive a restart of
// the gateway has to be idempotent by itself, as those of Shoal are. Answers that
// ask for another try (5xx, 407, 408, 425, 429) are not remembered.
//
// # Security
//
// HPKE is that of internal/hpke, with X25519 or X-Wing (hybrid
// post-quantum); the response's keys are by crypto/hkdf and AES-GCM of the standard
// library, or ChaCha20-Poly1305 of golang.org/x/crypto. Operations with secrets are
// constant-time as far as those packages are: AES-GCM is without AES instructions
// only by its portable form, which is not. Finding a key goes by public values. The
// cause of a failed decryption is not revealed, and a wrong key gets the answer of
// an unknown one. Parsing of what was decrypted takes time that depends on it; the
// gateway's time of answering therefore reveals to the relay something about the
// request, as any server's does. Secrets print redacted; what is left of them in
// memory is not erased.
//
// Requests of a lost private key can be read by anyone with a recording of them:
// rotate keys.
//
// # Limits
//
// Sizes of requests and answers, field lines, time for bodies and answers, and the
// bytes in progress are bounded in all three parts. Chunked Oblivious HTTP is not
// here: messages are small.
//
// # Compatibility
//
// testdata has the example of RFC 9458, appendix A, and messages that another
// implementation wrote or read, in both directions, X-Wing included.
package ohttp
