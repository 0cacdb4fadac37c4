package server

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/template"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// An Organisation is the input of "shoal init".
type Organisation struct {
	Name   string
	Roles  []task.Role
	URL    string
	Listen string   // default: the URL's port, on all addresses for https and on the URL's host on loopback
	Owners []string // public keys of question owners to be served; may be empty

	CertFile string // of the public listener; default: certificates by ACME
	KeyFile  string // with CertFile
}

// configFile is the name of the file that Init writes.
const configFile = "shoal.yaml"

// Init writes the configuration and the keys of one organisation into dir and
// returns the configuration's file name and the public identity key. It
// overwrites nothing: if any of the files exists, none is written.
func Init(dir string, o Organisation, now time.Time, random io.Reader) (string, string, error) {
	if random == nil {
		random = rand.Reader
	}
	name := filepath.Join(dir, configFile)
	text, c, err := configText(dir, &o)
	if err != nil {
		return "", "", fmt.Errorf("writing an organisation: %w", err)
	}
	files := []string{name, c.identityPath()}
	if c.aggregates() {
		files = append(files, c.pairingKeyPath(), c.pairingsPath(), c.collectorIdentityPath())
	}
	for _, r := range c.Roles {
		files = append(files, c.roleKeysPath(r), c.storageKeysPath(r))
	}
	for _, f := range files {
		switch _, err := os.Lstat(f); {
		case err == nil:
			return "", "", fmt.Errorf("writing an organisation: %s exists and is not overwritten; choose another folder", f)
		case !errors.Is(err, fs.ErrNotExist): // no permission, or a file where a folder belongs
			return "", "", fmt.Errorf("writing an organisation: %w", err)
		}
	}
	if err := os.MkdirAll(c.Keys.Dir, 0o700); err != nil {
		return "", "", fmt.Errorf("writing an organisation: %w", err)
	}
	identity, err := task.GenerateIdentityKey(random)
	if err != nil {
		return "", "", fmt.Errorf("writing an organisation: %w", err)
	}
	if err := WriteIdentity(c.identityPath(), identity); err != nil {
		return "", "", err
	}
	if err := writeAggregateKeys(c, now, random); err != nil {
		return "", "", fmt.Errorf("writing an organisation: %w", err)
	}
	for _, r := range c.Roles {
		if !onCrowdRoute(r) {
			continue
		}
		if err := writeReportKeys(c, r, identity, now, random); err != nil {
			return "", "", fmt.Errorf("writing an organisation: %w", err)
		}
	}
	if err := writePrivate(name, text); err != nil { // last: it makes the folder an organisation
		return "", "", fmt.Errorf("writing an organisation: %w", err)
	}
	return name, task.FormatPublic(identity.Public()), nil
}

// configText completes o and returns the file's text and what it means.
func configText(dir string, o *Organisation) ([]byte, Config, error) {
	if o.Listen == "" {
		o.Listen = defaultListen(o.URL)
	}
	if o.Certified() && isLoopbackHost(o.Host()) {
		return nil, Config{}, fmt.Errorf("url: no authority certifies %s: use http on loopback, as http://%s, or name a certificate of your own with --cert and --cert-key", o.Host(), o.Listen)
	}
	var b bytes.Buffer
	if err := configTemplate.Execute(&b, o); err != nil {
		return nil, Config{}, err
	}
	c, err := Parse(b.Bytes(), dir, func(string) string { return "" })
	if err != nil {
		return nil, Config{}, err
	}
	return b.Bytes(), c, nil
}

func defaultListen(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ":443"
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80"}[u.Scheme], "443")
	if isLoopbackHost(u.Hostname()) {
		return net.JoinHostPort(u.Hostname(), port)
	}
	return ":" + port
}

// Ports are what [Organisation.Ports] returns.
type Ports struct{ Ops, Console string }

// Ports returns where the other two listeners are, if not at their defaults: on
// loopback several organisations may share a machine, so each has ports at a fixed
// distance from its public one.
func (o *Organisation) Ports() *Ports {
	if !isLoopbackHost(o.Host()) {
		return nil
	}
	_, text, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port == 0 || port+2000 > math.MaxUint16 {
		return nil
	}
	p := &Ports{Ops: fmt.Sprintf("127.0.0.1:%d", port+1000)}
	if (Config{Roles: o.Roles}).releases() {
		p.Console = fmt.Sprintf("127.0.0.1:%d", port+2000)
	}
	return p
}

// Certified reports whether certificates come from a public authority, by ACME.
func (o *Organisation) Certified() bool { return !o.Plain() && o.CertFile == "" }

// configTemplate is the file that Init writes: what must be decided, and where
// to read about the rest. Values are quoted as Go strings, which double-quoted
// YAML reads alike.
var configTemplate = template.Must(template.New("config").Parse(`# One organisation of a Shoal deployment. docs/reference/config.md explains every key.
organisation: {{printf "%q" .Name}}
roles:{{range .Roles}}
  - {{.}}{{end}}

# The address by which tasks name this organisation, without a slash at the end.
url: {{printf "%q" .URL}}
listen: {{printf "%q" .Listen}}
{{- if not .Plain}}

# TLS by two files, or by ACME. Behind a proxy that ends TLS set behind_proxy
# instead and listen where only the proxy can connect.
tls:
{{- if .Certified}}
  acme:
    domains:
      - {{printf "%q" .Host}}
{{- else}}
  cert_file: {{printf "%q" .CertFile}}
  key_file: {{printf "%q" .KeyFile}}
{{- end}}
{{- end}}
{{- if .Relays}}

# To which organisations clients' requests are forwarded, and how many requests for
# credentials one network may make in a day.
relay:
  parties: []
  # - {url: "https://shuffler.example", identity: "ed25519:..."}
{{- end}}
{{- with .Ports}}

# Health, metrics and management; results. On this machine alone.
ops:
  listen: {{printf "%q" .Ops}}
{{- with .Console}}
console:
  listen: {{printf "%q" .}}
{{- end}}
{{- end}}

data: data
keys:
  dir: keys
{{- if not .Relays}}

tasks:
  # Whose questions are served: public keys, ed25519:...
  owners:{{if not .Owners}} []{{end}}{{range .Owners}}
    - {{printf "%q" .}}{{end}}
  # Files that "shoal metrics build" has written.
  bundles: []
{{- end}}
`))

// Relays reports whether the organisation is a relay, which knows of no tasks.
func (o *Organisation) Relays() bool { return slices.Contains(o.Roles, task.Relay) }

// Plain reports whether the organisation is on loopback without TLS.
func (o *Organisation) Plain() bool {
	u, err := url.Parse(o.URL)
	return err == nil && u.Scheme == "http"
}

// Host is the host name of the URL.
func (o *Organisation) Host() string {
	u, err := url.Parse(o.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
