package server

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// An Organisation is what "shoal init" is told.
type Organisation struct {
	Name   string
	Roles  []RoleName
	URL    string
	Listen string   // default: :443 for https, the URL's host and port for http
	Owners []string // public keys of question owners to be served; may be empty
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
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("writing an organisation: %s exists and is not overwritten; choose another folder", f)
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
		if !r.Crowd() {
			continue
		}
		k := keyring{file: c.roleKeysPath(r), role: taskRole(r), identity: identity, settings: c.Keys, rand: random}
		if _, err := k.turn(now, func(task.Key) time.Time { return farFuture }); err != nil {
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
	if err != nil || u.Scheme == "https" || u.Host == "" {
		return ":443"
	}
	return u.Host
}

// configTemplate is the file that Init writes: what must be decided, and where
// to read about the rest. Values are quoted as Go strings, which double-quoted
// YAML reads alike.
var configTemplate = template.Must(template.New("config").Parse(`# One organisation of a Shoal deployment. docs/config.md explains every key.
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
  acme:
    domains:
      - {{printf "%q" .Host}}
{{- end}}

data: data
keys:
  dir: keys

tasks:
  # Whose questions are served: public keys, ed25519:...
  owners:{{if not .Owners}} []{{end}}{{range .Owners}}
    - {{printf "%q" .}}{{end}}
  # Files that "shoal metrics build" has written.
  bundles: []
`))

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
