// Command wasm is the discovery engine for JavaScript: built with GOOS=js
// GOARCH=wasm, it is what a browser extension runs.
//
// # Use
//
// Load the module with the wasm_exec.js of the same Go release. It defines the
// global shoalDiscovery:
//
//	open(options: string, hooks) : Promise<session>
//	sign(url: string, robots: string[], body: Uint8Array) : Promise<string>
//
// options is the JSON of bridge.Options. hooks is an object with
//
//	fetch(url) : Promise<{status, address, contentType, robots, body: Uint8Array}>
//	emit(line: string)                    a message; may return a Promise
//	explain(line: string)                 optional
//	purge() : Promise                     optional
//	load() : Promise<[[key, Uint8Array]]> optional, with apply and clear: the store
//	apply([[key, Uint8Array | null]]) : Promise
//	clear() : Promise
//	render(url: string) : Promise<Answer>  optional, with rendered: true; see discovery.Renderer
//	random(n) : Uint8Array                optional, for tests
//
// and a session has
//
//	handle(event: string) : Promise<void>
//	stats() : Promise<string>
//	judge(url: string) : Promise<string>
//	clean(url: string, shown: Uint8Array) : Promise<string>  the shortest address to share: bridge.Link
//	update(bundle: Uint8Array) : Promise<number>  a downloaded rule bundle; its version
//	close()
//
// Strings are JSON as package bridge and lifecycle.ParseEvent define it. A
// body of an answer is the page in UTF-8: decode what the server sent. A
// rejected Promise of fetch means that the network failed; any other makes the
// call that needed it fail.
//
// # Security
//
// See package bridge: that a fetch carries no cookie and follows no redirect
// (credentials: "omit", redirect: "manual", referrerPolicy: "no-referrer",
// cache: "no-store"), and from which address the answer came
// (webRequest.onCompleted reports it), the extension must see to.
package main
