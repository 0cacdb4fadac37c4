import * as bytes from "../build/bytes.js";
import * as dap from "../build/dap.js";
import * as frame from "../build/frame.js";
import * as hpke from "../build/hpke.js";
import * as record from "../build/record.js";
import * as tally from "../build/tally.js";
import * as task from "../build/task.js";

export { bytes, dap, frame, hpke, record, tally, task };
