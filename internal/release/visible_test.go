package release

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"testing"
)

// TestHostileCSV: a value that a client made up runs nothing in a spreadsheet and
// moves nothing in a terminal; other values stay as they are.
func TestHostileCSV(t *testing.T) {
	columns := []Column{{Name: "word", Type: Text}, {Name: "list", Type: Text, List: true}, {Name: "n", Type: Integer}}
	for value, want := range map[string]string{
		`=HYPERLINK("http://evil.example")`: `'=HYPERLINK("http://evil.example")`,
		"+1":                                "'+1",
		"-2+3":                              "'-2+3",
		"@SUM(A1)":                          "'@SUM(A1)",
		" =1":                               "' =1",
		"'=1":                               "''=1",
		"＝1":                                "'＝1",
		"\t=1":                              `\t=1`,
		"\x1b[2Jx":                          `\x1b[2Jx`,
		"a\r\nb":                            `a\r\nb`,
		"ab\u202Edc":                        `ab\u202edc`,
		"a\u2066b\u2028c\x9b":               `a\u2066b\u2028c\ufffd`,
		"a-b=c, \"q\" naïve 😀":              "a-b=c, \"q\" naïve 😀",
		"":                                  "",
	} {
		var out bytes.Buffer
		w, err := NewRowWriter(&out, CSV, "t", columns)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(Row{value, []any{"\u202E", "x"}, int64(-3)}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][0] != want || rows[1][1] != `["\u202e","x"]` || rows[1][2] != "-3" {
			t.Errorf("%q is written as %q, want %q; %v", value, rows, want, err)
		}
	}
}

// TestHostileJSON: what is escaped reads as what it was.
func TestHostileJSON(t *testing.T) {
	for _, value := range []string{"ab\u202Edc", "a\u2066b\u2028c", "x\U000E0001y", "\x1b[2J", "\u009b2J", "plain \u00e4"} {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		text := JSONText(b)
		var back string
		if err := json.Unmarshal(text, &back); err != nil || back != value {
			t.Errorf("%q became %s, which reads %q: %v", value, text, back, err)
		}
		if Visible(string(text)) != string(text) {
			t.Errorf("%q is written as %q", value, text)
		}
	}
}
