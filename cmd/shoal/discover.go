package main

// discoverCmd is the command line of the discovery engine.
type discoverCmd struct {
	Explain discoverExplainCmd `cmd:"" help:"Say what the rules decide about a page, and why."`
	Replay  discoverReplayCmd  `cmd:"" help:"Give recorded events to the engine and fetch what it asks for."`
	Bundle  discoverBundleCmd  `cmd:"" help:"Make and check the signed rules by which search pages are read."`
}

// Help is printed by "shoal discover --help".
func (*discoverCmd) Help() string {
	return `The discovery engine decides on a person's own device which pages and queries are
public. These commands show its decisions; docs/discovery.md says what it decides
where, and what it cannot protect.`
}
