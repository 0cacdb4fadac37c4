// Reads a suite from standard input and prints what the web SDK makes of it.
import { readFileSync } from "node:fs";
import * as modules from "./modules.mjs";
import { make } from "./suite.mjs";

console.log(JSON.stringify(await make(JSON.parse(readFileSync(0, "utf8")), modules), null, 1));
