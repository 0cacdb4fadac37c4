package relay

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/minute"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// ErrNoKeys means that a party has no keys that last to the end of a period, for now.
var ErrNoKeys = errors.New("no keys that last for the period")

// statementType is the media type of a signed statement.
const statementType = "application/shoal-key-statement"

// Keys returns what a party announces for the period from start to end: the same bytes
// whenever it is called. It fails with [ErrNoKeys].
type Keys func(start, end time.Time) ([]byte, error)

// An AnnouncerConfig is what an [Announcer] needs.
type AnnouncerConfig struct {
	Identity task.IdentityKey
	Clock    clock.Clock
	// Purposes are what the party has keys for, among [Purposes].
	Purposes map[string]Keys
	// Slots returns the signed statement of a slot of [Spans], the same bytes whenever it
	// is called. It fails with [witness.ErrUnknown] for slots that the party does not have,
	// and with [ErrNoKeys]. Nil: the party has none.
	Slots func(context.Context, witness.Slot) ([]byte, error)
}

// An Announcer answers what a relay fetches from a party: signed statements of keys, and
// the signed minute. It is an [http.Handler], safe for concurrent use.
type Announcer struct{ config AnnouncerConfig }

// NewAnnouncer returns an announcer.
func NewAnnouncer(c AnnouncerConfig) (*Announcer, error) {
	if c.Identity.Public() == nil || c.Clock == nil {
		return nil, errors.New("announcing keys: identity and clock must be set")
	}
	for purpose := range c.Purposes {
		if Purposes()[purpose] == 0 {
			return nil, errors.New("announcing keys: no relay witnesses the purpose " + purpose)
		}
	}
	return &Announcer{c}, nil
}

// AnnouncerPatterns are the resources of an announcer, as patterns of [http.ServeMux].
func AnnouncerPatterns() []string {
	return []string{"GET " + minutePath, "GET " + statementsPath + "/{party}/{purpose}/{start}"}
}

// The problems that are answered.
var (
	problemUnknown = problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownKeys"), Title: "Keys of this party, purpose and period are not announced here."}
	problemWait    = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"), Title: "There are no keys for the whole period yet. Try again later.", Retry: 30 * time.Second}
	problemFailed  = problem.Problem{Status: http.StatusInternalServerError, Type: problem.Shoal("internal"), Title: "The keys cannot be announced now."}
)

// ServeHTTP answers one request.
func (a *Announcer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == minutePath {
		signed, err := minute.Sign(a.config.Identity, a.config.Clock.Now())
		answer(w, minute.MediaType, signed, err)
		return
	}
	slot, ok := witness.ParsePath(strings.TrimPrefix(r.URL.Path, statementsPath))
	if !ok {
		problemUnknown.Write(w, 0)
		return
	}
	signed, err := a.statement(r.Context(), slot)
	if errors.Is(err, witness.ErrUnknown) {
		problemUnknown.Write(w, 0)
		return
	}
	answer(w, statementType, signed, err)
}

func answer(w http.ResponseWriter, mediaType string, body []byte, err error) {
	switch {
	case errors.Is(err, ErrNoKeys):
		problemWait.Write(w, 0)
	case err != nil:
		problemFailed.Write(w, 0)
	default:
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // the relay has gone if this fails
	}
}

// statement returns the signed statement of a slot, of the present period or of the next
// if that begins soon.
func (a *Announcer) statement(ctx context.Context, s witness.Slot) ([]byte, error) {
	if !ed25519.PublicKey(s.Party[:]).Equal(a.config.Identity.Public()) {
		return nil, witness.ErrUnknown
	}
	keys := a.config.Purposes[s.Purpose]
	if keys == nil {
		if a.config.Slots == nil {
			return nil, witness.ErrUnknown
		}
		return a.config.Slots(ctx, s)
	}
	length, now := Purposes()[s.Purpose], a.config.Clock.Now()
	start := time.Unix(s.Start, 0).UTC()
	end := start.Add(length)
	// The relay's clock may be ahead of ours.
	if s.Start%int64(length/time.Second) != 0 || !now.Before(end) || now.Add(early+5*time.Minute).Before(start) {
		return nil, witness.ErrUnknown
	}
	b, err := keys(start, end)
	if err != nil {
		return nil, err
	}
	return witness.Statement{Slot: s, End: end.Unix(), Keys: b}.Sign(a.config.Identity)
}
