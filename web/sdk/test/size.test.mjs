import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);

/** Checks one module that pages load, and prints its size. */
function check(name, limit) {
  const code = readFileSync(new URL(name, dist));
  const size = gzipSync(code, { level: 9 }).length;
  console.log(`${name}: ${code.length} bytes, ${size} with gzip -9`);
  assert.ok(size <= limit, `${name}: ${size} bytes with gzip -9, want at most ${limit}`);
  assert.ok(!/\b(import\b\s*[\w{*"'(]|require\()/.test(code.toString().replaceAll("import.meta", "")), `${name} imports something`);
  return code.toString();
}

test("what a page loads is at most 15 KB, and needs nothing else", () => {
  assert.deepEqual(readdirSync(dist).filter((name) => name.endsWith(".js")), ["index.js", "private.js"]);
  check("index.js", 15_000);
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(manifest.files, ["dist"]);
  assert.deepEqual(Object.values(manifest.exports).map((e) => e.default), ["./dist/index.js", "./dist/private.js"]);
});

test("@shoal/sdk/private is as small as it is said to be", () => {
  check("private.js", 19_000);
});

test("the names that dist shortens keep their places", () => {
  const build = readFileSync(new URL("../build.mjs", import.meta.url), "utf8");
  const names = /const names = `([^`]*)`/.exec(build)[1].trim().split(/\s+/);
  assert.equal(new Set(names).size, names.length);
  // What lies on people's devices is written with them.
  for (const [name, place] of [["task", 1], ["ints", 4], ["report", 9], ["notBefore", 11]]) assert.equal(names.indexOf(name), place, name);
});
