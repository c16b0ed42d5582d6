import "../../dist/worker/own.js";
