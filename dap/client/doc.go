// Package client makes the reports of a DAP task and uploads them (section
// "Uploading Reports").
//
// # Use
//
// [Make] is pure: a measurement, the HPKE keys of leader and helper, a report ID
// and a time go in, a report comes out. A [Client] is the thin shell around it:
// it fetches and caches keys, and posts:
//
//	c := client.New(task, client.Options{})
//	hist, err := vdaf.Histogram(100, 0)
//	err = c.Upload(ctx, client.Of(hist, 42), time.Now())
//
// Any task of package dap will do, however it was agreed on; for tasks of Shoal, see
// package internal/dap/taskconfig, and let [Options] name the identities of leader and
// helper, so that keys that others made up are refused.
//
// # What holds
//
//   - A report is made once: retries send the same bytes. Only when the leader
//     answers that it no longer knows the HPKE configuration (the variant's
//     [dap.Variant.UploadConfigError]) are the keys fetched again and the same
//     measurement sealed again, under the same report ID, so that the two never
//     count twice.
//   - Keys are cached for as long as the answer's Cache-Control allows, at most a
//     day; an hour if it has no max-age.
//   - Requests carry no cookie, no name of the program, and nothing else that
//     differs between clients. Redirects are not followed.
//   - HTTP without TLS is for the loopback interface only.
//
// # Limits
//
// The leader sees the network address that a report comes from, and the helper
// the one that asks for its keys. Report time and public extensions are visible
// to both: give them nothing that distinguishes clients. Reports of one client must
// have random, never repeated IDs: [NewReportID].
package client
