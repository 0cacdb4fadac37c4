/**
 * The client of Shoal for tasks that name a relay or a quorum, beside all that
 * `@shoal/sdk` answers.
 *
 * @packageDocumentation
 */
export * from "./index.js";
