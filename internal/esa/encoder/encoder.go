package encoder

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/metric/task"
)

// An Encoder turns records of one task into what leaves the device. It is safe
// for use by several goroutines.
type Encoder struct {
	task    *task.Task
	id      task.ID
	deriver secretshare.Deriver // of the keys of a quorum
}

// A Fragment is one report before it is sealed. Nothing in it reveals which record
// it comes from, when it was made, or which fragments were made with it.
type Fragment struct {
	// Payload is what the analyzer will read: canonical, unpadded, after
	// coarsening and randomised response. If the task asks for a quorum,
	// [Encoder.Seal] encrypts it and adds a share of the key.
	Payload []byte
	// Crowd is the material of which the crowd's tag is made, a function of
	// Payload: two fragments are in one crowd if it is equal. It is empty for
	// constant crowds.
	Crowd []byte
	// Second is the material of the second crowd, in tasks that have one.
	Second []byte
	// Plain is the payload as it was before randomised response. It is for the
	// eyes of the device's owner and must never leave the device.
	Plain []byte
}

// New returns an encoder for records of t, whose ID is id.
func New(t *task.Task, id task.ID) (*Encoder, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("making an encoder: %w", err)
	}
	if t.Method != task.Crowd {
		return nil, fmt.Errorf("making an encoder: task %q is not answered by crowds", t.Metric)
	}
	return &Encoder{task: t, id: id, deriver: secretshare.MessageHash{}}, nil
}

// Encode turns one record into fragments: it scrubs v to the schema, coarsens,
// randomises and breaks up, in this order.
//
// v is a map[string]any, a struct or pointer to a struct whose fields carry the
// tag `shoal:"name"`, or a [task.Record]. Whatever the schema does not name
// stays behind unread: further keys of a map, fields without a tag. A field of
// the schema that is missing, nil, of another type, too long or out of range
// refuses the record; so does a tag that the schema does not know. Values in v
// may be of any type whose kind fits:
//
//	String, Enum  strings
//	Int           integers; floats with an integral value
//	Bool          bools
//	Set           slices of strings, maps from strings to bools, unsigned integers as bit sets
//	List          slices and arrays of the above
//
// No more fragments are made than the task lets a client send in an epoch; if
// there could be more, a uniformly random choice is. A sequence too short for
// one tuple gives none. The fragments come in a uniformly random order. All
// randomness is read from rand, which must be crypto/rand.Reader but in tests;
// if it fails nothing is returned. Errors never hold a value of v.
//
// Of a task with detail the fragments have it: see [Encoder.EncodePlain].
func (e *Encoder) Encode(v any, rand io.Reader) ([]Fragment, error) {
	return e.encode(v, rand, func(rec task.Record) task.Record { return rec })
}

// EncodePlain is Encode of the record's plain form, without detail: for people who have not
// agreed to it. v has the fields of the detail nevertheless.
func (e *Encoder) EncodePlain(v any, rand io.Reader) ([]Fragment, error) {
	return e.encode(v, rand, e.task.Plain)
}

func (e *Encoder) encode(v any, rand io.Reader, form func(task.Record) task.Record) ([]Fragment, error) {
	record, err := e.scrub(v)
	if err != nil {
		return nil, fmt.Errorf("record of %q refused: %w", e.task.Metric, err)
	}
	src := &source{reader: rand}
	noisy, err := e.randomise(record, src)
	if err != nil {
		return nil, fmt.Errorf("encoding a record of %q: reading randomness: %w", e.task.Metric, err)
	}
	record, noisy = form(record), form(noisy)
	chosen, err := src.sample(e.parts(record), e.limit())
	if err != nil {
		return nil, fmt.Errorf("encoding a record of %q: reading randomness: %w", e.task.Metric, err)
	}
	fragments := make([]Fragment, 0, len(chosen))
	for _, i := range chosen {
		f, err := e.fragment(record, noisy, i)
		if err != nil {
			return nil, fmt.Errorf("encoding a record of %q: %w", e.task.Metric, err)
		}
		fragments = append(fragments, f)
	}
	return fragments, nil
}

// fragment encodes the part with number i.
func (e *Encoder) fragment(plain, noisy task.Record, i int) (Fragment, error) {
	payload, err := e.task.Encode(e.part(noisy, i))
	if err != nil {
		return Fragment{}, err
	}
	f, err := e.Parse(payload)
	if err != nil {
		return Fragment{}, err
	}
	f.Plain, err = e.task.Encode(e.part(plain, i))
	return f, err
}

// Parse returns the fragment of a payload that [Encoder.Encode] made, without
// Plain: for an outbox, which keeps payloads.
func (e *Encoder) Parse(payload []byte) (Fragment, error) {
	record, err := e.task.Decode(payload)
	if err != nil {
		return Fragment{}, fmt.Errorf("fragment of %q: %w", e.task.Metric, err)
	}
	f := Fragment{Payload: payload}
	crowds, err := esa.CrowdMaterials(e.task, payload, record)
	if err != nil {
		return Fragment{}, fmt.Errorf("fragment of %q: %w", e.task.Metric, err)
	}
	f.Crowd = crowds[0]
	if len(crowds) > 1 {
		f.Second = crowds[1]
	}
	return f, nil
}

// Tag returns the crowd's tag of a fragment that is sent in the given epoch. In hardened
// tasks it is another, see [Encoder.SealHardened].
func (e *Encoder) Tag(f Fragment, epoch task.Epoch) esa.CrowdTag {
	return esa.CrowdTagOf(e.task, e.id, epoch, f.Crowd)
}

// Seal returns the report of a fragment for an epoch, sealed to one key a hop;
// see [esa.ChooseKeys]. Sealed twice, a fragment gives two reports that count
// twice, and for a quorum hold two shares: a retry must send the same bytes.
func (e *Encoder) Seal(f Fragment, epoch task.Epoch, keys []task.Key) ([]byte, error) {
	return e.SealShowing(f, epoch, keys, nil)
}

// Credentials allocate the nonces of presentations of a client's credentials for one
// report, durably; [credential.Wallet] does.
type Credentials interface {
	Allocate(t *task.Task, e task.Epoch, crowd, quorum []byte) (*credential.Shown, error)
}

// SealShowing is Seal for a task that requires credentials. Each call uses up a nonce
// of each presentation, also if the report is not sent.
func (e *Encoder) SealShowing(f Fragment, epoch task.Epoch, keys []task.Key, c Credentials) ([]byte, error) {
	if e.task.Hardened() {
		return nil, fmt.Errorf("sealing a report of %q: its value has not been evaluated", e.task.Metric)
	}
	s, err := e.sealer(epoch, keys)
	if err != nil {
		return nil, err
	}
	content, err := e.content(context.Background(), f, epoch)
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, err)
	}
	tag := e.Tag(f, epoch)
	present, err := e.presenter(epoch, tag, c)
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, err)
	}
	if e.task.Protection.Blinded {
		points := [][blind.Size]byte{esa.CrowdPoint(e.id, epoch, f.Crowd)}
		if e.task.HasSecond() {
			points = append(points, esa.CrowdPoint(e.id, epoch, f.Second))
		}
		return s.SealBlinded(epoch, points, content, present)
	}
	tags := []esa.CrowdTag{tag}
	if e.task.HasSecond() {
		tags = append(tags, esa.CrowdTagOf(e.task, e.id, epoch, f.Second))
	}
	return s.SealShowing(epoch, tags, content, present)
}

func (e *Encoder) sealer(epoch task.Epoch, keys []task.Key) (*esa.Sealer, error) {
	if !e.task.Covers(epoch) {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, ErrEpoch)
	}
	return esa.NewSealer(e.task, e.id, keys)
}

// SealHardened is SealShowing for a hardened task. output is the evaluation of the
// fragment's value in the epoch, see [quorum.Input]; tags and content derive from it.
func (e *Encoder) SealHardened(f Fragment, epoch task.Epoch, keys []task.Key, output []byte, c Credentials) ([]byte, error) {
	s, err := e.sealer(epoch, keys)
	if err != nil {
		return nil, err
	}
	v, err := quorum.New(e.task, e.id, epoch, f.Crowd, output)
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, err)
	}
	defer v.Close()
	crowd, tag := v.Crowd(), v.Tag()
	shown, err := c.Allocate(e.task, epoch, crowd[:], tag[:])
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, err)
	}
	own, err := shown.Tag(e.task.Hops[len(e.task.Hops)-1])
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, err)
	}
	content, err := v.Content(quorum.XOf(own[:]), f.Payload, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sealing a report of %q: %w", e.task.Metric, err)
	}
	return s.SealShowing(epoch, []esa.CrowdTag{esa.CrowdTag(crowd)}, content, e.present(shown))
}

func (e *Encoder) present(shown *credential.Shown) esa.Presenter {
	return func(i int, digest [sha256.Size]byte) ([][]byte, error) {
		return shown.Present(e.task.Hops[i], credential.Binding(e.id, digest))
	}
}

// presenter allocates what one report shows, nothing if the task asks for nothing.
func (e *Encoder) presenter(epoch task.Epoch, tag esa.CrowdTag, c Credentials) (esa.Presenter, error) {
	if e.task.Protection.CredentialEpochs == 0 || c == nil { // without credentials the sealer refuses
		return nil, nil
	}
	shown, err := c.Allocate(e.task, epoch, tag[:], nil)
	if err != nil {
		return nil, err
	}
	return e.present(shown), nil
}

// content returns what the analyzer will find: the payload or, for a quorum, the
// ciphertext of the padded payload and a share, which for all payloads of the
// task have one length.
func (e *Encoder) content(ctx context.Context, f Fragment, epoch task.Epoch) ([]byte, error) {
	if e.task.Encoding.Kind != task.Quorum {
		return f.Payload, nil
	}
	message, err := task.Pad(f.Payload, e.task.MessageSize())
	if err != nil {
		return nil, err
	}
	enc, err := secretshare.NewEncoder(e.deriver, esa.QuorumBinding(e.id, epoch), int(e.task.Encoding.Shares))
	if err != nil {
		return nil, err
	}
	shared, err := enc.Encode(ctx, message, rand.Reader)
	if err != nil {
		return nil, err
	}
	return esa.JoinShared(shared), nil
}

// ErrEpoch is returned if a report was to be sealed for an epoch outside the task's
// life.
var ErrEpoch = errors.New("the epoch is outside the task's life")
