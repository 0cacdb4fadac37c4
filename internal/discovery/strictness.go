package discovery

// A Strictness is how much the rules forgive. The zero strictness is Strict.
type Strictness uint8

// The strictnesses.
const (
	Strict Strictness = iota // nothing but the URL speaks for the page
	Lax                      // evidence that cannot have been made for one person speaks for it
)

func (s Strictness) String() string {
	if s == Lax {
		return "lax"
	}
	return "strict"
}
