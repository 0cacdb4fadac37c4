// Package metric turns questions written in metrics.yaml into tasks that every
// party can agree on.
//
// [Load] reads a file and reports everything that is wrong with it, each
// [Problem] with its line: what does not parse, what has expired, and what is
// unsound. [File.Build] compiles and signs the tasks that an app embeds.
// [File.Plan] foretells, for each metric, what leaves the device, what each
// party sees, the privacy of all that one client may send, and how much of the
// answer will survive. The format is described key by key in docs/reference/metrics.md.
//
// # Layers
//
// This package reads, checks and builds files, and is the only one here that depends
// on YAML: authors and their tools import it, servers and the SDK do not. Below it
// are, from the bottom,
//
//   - metric/kind, the kinds of aggregates: settings and their bytes, VDAF, tally,
//   - metric/task, what all parties of a question agree on,
//   - metric/cost, the budgets of a task and what its releases cost in privacy,
//   - metric/plan, the words and figures of a plan, and who sees what.
//
// # What the check refuses
//
//   - Rare data beside a crowd. A threshold protects what is in the crowd's
//     fields; all else is released as it is. So text, exact numbers, and more
//     than 16 bits of anything outside the crowd are refused.
//   - A crowd made of a field marked sensitive while one shuffler sees both the
//     sender's address and a hash of the crowd, of which it can confirm guesses.
//   - Thresholds that do not keep what is declared. Epsilon and delta are
//     computed exactly by package dp, for all reports that the caps let one
//     client send.
//
// The first two can be overridden, by name and with a reason in the file; the
// last cannot.
//
// # Limits
//
// The guarantee covers one epoch. Nothing here bounds what a client that takes
// part for a year gives away; the plan states the figure for a month. What is
// beside the crowd in a report is not covered at all, other than by the
// randomised response of its fields.
package metric
