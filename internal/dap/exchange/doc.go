// Package exchange is what DAP's roles do alike over HTTP (draft-ietf-ppm-dap,
// section "HTTP Usage"): problem documents and media types at a server, and
// requests that are tried again at a client.
//
// # Server
//
// Handlers return errors; [Refuse] is the one place that turns an error into an
// answer. A [dap.Abort], and what [dap.AbortOf] makes of other errors, becomes one
// of the draft's problem types; a [Problem] becomes one of ours, under
// urn:shoal:problem; everything else is our fault, and its answer reveals nothing.
// [CheckType] and [Body] look at a request, [Send], [Later] and [Done] answer it.
// An [Arrival] is a body whose sender has to keep a [Pace], and loses its place to
// others if it is slow ([DropSlowest]).
//
// # Client
//
// A [Client] sends a [Request], and again after failures that may pass, with
// exponentially growing pauses or the ones that the server asks for. All requests
// of DAP are idempotent, so that sending one twice does no harm. What is left is
// a [Response] or an error; a server's problem document is a [Problem].
//
// # Security
//
// Redirects are not followed, and a Location on another server is an error: a
// token goes to the server for which it was made. Answers are read up to a limit.
// Nothing of a request but its path and query is kept, and errors hold no tokens
// and no bodies.
package exchange
