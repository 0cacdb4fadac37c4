package ohttp_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

var peer = flag.String("peer", "", "`program` of the other implementation: remake testdata/interop.json with it (see testdata/README.md)")

const interopFile = "testdata/interop.json"

// An interop is what testdata/interop.json holds.
type interop struct {
	Source    string
	Command   string
	Exchanges []interopExchange
	Messages  []interopMessage
}

// An interopExchange is one key with an exchange in each direction.
type interopExchange struct {
	KEM, KDF, AEAD uint16
	IKM            hexBytes // both derive the gateway's key from it
	KeyConfigs     hexBytes // as the peer encodes them
	Request        hexBytes
	Response       hexBytes
	PeerRequest    hexBytes // the peer's client sealed Request
	Nonce          hexBytes
	OurAnswer      hexBytes // we sealed Response with Nonce, and the peer's client opened it
	OurRequest     hexBytes // we sealed Request, and the peer's gateway opened it
	OurSecret      hexBytes // what our client keeps for the answer
	PeerAnswer     hexBytes // the peer's gateway sealed Response
}

// An interopMessage is one HTTP message that both encoded and decoded.
type interopMessage struct {
	HTTP          string   // as HTTP/1.1
	Known         hexBytes // by the peer
	Indeterminate hexBytes
}

func readInterop(t testing.TB) interop {
	t.Helper()
	var file interop
	readJSON(t, interopFile, &file)
	return file
}

// TestInterop opens what the other implementation sealed, and seals, byte for
// byte, what it opened.
func TestInterop(t *testing.T) {
	if *peer != "" {
		remakeInterop(t)
	}
	file := readInterop(t)
	kems := map[uint16]int{}
	for _, e := range file.Exchanges {
		kems[e.KEM]++
		suite := ohttp.Suite{KDF: e.KDF, AEAD: e.AEAD}
		name := fmt.Sprintf("%v %+v", ohttp.KEM(e.KEM), suite)
		key, err := ohttp.DeriveKey(7, ohttp.KEM(e.KEM), e.IKM, suite)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{key.Config()}); err != nil || !bytes.Equal(b, e.KeyConfigs) {
			t.Errorf("%s: key configurations differ: %v", name, err)
		}
		request, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, e.PeerRequest)
		if err != nil || !bytes.Equal(request, e.Request) {
			t.Errorf("%s: the peer's request: %x, %v", name, request, err)
			continue
		}
		if answer, err := sealer.Seal(e.Response, bytes.NewReader(e.Nonce)); err != nil || !bytes.Equal(answer, e.OurAnswer) {
			t.Errorf("%s: our answer: %x, %v", name, answer, err)
		}
		request, sealer, err = ohttp.Decapsulate([]*ohttp.PrivateKey{key}, e.OurRequest)
		if err != nil || !bytes.Equal(request, e.Request) {
			t.Errorf("%s: our request: %x, %v", name, request, err)
			continue
		}
		response, err := ohttp.OpenerOf(suite, sealer.Enc(), e.OurSecret).Open(e.PeerAnswer)
		if err != nil || !bytes.Equal(response, e.Response) {
			t.Errorf("%s: the peer's answer: %x, %v", name, response, err)
		}
	}
	if kems[uint16(ohttp.X25519)] != 2 || kems[uint16(ohttp.XWing)] != 2 || len(file.Messages) != len(interopTexts) {
		t.Errorf("exchanges by KEM: %v, want 2 of each; %d messages, want %d", kems, len(file.Messages), len(interopTexts))
	}
	for _, m := range file.Messages {
		checkMessage(t, m)
	}
}

// checkMessage decodes the peer's encodings of a message, and encodes the same.
func checkMessage(t *testing.T, m interopMessage) {
	t.Helper()
	for mode, encoded := range []hexBytes{m.Known, m.Indeterminate} {
		var again []byte
		var text string
		if strings.HasPrefix(m.HTTP, "HTTP/") {
			r, err := bhttp.DecodeResponse(encoded, bhttp.DefaultLimits())
			if err != nil {
				t.Errorf("%.20q: %v", m.HTTP, err)
				continue
			}
			text = fmt.Sprint(r.Status, r.Header, string(r.Content), r.Trailer, len(r.Informational))
			again, err = r.Append(nil, bhttp.Mode(mode))
			if err != nil {
				t.Error(err)
			}
		} else {
			r, err := bhttp.DecodeRequest(encoded, bhttp.DefaultLimits())
			if err != nil {
				t.Errorf("%.20q: %v", m.HTTP, err)
				continue
			}
			text = fmt.Sprint(r.Method, r.Path, r.Header, string(r.Content), r.Trailer)
			again, err = r.Append(nil, bhttp.Mode(mode))
			if err != nil {
				t.Error(err)
			}
		}
		if !bytes.Equal(again, encoded) {
			t.Errorf("%.20q: encoded %x, the peer %x", m.HTTP, again, encoded)
		}
		for _, word := range []string{"marker"} { // each message has it in its content or a field
			if !strings.Contains(text, word) {
				t.Errorf("%.20q: decoded %s without %q", m.HTTP, text, word)
			}
		}
	}
}

// A peerProgram answers one line for each line, as testdata/README.md has it.
type peerProgram struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func (p *peerProgram) call(words ...string) []string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, strings.Join(words, " ")); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	answer := strings.Fields(line)
	if err != nil || len(answer) == 0 || answer[0] != "ok" {
		p.t.Fatalf("%s: %q, %v", words[0], line, err)
	}
	return answer[1:]
}

func (p *peerProgram) bytes(s string) []byte {
	p.t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func remakeInterop(t *testing.T) {
	t.Helper()
	cmd := exec.Command(*peer)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &peerProgram{t, in, bufio.NewReaderSize(out, 1<<20)}
	file := interop{
		Source:  "Rust crates ohttp 0.8.0 (features client, server, rust-hpke) and bhttp 0.8.0 (feature http), MIT OR Apache-2.0; see README.md",
		Command: "go test ./ohttp -run TestInterop -peer PROGRAM",
	}
	for _, kem := range []ohttp.KEM{ohttp.X25519, ohttp.XWing} {
		for _, aead := range []uint16{ohttp.AEADAES128GCM, ohttp.AEADChaCha20Poly1305} { // what the peer has
			file.Exchanges = append(file.Exchanges, p.exchange(kem, ohttp.Suite{KDF: ohttp.KDFSHA256, AEAD: aead}))
		}
	}
	for _, text := range interopTexts {
		m := interopMessage{HTTP: text}
		m.Known = p.bytes(p.call("bhttp", "known", hex.EncodeToString([]byte(text)))[0])
		m.Indeterminate = p.bytes(p.call("bhttp", "indeterminate", hex.EncodeToString([]byte(text)))[0])
		checkMessage(t, m) // ours are the same bytes, so the peer reads them, too
		p.call("http", hex.EncodeToString(append(bytes.Clone(m.Known), make([]byte, 100)...)))
		file.Messages = append(file.Messages, m)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(file, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(interopFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exchange does one exchange in each direction, and fails if either side does.
func (p *peerProgram) exchange(kem ohttp.KEM, suite ohttp.Suite) interopExchange {
	p.t.Helper()
	e := interopExchange{
		KEM: uint16(kem), KDF: suite.KDF, AEAD: suite.AEAD, IKM: make([]byte, 32),
		Request:  p.bytes("00034745540568747470730b6578616d706c652e636f6d012f00000000"),
		Response: p.bytes("0140c8000568656c6c6f00"),
	}
	if _, err := rand.Read(e.IKM); err != nil {
		p.t.Fatal(err)
	}
	key, err := ohttp.DeriveKey(7, kem, e.IKM, suite)
	if err != nil {
		p.t.Fatal(err)
	}
	suites := fmt.Sprintf("%04x%04x", suite.KDF, suite.AEAD)
	e.KeyConfigs = p.bytes(p.call("config", "7", fmt.Sprintf("%04x", uint16(kem)), suites, hex.EncodeToString(e.IKM))[0])

	e.PeerRequest = p.bytes(p.call("client", hex.EncodeToString(e.KeyConfigs), hex.EncodeToString(e.Request))[0])
	_, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, e.PeerRequest)
	if err != nil {
		p.t.Fatal(err)
	}
	if e.OurAnswer, err = sealer.Seal(e.Response, rand.Reader); err != nil {
		p.t.Fatal(err)
	}
	e.Nonce = e.OurAnswer[:len(sealer.Secret())]
	if got := p.bytes(p.call("open", hex.EncodeToString(e.OurAnswer))[0]); !bytes.Equal(got, e.Response) {
		p.t.Fatalf("the peer opened %x", got)
	}

	configs, err := ohttp.ParseKeyConfigs(e.KeyConfigs)
	if err != nil {
		p.t.Fatal(err)
	}
	var opener *ohttp.ResponseOpener
	if e.OurRequest, opener, err = configs[0].Encapsulate(e.Request); err != nil {
		p.t.Fatal(err)
	}
	e.OurSecret = opener.Secret()
	answer := p.call("server", hex.EncodeToString(e.OurRequest), hex.EncodeToString(e.Response))
	if got := p.bytes(answer[0]); !bytes.Equal(got, e.Request) {
		p.t.Fatalf("the peer opened %x", got)
	}
	e.PeerAnswer = p.bytes(answer[1])
	return e
}

// interopTexts are the messages that both encode.
var interopTexts = []string{
	"GET https://www.example.com/hello.txt?q=1 HTTP/1.1\r\nUser-Agent: marker\r\nAccept-Language: en, mi\r\n\r\n",
	"POST https://reports.example/tasks/1/reports HTTP/1.1\r\nContent-Type: application/dap-report\r\nContent-Length: 6\r\n\r\nmarker",
	"PUT https://a.example:8443/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA: b\r\nA: c\r\n\r\n6\r\nmarker\r\n4\r\nmore\r\n0\r\nDigest: d\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nmarker",
	"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 204 No Content\r\nServer: marker\r\n\r\n",
	"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nmarker\r\n0\r\nDigest: d\r\n\r\n",
	"HTTP/1.1 500 Internal Server Error\r\nX-Long: " + strings.Repeat("marker ", 30) + "end\r\nContent-Length: 0\r\n\r\n",
}
