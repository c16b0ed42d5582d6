/** The example in Rust, as the test beside this builds it; the path is that of a file among the linked cases. */

export { default } from "../../../examples/workers-rs/worker.js";
