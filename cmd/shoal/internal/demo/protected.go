package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
)

// protectedPeople answer the question with every protection, one record each.
const protectedPeople = 500

// fetching is how long new clients take for their credentials: each waits a random time of
// six hours first.
const fetching = 7 * time.Hour

// epochLength is that of favouriteYAML.
const epochLength = 12 * time.Hour

// settled returns the first moment from begin on at which new clients need what is left of
// the epoch for their credentials: an epoch more would cost each of them an evaluation.
func settled(begin time.Time) time.Time {
	return begin.UTC().Add(fetching - 1).Truncate(epochLength).Add(epochLength - fetching)
}

// tickEvery is how often servers do their work while clients live: keys of evaluations
// appear, the relay signs them, they are destroyed.
const tickEvery = 10 * time.Minute

// Favourite asks which program people use most, through a relay, of clients with
// credentials, by a hardened quorum: no single party can read or confirm what fewer than
// a crowd has sent.
func Favourite(found []programs.Program, seed [32]byte) (Input, error) {
	if len(found) < 30 {
		return Input{}, fmt.Errorf("only %d dynamically linked programs were found on this machine: ask another question with --input FILE", len(found))
	}
	return favourite(found, seed, protectedPeople), nil
}

func favourite(found []programs.Program, seed [32]byte, people int) Input {
	in := Input{
		Metric: "favourite", YAML: favouriteYAML, Protected: true,
		Who:  Zipf(seed, people, 1, len(found)),
		Note: fmt.Sprintf("the %d dynamically linked programs of this machine", len(found)),
	}
	for _, p := range found {
		in.Things = append(in.Things, Thing{Label: p.Name, Record: map[string]any{"program": p.Name}})
	}
	return in
}

const favouriteYAML = `
  favourite:
    question: Which program do people use most?
    consent: >-
      Your device reports the program that you use most, in a form that nobody can read
      until enough others have reported the same one.
    record:
      program: {type: string, max: 64, sensitive: true}
    crowd: [program]
    encoding: quorum
    quorum: {evaluations: 1}
    privacy: {threshold: 20, drop: 12, sigma: 2}
    min_batch: 100
    epoch: 12h
    max_delay: 1h
    per_epoch: 1
    per_crowd: 1
    expires: %s
`

// settle lets clients fetch their credentials, before anybody uses anything.
func (s *Stage) settle(ctx context.Context, people []*person) error {
	if !s.config.Input.Protected {
		return nil
	}
	for _, p := range people {
		p.next = s.clock.Now() // when to fetch does not depend on records
	}
	until := s.used()
	for now := s.clock.Now(); now.Before(until); now = now.Add(step) {
		if err := s.pass(ctx, people, now, new(tally)); err != nil {
			return err
		}
		s.config.Progress("fetching credentials", int(now.Sub(s.start)), int(until.Sub(s.start)))
	}
	return nil
}

// used returns the beginning of the epoch in which people use their things.
func (s *Stage) used() time.Time {
	if !s.config.Input.Protected {
		return s.start
	}
	return s.task.Start(s.task.EpochAt(s.start.Add(fetching-1)) + 1)
}

// work lets servers do what is due while clients live.
func (s *Stage) work(ctx context.Context, now time.Time) {
	if s.config.Input.Protected && !now.Before(s.ticked.Add(tickEvery)) {
		s.ticked = now
		_ = s.parties.Tick(ctx) // what fails is tried again
	}
}
