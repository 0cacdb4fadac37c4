// Package reports takes the messages of the discovery engine to the outbox of an app: each
// becomes a record of the task of its name, and from there on a report like others.
//
// # Use
//
// Open a Sender with the options of the SDK, which names no metrics: those of the bundle
// that are named as messages are answered. Give [Sender.Put] to an engine as Emit and
// [Sender.Purge] as Purge; an embedder of the bridge, which has lines of JSON, passes
// them to [Sender.Emit].
//
// # Security
//
// A URL or a query is what a single party could best confirm by a guess. So Open refuses
// tasks without a relay, credentials and a hardened quorum, unless all of their parties
// are on this machine, as in tests. Of a message only its fields are recorded: day,
// country and number against duplicates stay here.
package reports
