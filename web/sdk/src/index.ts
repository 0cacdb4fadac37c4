/**
 * The client of Shoal for web pages: a page records, a question about many people is
 * answered, and nothing is learned about any one of them.
 *
 * @packageDocumentation
 */
import { Client, type Options } from "./client.js";

export type { Client, Mode, Options, Outcome, Pass, Stage, Stats, Status, Waiting } from "./client.js";

/**
 * Opens a client. It never fails: where the bundle is not signed by the owner, a
 * metric is missing, or the task needs more than this SDK has, the client is off and
 * its field `error` says why.
 */
export async function open(options: Options): Promise<Client> {
  const client = new Client(options);
  try {
    await client.begin();
  } catch (e) {
    client.fail(e);
    console.warn(`shoal is off: ${client.error}`);
  }
  return client;
}
