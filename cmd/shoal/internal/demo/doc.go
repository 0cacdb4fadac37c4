// Package demo plays a whole deployment on one machine: an owner of a question,
// a shuffler's organisation, an analyzer's organisation, and a population of
// simulated people whose devices run the real SDK. Every report goes through
// real HTTP on loopback; the organisations have separate keys, ports, folders
// and stores. Only time is virtual: an epoch passes in seconds.
//
// Because the population is simulated, the true answer is known, and the
// [Result] compares what was released with it.
package demo
