package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// initCmd writes an organisation.
type initCmd struct {
	Dir    string   `arg:"" default:"." help:"The folder to write to (${default})."`
	Name   string   `required:"" help:"The organisation's name, for people."`
	Role   []string `required:"" enum:"shuffler,analyzer,leader,helper,collector,randomness,relay" help:"What it does: shuffler, analyzer, leader, helper, collector or randomness, or relay alone. May be repeated."`
	URL    string   `required:"" name:"url" help:"The address by which tasks name it, such as https://shuffler.example."`
	Listen string   `placeholder:"HOST:PORT" help:"Where it listens; otherwise at the URL's port, on loopback there alone."`
	Cert   string   `placeholder:"FILE" help:"A certificate for the URL's host, instead of one by ACME."`
	Key    string   `name:"cert-key" placeholder:"FILE" help:"The certificate's private key."`
	Owner  []string `placeholder:"KEY" help:"The public key of an owner whose questions it serves. May be repeated."`
}

// Run writes the files and prints what comes next.
func (c *initCmd) Run(e *env) error {
	o := server.Organisation{Name: c.Name, URL: c.URL, Listen: c.Listen, Owners: c.Owner}
	if (c.Cert == "") != (c.Key == "") {
		return setup(errors.New("writing an organisation: --cert and --cert-key belong together"))
	}
	if c.Cert != "" {
		var err error
		if o.CertFile, err = filepath.Abs(c.Cert); err != nil {
			return setup(err)
		}
		if o.KeyFile, err = filepath.Abs(c.Key); err != nil {
			return setup(err)
		}
	}
	if relay := slices.Contains(c.Role, task.Relay.String()); relay && len(c.Owner) > 0 {
		return setup(errors.New("--owner: a relay knows of no questions; leave it off"))
	}
	for _, word := range c.Role {
		role, err := task.ParseRole(word)
		if err != nil {
			return setup(fmt.Errorf("--role: %w", err))
		}
		o.Roles = append(o.Roles, role)
	}
	file, identity, err := server.Init(c.Dir, o, e.clock.Now(), nil)
	if err != nil {
		return setup(err)
	}
	fmt.Fprintf(e.stdout, "Wrote %s and the keys of %s.\n\nIdentity: %s\n", file, c.Name, identity)
	config, err := server.Load(file)
	if err != nil {
		return setup(err)
	}
	if config.Has(task.Relay) {
		fmt.Fprintf(e.stdout, `
Give this and %s to the owners of questions, for parties.relay of their
metrics.yaml. List the other parties of these questions under relay.parties.
Then:

  shoal doctor --config %[2]s
  shoal serve --config %[2]s
`, c.URL, file)
		return nil
	}
	pairs := "shoal doctor --config " + file
	if config.Has(task.Leader) || config.Has(task.Helper) || config.Has(task.Collector) {
		card, _, err := server.Card(config, e.clock.Now())
		if err != nil {
			return setup(err)
		}
		if card.Collector != "" {
			fmt.Fprintf(e.stdout, "Identity of the collector: %s\n", card.Collector)
		}
		pairs = "shoal pair card --config " + file + "    # and see docs/guide/two-organisations.md\n  " + pairs
	}
	fmt.Fprintf(e.stdout, `
Give this and %s to the owners of questions, for the
parties of their metrics.yaml. When they have built a bundle, list it under
tasks.bundles, and their keys under tasks.owners. Then:

  %s
  shoal serve --config %s
`, c.URL, pairs, file)
	return nil
}
