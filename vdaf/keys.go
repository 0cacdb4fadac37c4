package vdaf

import (
	"fmt"
	"io"
	"log/slog"
)

const (
	seedSize  = 32 // SEED_SIZE of both XOFs
	nonceSize = 16
)

// A Nonce is the public random string of one report, chosen by the client. In
// DAP it is the report ID.
type Nonce [nonceSize]byte

// A VerifyKey is the secret that the aggregators of a task share and that no
// client may learn before its report is bound to it.
type VerifyKey [seedSize]byte

// String hides the key.
func (VerifyKey) String() string { return "vdaf.VerifyKey(redacted)" }

// GoString hides the key.
func (k VerifyKey) GoString() string { return k.String() }

// LogValue hides the key.
func (k VerifyKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Format hides the key under every verb.
func (k VerifyKey) Format(s fmt.State, _ rune) { io.WriteString(s, k.String()) }
