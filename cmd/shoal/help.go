package main

import "fmt"

// helpCmd is "shoal help COMMAND", the other spelling of "shoal COMMAND --help".
// [helpArgs] turns the one into the other before the command line is parsed, so
// that it never runs.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command; without one all are listed."`
}

// helpArgs returns a command line without the command help.
func helpArgs(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(append([]string(nil), args[1:]...), "--help")
}

// Run fails: see helpCmd.
func (helpCmd) Run(*env) error {
	return fmt.Errorf("help is an option here: run \"shoal COMMAND --help\"")
}

// versionCmd is the other spelling of "shoal --version".
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, version())
	return err
}
