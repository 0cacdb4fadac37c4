// What visit.mjs has a browser do, as an ordinary page that the browser's driver only
// opens: golden files, vectors and random suites, and people who record and send with
// outboxes in IndexedDB. The title says when it has ended, and how.
import * as primitives from "../build/primitives.js";
import * as modules from "./modules.mjs";
import { comparePrimitives, makePrimitives } from "./primitives.mjs";
import { compare, from64, make } from "./suite.mjs";
import { vectorFiles, vectors } from "./vectors.mjs";

const json = async (url) => (await fetch(url)).json();
const post = (url, body) => fetch(url, { method: "POST", body: JSON.stringify(body) });

async function timed(f) {
  const begun = performance.now();
  return [await f(), performance.now() - begun];
}

async function golden() {
  const suite = await json("/sdk/testdata/golden.json");
  const [results, millis] = await timed(() => make(suite, modules));
  compare(suite, results);
  return millis / (2 * (results.sums.length + results.crowd.reduce((n, c) => n + c.fragments.length, 0)));
}

async function protectedTasks() {
  const files = {};
  for (const [name, path] of Object.entries(vectorFiles)) files[name] = await json(`/vectors/${path}`);
  await vectors(primitives, files);
  const suite = await json("/sdk/testdata/primitives.json");
  suite.arc.presentations.splice(6); // limits up to 5; Node.js and browser.mjs make all
  comparePrimitives(suite, await makePrimitives(suite, primitives));
  const { context, limit, nonce, binding } = suite.arc.presentations[0];
  const credential = from64(suite.arc.credential);
  return (await timed(() => primitives.arc.present(credential, from64(context), limit, nonce, from64(binding))))[1];
}

/** Opens clients of people, has them record, and returns what sends it. */
async function record(name, { bundle, owner, from, send }, people, metrics) {
  const { open } = await import(`../dist/${name}.js`);
  let now = from;
  const clients = [];
  for (const [i, person] of people.entries()) {
    const c = await open({ bundle: from64(bundle), owner, metrics, mode: "on", noSender: true, name: `${name} ${i}`, now: () => now });
    if (c.error || !c.durable) throw new Error(c.error || "the outbox is not durable");
    await c.sendDue();
    for (const o of await Promise.all(person.map(({ op, metric, value }) => c[op](metric, value)))) {
      if (o.status !== "queued") throw new Error(`${o.status}: ${o.error}`);
    }
    clients.push(c);
  }
  return async () => {
    now = send;
    let sent = 0;
    const [, millis] = await timed(async () => {
      for (const c of clients) {
        for (let k = 0; k < 3; k++) {
          const pass = await c.sendDue();
          if (pass.error) throw new Error(pass.error);
          sent += pass.sent;
        }
        await c.close();
      }
    });
    return { sent, millisPerReport: millis / sent };
  };
}

async function run() {
  const { play, visitors, suites } = await json("/control/input");
  const figures = { goldenMillisPerReport: await golden(), presentationMillis: await protectedTasks() };
  const results = [];
  for (const suite of suites) results.push(await make(suite, modules));
  const metrics = (of) => [...new Set(of.flat().map((x) => x.metric))];
  const people = await record("index", play, play.people, metrics(play.people));
  const relayed = await record("private", play, visitors, metrics(visitors));
  await post("/control/forward");
  figures.people = await people();
  figures.relayed = await relayed();
  await post("/control/output", { figures, results });
}

run().then(() => { document.title = "done"; }, (e) => { document.title = `failed: ${e.stack ?? e}`; });
