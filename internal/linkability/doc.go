// Package linkability measures whether a party of a deployment can find out that two
// reports come from one person.
//
// A [View] is what one party, or several that collude, observe of all reports: times,
// sizes, connections, header fields, keys, bytes. The game: the attacker is given two
// reports, of one person or of two with equal chance, and decides which. Its advantage is
// twice its accuracy minus one, on people that it was not trained on ([Play]). The
// attacker is a classifier of boosted trees ([Boost]) over features of the pair.
//
// Contents link by themselves: people who always run one program send equal records. So
// each view is compared with its ideal view ([View.Ideal]), which has the same contents
// of the same people, and everything else redrawn within the same route and epoch. The
// same pairs are played in both; what the difference of the two advantages excludes, at
// the stated level, is a defect ([Compare]).
//
// The trial itself, which lets people of a simulation send through all roles, is in the
// tests: "make linkability". Its results are in docs/evidence/linkability.md.
//
// # Limits
//
// A finding is a proof, none is not: another attacker could find what this one does not.
// The smallest difference that would have been found is stated with each result.
// Addresses are left out of all views: who has them links by them, which is what the
// relay is trusted not to do.
package linkability
