package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// discoverBundleCmd works on rule bundles.
type discoverBundleCmd struct {
	Keygen bundleKeygenCmd `cmd:"" help:"Generate the key that signs rule bundles."`
	Sign   bundleSignCmd   `cmd:"" help:"Sign a document of rules, after checking it."`
	Verify bundleVerifyCmd `cmd:"" help:"Verify the signature and the validity of a bundle."`
	Show   bundleShowCmd   `cmd:"" help:"Show the content of a signed bundle."`
}

type bundleKeygenCmd struct {
	File string `arg:"" default:"rules.key" help:"The file to write; it must not exist (${default})."`
}

// Run writes a new key and prints its public half, which clients are built with.
func (c *bundleKeygenCmd) Run(e *env) error {
	if _, err := os.Lstat(c.File); err == nil {
		return setup(fmt.Errorf("writing the rules key: %s exists and is not overwritten", c.File))
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	text := rulesKeyPrefix + base64.RawURLEncoding.EncodeToString(seed) + "\n"
	if err := durable.WriteFile(durable.OS(), c.File, []byte(text), 0o600); err != nil {
		return setup(fmt.Errorf("writing the rules key: %w", err))
	}
	fmt.Fprintln(e.stdout, task.FormatPublic(publicHalf(ed25519.NewKeyFromSeed(seed))))
	return nil
}

const rulesKeyPrefix = "shoal-rules-key:"

func publicHalf(key ed25519.PrivateKey) ed25519.PublicKey {
	public, _ := key.Public().(ed25519.PublicKey)
	return public
}

// readRulesKey reads a key that keygen wrote. Errors do not repeat its contents.
func readRulesKey(name string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the rules key: %s is missing: \"shoal discover bundle keygen\" makes one", name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the rules key: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("reading the rules key: %s is open to others (mode %04o): run \"chmod 600 %[1]s\"", name, mode)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the rules key: %w", err)
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), rulesKeyPrefix)
	seed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("reading the rules key: %s holds none", name)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

type bundleSignCmd struct {
	File   string `arg:"" help:"The rules, in JSON (docs/spec/rule-bundles.md)."`
	Key    string `default:"rules.key" help:"The key, as \"keygen\" makes it (${default})."`
	Output string `short:"o" default:"rules.bundle" help:"The signed bundle to write (${default})."`
}

// Run signs the document, after every check that a client would make.
func (c *bundleSignCmd) Run(e *env) error {
	source, err := os.ReadFile(c.File)
	if err != nil {
		return setup(fmt.Errorf("reading the rules: %w", err))
	}
	doc, err := bundle.Parse(source)
	if err != nil {
		return setup(fmt.Errorf("%s: %w", c.File, err))
	}
	key, err := readRulesKey(c.Key)
	if err != nil {
		return setup(err)
	}
	signed, err := bundle.Sign(doc, key)
	if err != nil {
		return setup(err)
	}
	if err := durable.WriteFile(durable.OS(), c.Output, signed, 0o644); err != nil {
		return setup(fmt.Errorf("writing the bundle: %w", err))
	}
	fmt.Fprintf(e.stdout, "Wrote %s: %s version %d, for %d engines, until %s, signed by %s.\n",
		c.Output, doc.Name, doc.Version, len(doc.Engines), doc.Expires.UTC().Format(time.DateOnly), task.FormatPublic(publicHalf(key)))
	return nil
}

// trustedKeys are the keys whose signatures count.
type trustedKeys struct {
	Trust []string `required:"" placeholder:"ed25519:..." help:"A public key whose signature counts, as \"keygen\" prints it. May be repeated."`
}

func (t trustedKeys) keys() ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, text := range t.Trust {
		key, err := task.ParsePublic(text)
		if err != nil {
			return nil, setup(fmt.Errorf("--trust: %w", err))
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// searchRules are the rules by which search pages are recognised.
type searchRules struct {
	Rules string   `type:"path" placeholder:"FILE" help:"A signed rule bundle, instead of the one that is built in; needs --trust."`
	Trust []string `placeholder:"ed25519:..." help:"A public key whose signature on the bundle counts."`
}

// open opens the bundle; nil if the one that is built in has expired.
func (r searchRules) open(e *env) (*bundle.Bundle, error) {
	if r.Rules != "" {
		return openBundle(e, r.Rules, trustedKeys{r.Trust}, 0)
	}
	signed, err := bundle.Embedded(bundle.SearchEngines)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(signed, []ed25519.PublicKey{bundle.DevelopmentKey()}, e.clock.Now(), 0)
	if errors.Is(err, bundle.ErrExpired) {
		fmt.Fprintln(e.stderr, "shoal: the rules that are built in have expired: no search page is recognised (--rules brings newer ones)")
		return nil, nil // without rules the engine knows no search page
	}
	return b, err
}

type bundleVerifyCmd struct {
	trustedKeys

	File   string `arg:"" help:"The signed bundle."`
	Newest uint64 `placeholder:"N" help:"The highest version seen so far; an older bundle is refused."`
}

// Run opens the bundle as a client would now.
func (c *bundleVerifyCmd) Run(e *env) error {
	b, err := openBundle(e, c.File, c.trustedKeys, c.Newest)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: ok: %s version %d, engines %s, digest %x\n", c.File, b.Name(), b.Version(), strings.Join(b.Engines(), " "), b.Digest())
	return nil
}

func openBundle(e *env, name string, trusted trustedKeys, newest uint64) (*bundle.Bundle, error) {
	signed, err := os.ReadFile(name)
	if err != nil {
		return nil, setup(fmt.Errorf("reading the bundle: %w", err))
	}
	keys, err := trusted.keys()
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(signed, keys, e.clock.Now(), newest)
	if err != nil {
		return nil, setup(fmt.Errorf("%s: %w", name, err))
	}
	return b, nil
}

type bundleShowCmd struct {
	File string `arg:"" help:"The signed bundle."`
	JSON bool   `name:"json" help:"Print the document as it was signed."`
}

// Run shows a bundle with any signature: a person reads it, nothing uses it.
func (c *bundleShowCmd) Run(e *env) error {
	signed, err := os.ReadFile(c.File)
	if err != nil {
		return setup(fmt.Errorf("reading the bundle: %w", err))
	}
	line, body, _ := bytes.Cut(signed, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) != 3 {
		return setup(fmt.Errorf("%s: %w", c.File, bundle.ErrUnsigned))
	}
	doc, err := bundle.Parse(body)
	if err != nil {
		return setup(fmt.Errorf("%s: %w", c.File, err))
	}
	if c.JSON {
		_, err := fmt.Fprintf(e.stdout, "%s\n", body)
		return err
	}
	fmt.Fprintf(e.stdout, "%s version %d, valid %s to %s\nsigned by the key %s: not checked here; \"shoal discover bundle verify\" does\n",
		doc.Name, doc.Version, doc.NotBefore.Format(time.DateOnly), doc.Expires.Format(time.DateOnly), words[1])
	for _, engine := range doc.Engines {
		fmt.Fprintf(e.stdout, "\n%s\n", engine.Name)
		for _, p := range engine.Pages {
			fmt.Fprintf(e.stdout, "  pages    %s://%s%s?%s=...  becomes  %s\n", p.Scheme, strings.Join(p.Hosts, ","), p.Path, p.Query, p.Clean)
		}
		for _, style := range engine.Content {
			for _, in := range style.Input {
				fmt.Fprintf(e.stdout, "  reads    %s%s\n", in.First, in.All)
			}
			for _, out := range style.Out {
				var keys []string
				for _, f := range out.Fields {
					keys = append(keys, f.Key)
				}
				fmt.Fprintf(e.stdout, "  tells    %s: %s\n", out.Action, strings.Join(keys, ", "))
			}
		}
	}
	return nil
}
