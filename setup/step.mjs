/**
 * Steps that say what they do and how long they took, and processes whose failure is one plain sentence.
 */

import { spawn } from "node:child_process";

/** A failure whose message is all a person needs: it is printed without a stack. */
export class PlainError extends Error {
  name = "PlainError";
}

/** Does one thing, announcing it before and timing it after. */
export async function step(title, work) {
  const began = performance.now();
  console.log(`→ ${title} …`);
  const result = await work();
  console.log(`  ${title}: ${duration(performance.now() - began)}`);
  return result;
}

/** `1234` → `1.2 s`. */
export function duration(ms) {
  return ms < 60_000
    ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/**
 * Runs a program to its end and gives `{ code, output }`; `code` is `null` if it could not start or ran too long.
 * What it prints is passed on as it comes, unless `quiet`.
 */
export function run(command, args = [], { cwd, env, quiet = false, timeout = 0, onText, input } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      detached: process.platform !== "win32",
    });
    let output = "";
    const take = (stream) => (chunk) => {
      const text = String(chunk);
      output += text;
      onText?.(text);
      if (!quiet) stream.write(text);
    };
    child.stdout.on("data", take(process.stdout));
    child.stderr.on("data", take(process.stderr));
    if (input !== undefined) child.stdin.end(input);
    const stop = () => killGroup(child);
    const forget = atExit(stop);
    const timer =
      timeout > 0
        ? setTimeout(() => {
            output += `\nstopped: ran longer than ${duration(timeout)}\n`;
            if (!quiet) console.error(`stopped: ran longer than ${duration(timeout)}`);
            stop();
          }, timeout)
        : undefined;
    const end = (code) => {
      clearTimeout(timer);
      forget();
      resolve({ code, output });
    };
    child.on("error", (error) => {
      output += `${error.message}\n`;
      end(null);
    });
    child.on("close", (code) => end(code));
  });
}

/** Runs a program that must succeed; when it does not, throws what it said together with `advice`. */
export async function must(command, args, { advice, ...options } = {}) {
  const { code, output } = await run(command, args, { quiet: true, ...options });
  if (code === 0) return output;
  const tail = options.quiet === false ? "" : `${shortened(output)}\n`;
  throw new PlainError(`${tail}\`${[command, ...args].join(" ")}\` failed.${advice ? ` ${advice}` : ""}`);
}

/** The beginning and the end of what a program said: one of them says why it failed. */
function shortened(output) {
  const lines = output.trimEnd().split("\n");
  return lines.length <= 40 ? lines.join("\n") : [...lines.slice(0, 20), "…", ...lines.slice(-20)].join("\n");
}

/** Ends a child together with everything it started. */
export function killGroup(child, signal = "SIGKILL") {
  try {
    process.kill(process.platform === "win32" ? child.pid : -child.pid, signal);
  } catch {
    // It is gone already.
  }
}

const endings = new Set();
let watching = false;

/** Calls `fn` when this process is told to stop; gives a function that takes it back. */
export function atExit(fn) {
  if (!watching) {
    watching = true;
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ]) {
      process.once(signal, () => process.exit(code));
    }
    process.once("exit", () => {
      for (const ending of endings) ending();
    });
  }
  endings.add(fn);
  return () => endings.delete(fn);
}

/** Runs a command's main function: a plain error ends it with its sentence, anything else with its stack. */
export async function main(work) {
  try {
    const code = await work();
    if (typeof code === "number") process.exitCode = code;
  } catch (error) {
    console.error(error instanceof PlainError ? error.message : error);
    process.exitCode = error?.exitCode ?? 1;
  }
}
