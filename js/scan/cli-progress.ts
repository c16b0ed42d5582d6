/** Draws a scan's progress on a terminal: one line, or with `--verbose` a line for each plugin and each result. */
import type { PluginResult, RunStatus, ScanEvent } from "./types.js";

/** What draws needs of a stream. */
export interface Screen {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export class Progress {
  readonly #screen: Screen;
  readonly #verbose: boolean;
  readonly #plugins = new Map<string, { done: number; failed: number }>();
  #targets = 0;
  #drawn = 0;
  #line = "";

  constructor(screen: Screen, verbose: boolean) {
    this.#screen = screen;
    this.#verbose = verbose;
  }

  take(event: ScanEvent): void {
    switch (event.type) {
      case "started":
        this.#targets = event.targets.length;
        for (const plugin of event.plugins) this.#plugins.set(plugin, { done: 0, failed: 0 });
        break;
      case "result":
        this.#count(event.result);
        break;
      case "breaker":
        if (this.#verbose) this.#say(`${event.host}: breaker ${event.from} → ${event.to}`);
        break;
      case "progress": {
        const eta = event.eta === null ? "" : `, ${seconds(event.eta)} to go`;
        this.#line = `${event.done} of ${event.total} runs, ${event.targetsDone} of ${event.targets} targets${eta}`;
        this.#draw();
        break;
      }
      case "done":
        this.#clear();
        break;
      default:
    }
  }

  /** Says a line that stays, above the drawing. */
  say(text: string): void {
    this.#say(text);
  }

  #count(result: PluginResult): void {
    const counts = this.#plugins.get(result.plugin) ?? { done: 0, failed: 0 };
    counts.done += 1;
    if (result.status === "error" || result.status === "timeout") counts.failed += 1;
    this.#plugins.set(result.plugin, counts);
    if (!this.#verbose) return;
    const took = result.duration === null ? "" : ` (${Math.round(result.duration)} ms)`;
    const said = result.status === "ok" ? result.summary : `${WORD[result.status]}: ${result.error ?? ""}`;
    this.#say(`${result.target} ${result.plugin}: ${said}${took}`);
  }

  #say(text: string): void {
    this.#clear();
    this.#screen.write(`${plain(text)}\n`);
    this.#draw();
  }

  #draw(): void {
    if (this.#screen.isTTY !== true || this.#line === "") return;
    this.#clear();
    const lines = this.#verbose
      ? [...this.#plugins].map(
          ([name, { done, failed }]) =>
            `  ${name.padEnd(18)} ${bar(done, this.#targets)} ${done}/${this.#targets}${failed > 0 ? `, ${failed} failed` : ""}`,
        )
      : [];
    lines.push(this.#line);
    const width = (this.#screen.columns ?? 80) - 1;
    this.#screen.write(lines.map((line) => `${plain(line).slice(0, width)}\n`).join(""));
    this.#drawn = lines.length;
  }

  #clear(): void {
    if (this.#drawn > 0) this.#screen.write(`\u001b[${this.#drawn}A\u001b[J`);
    this.#drawn = 0;
  }
}

const WORD: Record<RunStatus, string> = {
  ok: "ok",
  error: "failed",
  timeout: "timed out",
  skipped: "skipped",
  cancelled: "cancelled",
};

function bar(done: number, total: number): string {
  const full = total === 0 ? 20 : Math.round((done / total) * 20);
  return "█".repeat(full) + "░".repeat(20 - full);
}

function seconds(ms: number): string {
  return ms < 60_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} min`;
}

/** What a target answers must not move the reader's cursor: control characters become spaces. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, " ");
}
