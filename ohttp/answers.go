package ohttp

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"sync"
)

// An answered table remembers the answers to requests by their IDs, for as long as
// the key that the first of them was sealed to is accepted. Its memory is bounded:
// room for an answer is reserved before the request is processed. Equal answers are
// kept once.
type answered struct {
	mu    sync.Mutex
	limit int // bytes
	used  int
	keys  map[[32]byte]*keyAnswers // by the key's fingerprint
}

type keyAnswers struct {
	used    int
	byID    map[requestID]record
	flights map[requestID]*flight
	bodies  map[[32]byte][]byte
}

type requestID [16]byte

// A record is one remembered request.
type record struct {
	digest [16]byte // of the request
	answer []byte   // shared with equal ones
}

// A flight is a request that is being processed.
type flight struct {
	digest [16]byte
	done   chan struct{}
	answer []byte // set when done is closed; nil if the flight had no answer
}

// recordCost is what a record takes besides its answer: the map's slot with its
// share of empty ones, rounded up.
const recordCost = 160

var (
	errFull      = errors.New("memory for answers is full")
	errKeyGone   = errors.New("the key is no longer accepted")
	errOtherBody = errors.New("the request ID was used for another request")
)

// retain keeps the answers of the given keys and forgets those of others.
func (t *answered) retain(keys []*PrivateKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := make(map[[32]byte]*keyAnswers, len(keys))
	used := 0
	for _, k := range keys {
		fp := k.fingerprint()
		of := t.keys[fp]
		if of == nil {
			of = &keyAnswers{byID: map[requestID]record{}, flights: map[requestID]*flight{}, bodies: map[[32]byte][]byte{}}
		}
		kept[fp] = of
		used += of.used
	}
	t.keys, t.used = kept, used
}

// begin returns the answer to a request that was answered before, or the flight of
// one that is being processed. With neither, the caller processes the request and
// must call finish. room is the longest answer that it may have.
func (t *answered) begin(key [32]byte, id requestID, request []byte, room int) (answer []byte, other, own *flight, err error) {
	sum := sha256.Sum256(request)
	digest := [16]byte(sum[:16])
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.keys[key]
	if of == nil {
		return nil, nil, nil, errKeyGone
	}
	if r, ok := of.byID[id]; ok {
		if r.digest != digest {
			return nil, nil, nil, errOtherBody
		}
		return r.answer, nil, nil, nil
	}
	if f := of.flights[id]; f != nil {
		if f.digest != digest {
			return nil, nil, nil, errOtherBody
		}
		return nil, f, nil, nil
	}
	if t.used+recordCost+room > t.limit {
		return nil, nil, nil, errFull
	}
	t.used += recordCost + room
	of.used += recordCost + room
	own = &flight{digest: digest, done: make(chan struct{})}
	of.flights[id] = own
	return nil, nil, own, nil
}

// finish ends a flight with its answer, nil for no answer. The answer is remembered
// if keep is set. room is what begin was called with.
func (t *answered) finish(key [32]byte, id requestID, f *flight, room int, answer []byte, keep bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	f.answer = answer
	of := t.keys[key]
	if of == nil || of.flights[id] != f {
		return // the key has gone, and with it what was reserved
	}
	delete(of.flights, id)
	give := recordCost + room
	if keep && answer != nil {
		give = room
		sum := sha256.Sum256(answer)
		body, known := of.bodies[sum]
		if !known {
			body = bytes.Clone(answer)
			of.bodies[sum] = body
			give -= len(body)
		}
		of.byID[id] = record{f.digest, body}
	}
	t.used -= give
	of.used -= give
}

// size returns how many bytes are reserved or used.
func (t *answered) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}
