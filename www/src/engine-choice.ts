// Who scans: this tab, or a worker on the edge, which sees what a browser hides.

import { part, say } from "./build.js";
import { base, type EdgeWorker } from "./edge-worker.js";

const TAB = "This page scans. A browser shows it only what a target's CORS headers allow.";

export class EngineChoice {
  #field = part("engine", HTMLElement);
  #url = part("engine-url", HTMLInputElement);
  #token = part("engine-token", HTMLInputElement);
  #about = part("engine-about", HTMLElement);

  constructor(changed: () => void) {
    this.#field.addEventListener("change", () => {
      this.#follow();
      changed();
    });
    this.#follow();
  }

  /** The worker that is to scan; `undefined` where this tab does. */
  get worker(): EdgeWorker | undefined {
    if (!this.isEdge) return undefined;
    return { url: this.#url.value.trim(), token: this.#token.value.trim() };
  }

  get isEdge(): boolean {
    return this.#radio("edge").checked;
  }

  /** Takes a worker for the engine: the one that serves this page. */
  propose(url: string): void {
    this.#url.value = url;
    this.#radio("edge").checked = true;
    this.#follow();
  }

  /** @returns what is wrong, and with which field. */
  fault(): { field: HTMLInputElement; message: string } | undefined {
    this.#url.removeAttribute("aria-invalid");
    if (!this.isEdge) return undefined;
    try {
      base(this.#url.value.trim());
      if (this.#url.value.trim() !== "") return undefined;
    } catch {
      // said below
    }
    return {
      field: this.#url,
      message: "The worker needs an address, such as https://scans.example.workers.dev",
    };
  }

  #follow(): void {
    this.#field.dataset.engine = this.isEdge ? "edge" : "tab";
    say(this.#about, TAB);
    for (const field of [this.#url, this.#token]) field.disabled = !this.isEdge;
  }

  #radio(value: string): HTMLInputElement {
    const found = this.#field.querySelector(`input[name="engine"][value="${value}"]`);
    if (!(found instanceof HTMLInputElement)) throw new Error(`There is no engine "${value}".`);
    return found;
  }
}
