package dap

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// KeySignatureHeader is the header of an HPKE configuration response in which an
// aggregator of a Shoal task proves that the list is its own: DAP leaves that to
// TLS, Shoal's clients trust the identity key that the task names.
const KeySignatureHeader = "Shoal-Key-Signature"

// configDomain separates these signatures from others of the same key.
const configDomain task.Domain = "shoal dap keys v1"

// ErrKeySignature means that a list of HPKE configurations is not signed by the
// party that the task names, or no longer.
var ErrKeySignature = errors.New("HPKE configurations are not signed by the party of the task")

func configInput(role Role, body []byte, until int64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{byte(role)}, uint64(until)), body...)
}

// SignConfigs returns the value of [KeySignatureHeader] for the body of an HPKE
// configuration response, good until a moment, in whole seconds: the Unix time, a
// dot, and the Ed25519 signature in unpadded base64url of the role, the time in
// eight bytes, and the body.
func SignConfigs(by task.IdentityKey, role Role, body []byte, until time.Time) string {
	sig := by.Sign(configDomain, configInput(role, body, until.Unix()))
	return strconv.FormatInt(until.Unix(), 10) + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// CheckConfigs reports whether header signs body for the aggregator known by an
// identity key, and returns until when. It fails with [ErrKeySignature].
func CheckConfigs(by ed25519.PublicKey, role Role, body []byte, header string, now time.Time) (time.Time, error) {
	when, text, ok := strings.Cut(header, ".")
	seconds, err := strconv.ParseInt(when, 10, 64)
	sig, err2 := base64.RawURLEncoding.Strict().DecodeString(text)
	switch {
	case !ok || err != nil || err2 != nil:
		return time.Time{}, fmt.Errorf("%w: no header %s, or a malformed one", ErrKeySignature, KeySignatureHeader)
	case !task.Verify(by, configDomain, configInput(role, body, seconds), sig):
		return time.Time{}, fmt.Errorf("%w: want that of the %v %s", ErrKeySignature, role, task.FormatPublic(by))
	case now.Unix() > seconds:
		return time.Time{}, fmt.Errorf("%w: good until %s only; is this machine's clock right?", ErrKeySignature, time.Unix(seconds, 0).UTC().Format(time.RFC3339))
	}
	return time.Unix(seconds, 0), nil
}
