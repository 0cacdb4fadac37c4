// Package redact keeps secrets out of what is printed.
//
// A type that embeds [Secret] prints as [Notice] by fmt with any verb, by
// encoding/json and other encoders of text, and by log/slog, as a value and as a
// pointer, and cannot be compared by ==. Embed it under a name that is not
// exported:
//
//	type secret = redact.Secret
//
//	type Key struct {
//		secret
//		k [32]byte
//	}
//
// A struct that holds a Key in a field that is not exported is not protected:
// fmt then prints the fields of the Key by reflection. Embed [Secret] there, too.
package redact

import (
	"fmt"
	"io"
	"log/slog"
)

// Notice is what a secret prints as.
const Notice = "(redacted)"

// A Secret is for embedding. It takes no space at the front of a struct.
type Secret struct{ _ [0]func() }

// String returns [Notice].
func (Secret) String() string { return Notice }

// GoString returns [Notice].
func (Secret) GoString() string { return Notice }

// Format writes [Notice], whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Notice) }

// LogValue returns [Notice].
func (Secret) LogValue() slog.Value { return slog.StringValue(Notice) }

// MarshalText returns [Notice]: an encoder does not reveal the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(Notice), nil }
