// Reads a suite from standard input and prints what the web SDK makes of it; with the
// argument "primitives" it is one of private_test.go.
import { readFileSync } from "node:fs";
import * as modules from "./modules.mjs";
import * as primitives from "../build/primitives.js";
import { makePrimitives } from "./primitives.mjs";
import { make } from "./suite.mjs";

const suite = JSON.parse(readFileSync(0, "utf8"));
const results = process.argv[2] === "primitives" ? await makePrimitives(suite, primitives) : await make(suite, modules);
console.log(JSON.stringify(results, null, 1));
