package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bridge"
)

// discoverExplainCmd asks the rules about a page and prints every answer.
type discoverExplainCmd struct {
	searchRules

	URL        string   `arg:"" name:"url" help:"The address of the page."`
	Before     string   `placeholder:"FILE" type:"path" help:"The page as it was shown to the person, in HTML."`
	After      string   `placeholder:"FILE" type:"path" help:"The page as an anonymous request gets it, in HTML."`
	Robots     []string `placeholder:"VALUE" help:"The X-Robots-Tag header of the anonymous answer. May be repeated."`
	PublicLink bool     `help:"A page that was fetched anonymously links to this address."`
	All        bool     `help:"Print the rules that found nothing, too."`
	JSON       bool     `name:"json" help:"Print the whole trace as JSON."`
}

// Help is printed by "shoal discover explain --help".
func (*discoverExplainCmd) Help() string {
	return `Nothing is fetched and nothing is sent. Without pages only the address is judged: that
the rules let it pass does not make the page public. With --before and --after the
two are compared, as the engine does after its anonymous fetch.

Examples:
  shoal discover explain https://files.example.org/i/9f86d081884c7d65
  shoal discover explain https://news.example.org/a-story --before shown.html --after anonymous.html
  shoal discover explain https://news.example.org/a-story --json | jq .url.trace`
}

// An explanation is what is printed.
type explanation struct {
	Address string          `json:"address"`
	Verdict string          `json:"verdict"` // of all that was asked
	Leaves  string          `json:"leaves"`  // what may leave the device
	Search  *searched       `json:"search,omitempty"`
	URL     bridge.Decision `json:"url"`
	Pages   *compared       `json:"comparison,omitempty"`
}

type searched struct {
	Engine string          `json:"engine"`
	Clean  string          `json:"clean"`
	Query  bridge.Decision `json:"query"`
}

type compared struct {
	bridge.Decision

	Before discovery.Signature `json:"before"`
	After  discovery.Signature `json:"after"`
}

// Run explains.
func (c *discoverExplainCmd) Run(e *env) error {
	rules, err := discovery.NewRules()
	if err != nil {
		return err
	}
	if (c.Before == "") != (c.After == "") {
		return setup(fmt.Errorf("explaining a page: --before and --after belong together: what was shown, and what anybody gets"))
	}
	x, err := c.explain(e, rules)
	if err != nil {
		return err
	}
	if c.JSON {
		j := json.NewEncoder(e.stdout)
		j.SetIndent("", "  ")
		j.SetEscapeHTML(false)
		return j.Encode(x)
	}
	return x.write(e.stdout, c.All)
}

func (c *discoverExplainCmd) explain(e *env, rules *discovery.Rules) (*explanation, error) {
	x := &explanation{Address: c.URL}
	evidence := discovery.Evidence{PublicLink: c.PublicLink}
	u, unreadable := discovery.ParseURL(c.URL)
	if unreadable == nil {
		if err := c.search(e, rules, u, x, &evidence); err != nil {
			return nil, err
		}
	}
	var before, after discovery.Signature
	var err error
	if c.Before != "" && unreadable == nil {
		if before, err = signFile(u, nil, c.Before); err != nil {
			return nil, err
		}
		if after, err = signFile(u, c.Robots, c.After); err != nil {
			return nil, err
		}
	}
	d := rules.URL(c.URL, evidence)
	x.URL = bridge.DecisionOf(d)
	if x.Search != nil { // of a result page only the search may be disclosed
		return x, nil
	}
	x.Verdict, x.Leaves = d.String(), d.Text
	if c.Before == "" || d.Verdict == discovery.Private {
		return x, nil
	}
	// As in the engine: laxly only if a public page links here and the page names
	// itself. Its other claims about itself prove nothing.
	level := discovery.Strict
	if c.PublicLink && after.Canonical == u.WithoutFragment().String() {
		level = discovery.Lax
	}
	pages := rules.Compare(before, after, level)
	x.Pages = &compared{bridge.DecisionOf(pages), before, after}
	if d.Verdict == discovery.Public && pages.Verdict != discovery.Public {
		x.Verdict, x.Leaves = pages.String(), ""
	}
	return x, nil
}

// search recognises a result page.
func (c *discoverExplainCmd) search(e *env, rules *discovery.Rules, u discovery.URL, x *explanation, evidence *discovery.Evidence) error {
	b, err := c.searchRules.open(e)
	if err != nil || b == nil {
		return err
	}
	found, ok := b.SearchPage(u)
	if !ok {
		return nil
	}
	evidence.SearchPage = true
	d := rules.Query(found.Query)
	x.Search = &searched{found.Engine, found.Clean.String(), bridge.DecisionOf(d)}
	x.Verdict, x.Leaves = d.String(), d.Text
	return nil
}

func signFile(u discovery.URL, robots []string, name string) (discovery.Signature, error) {
	body, err := os.ReadFile(name)
	if err != nil {
		return discovery.Signature{}, setup(fmt.Errorf("reading a page: %w", err))
	}
	s, err := discovery.Sign(u, robots, body)
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// write prints an explanation for a person.
func (x *explanation) write(w io.Writer, all bool) error {
	fmt.Fprintf(w, "%s\n\nverdict  %s\nat most  %s may leave\n", x.Address, x.Verdict, orNothing(x.Leaves))
	if s := x.Search; s != nil {
		fmt.Fprintf(w, "search   a result page of %s; its clean address is %s\n", s.Engine, s.Clean)
		return writeTrace(w, s.Query, "What was searched for", all)
	}
	if err := writeTrace(w, x.URL, "The address, rules applied "+adverb(x.URL.Strictness), all); err != nil {
		return err
	}
	if x.Pages == nil {
		_, err := fmt.Fprintf(w, "\nOnly the address was judged. Whether the page is public, a comparison with an anonymous fetch must show.\n")
		return err
	}
	return writeTrace(w, x.Pages.Decision, "What was shown, beside what anybody gets", all)
}

func adverb(strictness string) string {
	if strictness == discovery.Lax.String() {
		return "laxly"
	}
	return strictness + "ly"
}

// writeTrace prints a decision, and of its rules those that found something.
func writeTrace(w io.Writer, d bridge.Decision, title string, all bool) error {
	fmt.Fprintf(w, "\n%s: %s\n", title, d.Verdict)
	table := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	passed := 0
	for _, s := range d.Trace {
		if s.Found == "" && !all {
			passed++
			continue
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", s.Verdict, s.Rule, shorten(s.Input), orNothing(s.Found))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if passed > 0 {
		fmt.Fprintf(w, "  %d rules found nothing against it (--all lists them)\n", passed)
	}
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// shorten cuts what a rule looked at to what fits on a line.
func shorten(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
