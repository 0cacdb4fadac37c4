// Plays people in Node.js: reads a play (see way_test.go) from standard input, and
// prints how many reports were sent. Each person is a client of their own.
import { readFileSync } from "node:fs";

const play = JSON.parse(readFileSync(0, "utf8"));
const { open } = await import(`../dist/${play.module || "index"}.js`);
const metrics = process.argv.slice(2);
const bundle = Uint8Array.from(Buffer.from(play.bundle, "base64"));
let next = 0, sent = 0, failed = 0;

async function one(person) {
  let now = play.from;
  const wanted = metrics.length ? metrics : ["shop.checkout", "shop.spent", "shop.items", "shop.theme", "shop.milliseconds", "shop.departments", "shop.hours"];
  const client = await open({ bundle, owner: play.owner, metrics: wanted, mode: "on", noSender: true, now: () => now });
  if (client.error) throw new Error(client.error);
  await client.sendDue(); // everybody takes part, whatever they do
  const outcomes = await Promise.all(person.map(({ op, metric, value }) => client[op](metric, value)));
  for (const o of outcomes) if (o.status !== "queued") throw new Error(`${o.status}: ${o.error}`);
  now = play.send;
  for (let i = 0; i < 3; i++) {
    const pass = await client.sendDue();
    sent += pass.sent;
    if (pass.error) console.error(pass.error);
  }
  // The next epoch's reports have begun by now, and wait.
  failed += (await client.pending()).filter((p) => p.recordedAt.getTime() < play.send).length;
  await client.close();
}

const begun = performance.now();
await Promise.all(Array.from({ length: 8 }, async () => {
  while (next < play.people.length) await one(play.people[next++]);
}));
console.log(JSON.stringify({ sent, failed, millis: performance.now() - begun }));
