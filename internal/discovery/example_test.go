package discovery_test

import (
	"fmt"
	"log"

	"github.com/shoal-project/shoal/internal/discovery"
)

func Example() {
	rules, err := discovery.NewRules()
	if err != nil {
		log.Fatal(err)
	}
	for _, url := range []string{
		"https://www.example.org/recipes/lentil-soup#comments",
		"https://files.example.org/i/9f86d081884c7d65/report.pdf",
		"http://0xc0a80101/status",
	} {
		d := rules.URL(url, discovery.Evidence{})
		fmt.Printf("%s, leaves: %q\n", d, d.Text)
	}
	// Output:
	// public, leaves: "https://www.example.org/recipes/lentil-soup"
	// mask: path.token, leaves: "https://files.example.org/ (PROTECTED)"
	// private: host.address, leaves: ""
}

// A decision can be explained to the person: the trace lists what each rule looked
// at and found.
func ExampleDecision() {
	rules, err := discovery.NewRules()
	if err != nil {
		log.Fatal(err)
	}
	d := rules.Query("call me on 0309 555-1234")
	for _, step := range d.Trace {
		fmt.Printf("%s %s %q\n", step.Verdict, step.Rule, step.Found)
	}
	// Output:
	// public text.empty ""
	// public text.length ""
	// public text.words ""
	// public text.email ""
	// public text.credentials ""
	// public text.url ""
	// public text.device ""
	// public text.path ""
	// public text.coordinates ""
	// public text.address ""
	// public text.person ""
	// public text.reference ""
	// public text.plate ""
	// private text.number "0309 555-1234"
}
