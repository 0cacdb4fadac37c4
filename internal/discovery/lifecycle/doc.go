// Package lifecycle follows the pages that a person visits, on the person's own
// device, from the moment they are shown until they are reported or forgotten.
//
// # Use
//
// Make an Engine with New and give it what the browser sees, one Event after
// the other: pages that are navigated to, what is done on them, their signature
// as they are shown (discovery.Sign of the document as the person sees it),
// tabs that go, private mode, and a Tick at least once a minute. What may be reported
// comes out through Config.Emit, single facts that passed the sanitizer of
// internal/discovery/message. Events have a strict form in JSON (ParseEvent), one a line:
// that is also the format of recordings.
//
// # The life of a page
//
//  1. Shown. If the rules refuse its host, or it is known as private, nothing is
//     kept. If it was reached from a private page, or through more than 10 pages,
//     it is private.
//  2. Over: the tab is closed or shows another page, or nothing happened for 20
//     minutes. Without a signature it is forgotten. If the strict rules refuse its
//     URL and nothing public can speak for it, it is forgotten.
//  3. Waiting, encrypted, for at least the delay after the last visit.
//  4. Its turn. One fetch a minute at most. If the strict rules refuse its URL,
//     the page before is fetched first and must link to it, or its shorter
//     canonical URL is fetched in its place: nothing that looks like access for
//     one person is ever asked for without such evidence, so that links that work
//     once are not used up.
//  5. Double fetch: what anybody gets is compared with what was shown
//     (discovery.Rules.Compare). A difference that a login could make, a redirect,
//     an error, an address on a private network: private for ever. If the network
//     fails, three attempts.
//  6. Triple fetch: the shortest URL that yields the same page is reported for it.
//  7. Messages, one fact each, each at most once in 30 days; questions that are
//     answered on the device see what was found.
//
// A search whose words may be reported is fetched from its clean URL after a random
// time; its results come from there only.
//
// # What is kept
//
// Records of what is shown or waits, sealed with AES-256-GCM under a key that
// the embedder holds, padded, deleted when they are settled. What is private is
// kept as 64-bit keyed hashes in a Bloom filter that holds random bits from the
// beginning: it calls 1.0 % of all URLs private that it never saw (5 % once it
// holds 68,000), so that nothing found in it proves a visit. What was reported is kept
// the same way, a filter a day, for 30 days (0.03 % a day); what may be reported only
// because something else was reported needs two entries of one day. Questions remember
// keyed hashes. Clearing the history removes all of it, and calls Config.Purge.
// In private mode nothing is kept, fetched or reported.
//
// # Restart and failure
//
// An engine may be ended at any moment; the next one goes on from the store. A
// fetch is stored as tried before it is made, and a message as reported before it is
// emitted: what a crash interrupts is lost rather than reported twice. If the store
// cannot be written nothing is fetched or reported.
//
// # Parts
//
// An Engine passes each event to the part that it is for, and stores what changed:
//
//   - visits: what the tabs show, where each page was reached from, private mode
//   - queue: the records that wait, when each is due, and which one is fetched
//   - planner: what to fetch for a page, and for evidence
//   - examiner: the fetches, the comparisons and what follows from them
//   - reporter: the messages, through the sanitizer
//   - memory: which pages are private, what was reported, what questions remember
//   - journal: which of these changed, sealed and stored in one step
//   - trail: the decisions and the figures
//
// Inside, URLs are parsed; they are text in events, traces and the store.
//
// # Determinism
//
// Given equal configurations, stores and answers of the fetcher, and the bytes
// of Config.Rand, equal events give equal messages and traces. Nothing is logged.
//
// # Security
//
// The engine believes the embedder's events, and that its Fetcher carries
// nothing of the person. A site sees that somebody at the person's network address
// asks for a page some hours after a visit. The filters are shared by all pages:
// a holder of the key can test URLs against them, with the error rates above. A
// store that keeps earlier states of a filter, as the journal of FileStore does
// until it is rewritten, also shows a holder of the key what was added.
// Nothing runs in constant time: the device is trusted.
package lifecycle
