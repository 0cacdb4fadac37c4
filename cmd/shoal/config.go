package main

import (
	"fmt"

	"github.com/goccy/go-yaml"

	"github.com/shoal-project/shoal/server"
)

// configFlag is the file that describes the organisation.
type configFlag struct {
	Config string `name:"config" short:"c" default:"shoal.yaml" placeholder:"FILE" help:"The organisation's configuration (${default})."`
}

func (f configFlag) load() (server.Config, error) {
	c, err := server.Load(f.Config)
	return c, setup(err)
}

// configCmd reads a configuration.
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with a configuration."`
	Print configPrintCmd `cmd:"" help:"Show a configuration with all defaults filled in."`
}

type configCheckCmd struct {
	File string `arg:"" default:"shoal.yaml" help:"The configuration (${default})."`
}

// Run says that the file is right, or fails with what is wrong.
func (c *configCheckCmd) Run(e *env) error {
	config, err := server.Load(c.File)
	if err != nil {
		return setup(err)
	}
	fmt.Fprintf(e.stdout, "%s: ok: %s\n", c.File, config.Organisation)
	return nil
}

type configPrintCmd struct {
	File string `arg:"" default:"shoal.yaml" help:"The configuration (${default})."`
}

// Run prints what is in force.
func (c *configPrintCmd) Run(e *env) error {
	config, err := server.Load(c.File)
	if err != nil {
		return setup(err)
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("printing config: %w", err)
	}
	_, err = e.stdout.Write(text)
	return err
}
