package main

// discoverCmd is the command line of the discovery engine.
type discoverCmd struct {
	Explain discoverExplainCmd `cmd:"" help:"Explain what the rules decide about a page."`
	Replay  discoverReplayCmd  `cmd:"" help:"Replay recorded events and fetch the pages that the engine asks for."`
	Bundle  discoverBundleCmd  `cmd:"" help:"Sign and verify bundles of rules for search pages."`
}

// Help is printed by "shoal discover --help".
func (*discoverCmd) Help() string {
	return `The discovery engine decides on a person's own device which pages and queries are
public. These commands show its decisions; docs/spec/discovery.md says what it decides
where, and what it cannot protect.`
}
