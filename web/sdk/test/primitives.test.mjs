import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as primitives from "../build/primitives.js";
import { comparePrimitives, makePrimitives } from "./primitives.mjs";
import { vectorFiles, vectors } from "./vectors.mjs";

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));

test("the primitives of @shoal/sdk/private give the values of their vectors", async () => {
  const files = Object.fromEntries(Object.entries(vectorFiles).map(([name, path]) => [name, read(`../../../${path}`)]));
  await vectors(primitives, files);
  // The comparison can fail.
  for (const change of [
    (f) => { f.arc["ARCV1-P256"].Presentation2.tag = f.arc["ARCV1-P256"].Presentation1.tag; },
    (f) => { f.voprf.vectors[2].Proof = f.voprf.vectors[1].Proof; },
    (f) => { f.shares[1].threshold++; },
    (f) => { f.quorum.crowd_tag = f.quorum.crowd_tag.replace(/.$/, (c) => (c === "0" ? "1" : "0")); },
  ]) {
    const changed = structuredClone(files);
    change(changed);
    await assert.rejects(vectors(primitives, changed));
  }
});

test("they equal Go's, byte for byte", async () => {
  const suite = read("../testdata/primitives.json");
  comparePrimitives(suite, await makePrimitives(suite, primitives));
});
