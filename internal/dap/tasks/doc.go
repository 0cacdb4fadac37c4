// Package tasks keeps the registry of an aggregator: which tasks it serves, and
// with which secrets: the tasks with their verification keys and tokens, the HPKE keys that clients
// seal reports to, and the key that makes resource IDs.
//
// # Use
//
//	r, err := tasks.Open(ctx, store, tasks.Config{Role: dap.Helper, Keys: keys, Clock: clock.System(), Rand: rand.Reader})
//	err = r.Add(ctx, entry)          // at any time; other processes see it after a refresh
//	serving, err := r.Lookup(ctx, id) // ErrUnknown: answer unrecognizedTask
//	configs := r.Keyring().Configs(now)
//	go r.Run(ctx)                    // refreshes, and rotates the HPKE keys
//
// Many processes can share one store. A change that one of them makes reaches the
// others within [Config.Refresh]; a task that a process does not know is looked
// for in the store at once.
//
// # Security
//
// Everything but task IDs and revisions is sealed before it goes to the store
// ([atrest.Keys]). Entries print redacted. Inbound tokens are kept as hashes
// only. An HPKE key that is gone is deleted from the store by the next rotation;
// the database may keep its bytes, sealed, until it reuses the space.
package tasks
