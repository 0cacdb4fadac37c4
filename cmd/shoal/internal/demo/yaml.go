package demo

import (
	"fmt"
	"strings"
)

// apiUseYAML is the question that the Prochlo paper opens with (section 2.1). A
// person may send ten programs an epoch and each but once. Each bit is flipped
// with probability 1/10,000, as in the paper's Perms experiment (section 5.3):
// that is deniability for a single bit, not more; what hides a person is the
// crowd.
func apiUseYAML(families []string) string {
	return fmt.Sprintf(`
  api_use:
    question: Which kinds of system API do which programs use?
    consent: >-
      For each program that you use, your device reports the program's name and
      which kinds of system functions it calls. Names that few people use are
      never shown to anybody.
    record:
      program: {type: string, max: 64}
      apis:
        type: set
        values: [%s]
        flip: 0.0001
    crowd: [program]
    privacy: {threshold: 20, drop: 12, sigma: 2}
    min_batch: 1000
    epoch: 1h
    max_delay: 1h
    per_epoch: 10
    per_crowd: 1
    expires: %%s
`, strings.Join(families, ", "))
}

const wordsYAML = `
  words:
    question: Which words occur in the text?
    consent: >-
      Your device reports words of the text, each by itself. Words that few
      people have are never shown to anybody.
    record:
      word: {type: string, max: 64}
    crowd: payload
    privacy: {threshold: 20, drop: 12, sigma: 2}
    min_batch: 100
    epoch: 1h
    max_delay: 1h
    per_epoch: 10
    per_crowd: 1
    expires: %s
`

// rowsYAML asks for whole rows of text columns.
func rowsYAML(columns []string) string {
	var fields strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&fields, "      %q: {type: string, max: 64}\n", c)
	}
	return fmt.Sprintf(`
  rows:
    question: Which rows occur in the file?
    consent: >-
      Your device reports rows of the file, each by itself. Rows that few people
      have are never shown to anybody.
    record:
%s    crowd: payload
    privacy: {threshold: 20, drop: 12, sigma: 2}
    min_batch: 100
    epoch: 1h
    max_delay: 1h
    per_epoch: 10
    per_crowd: 1
    expires: %%s
`, fields.String())
}
