// Package received keeps every byte that the parties of a deployment in one process
// receive, and searches it for what a party must not have: addresses of devices, what
// they sent, secrets of other parties, and what only other parties can open.
//
// # Use
//
// Give each party a [Recorder]: its listeners by [Recorder.Listener], the connections that
// it opens by [Recorder.Dial]. After the run [Search] opens what each party can open with the keys in its own
// folder, and counts what it finds in all of that.
//
// # Limits
//
// Connections are recorded as the party's HTTP server sees them: without TLS, as on the
// loopback interface. Byte strings below 8 bytes are not searched for: they occur by
// chance. A value that a party could compute from what it received, by a search of its
// own or together with another party, is not found; of the guesses that a crowd's tag
// allows, [Finding].Guesses counts those that succeed.
package received
