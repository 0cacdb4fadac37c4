package discovery

import (
	"math/rand/v2"
	"regexp"
	"testing"
)

var (
	coordinatesForm = regexp.MustCompile(`-?\d{1,3}[.]\d{3,}[NSEWnsew]?[^0-9a-zA-Z.]{1,3}-?\d{1,3}[.]\d{3,}`)
	modelsForm      = regexp.MustCompile(`\b[A-Z]{1,4}[0-9]{2,4}[A-Z]{1,4}[0-9]{2,5}[A-Z]{0,5}\b`)
)

func checkForms(t *testing.T, s string) {
	t.Helper()
	if got, want := findCoordinates(s), coordinatesForm.FindString(s); got != want {
		t.Errorf("coordinates of %q: %q, want %q", s, got, want)
	}
	if got, want := withoutModels(s), modelsForm.ReplaceAllString(s, "model"); got != want {
		t.Errorf("without models %q is %q, want %q", s, got, want)
	}
}

// TestForms compares with regular expressions, over texts of the bytes that matter.
func TestForms(t *testing.T) {
	for _, s := range []string{
		"", "48.8566, 2.3522", "-33.8688N -151.2093", "at 48.8566N,2.3522E", "1234.5678/12.345", "48.8566 2.35222", "48.8566---2.3522",
		"Sony WH1000XM50 headphones", "WH1000XM5", "AB12CD34", "AB12CD34EFGHIJ", "xAB12CD34", "AB12CD34_", "AB12CD34é AB12CD345",
	} {
		checkForms(t, s)
	}
	r := rand.New(rand.NewChaCha8([32]byte{1}))
	for _, alphabet := range []string{"0123.-, N", "01.", "AB12", "AB12 _é", "A1a-.\xff"} {
		for range 30000 {
			b := make([]byte, r.IntN(24))
			for i := range b {
				b[i] = alphabet[r.IntN(len(alphabet))]
			}
			checkForms(t, string(b))
		}
	}
}

func FuzzForms(f *testing.F) {
	f.Add("48.8566, 2.3522 WH1000XM50")
	f.Fuzz(checkForms)
}
