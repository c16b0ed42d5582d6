/**
 * What a scan on the edge may contact: only what is allowed by name, and never a place inside somebody's network.
 *
 * An address is judged where it is named, after each redirect, and, where the platform resolves names, after resolution. A page that
 * asks a server to fetch something for it is the oldest way into that server's network (OWASP: server-side request forgery).
 */

import { callable, integer, milliseconds, object, reject } from "../options.js";
import { onAbort } from "../signals.js";
import { type AddressBlock, isWithin, kindOfAddress, parseBlock } from "./addresses.js";
import { capped } from "./capped.js";
import { guard, RefusedError } from "./edge-error.js";

/** Why a target is refused. */
export type TargetRefusal =
  | "not-a-url"
  | "scheme"
  | "credentials"
  | "port"
  | "not-allowed"
  | "private"
  | "unresolved"
  | "redirects"
  | "too-large";

/** A target was refused. Nothing was sent to it. */
export class TargetRefusedError extends RefusedError<TargetRefusal> {
  override readonly name = "TargetRefusedError";
  readonly code = "TARGET_REFUSED";
}

/** Whether an error is a {@link TargetRefusedError}. */
export const isTargetRefusedError: (error: unknown) => error is TargetRefusedError = guard("TARGET_REFUSED");

/** What a {@link TargetGuard} lets through. */
export interface TargetGuardOptions {
  /**
   * Hosts that may be contacted: `example.com`, `*.example.com` (every name below it), `203.0.112.7`, `[2606:4700::1111]`, blocks of addresses
   * (`198.41.128.0/17`, `[2606:4700::]/32`), which allow addresses and no names, or `*` for every public host; each with a port
   * (`example.com:8443`), with `:*` for every port, or without for those of http and https. None of them opens a private address.
   *
   * @default nothing, because a server that fetches what strangers name is open only where somebody opened it
   */
  allow?: readonly string[];
  /**
   * Gives the addresses behind a name within 10 s; each of them must be public. Without it only names are judged, which is enough on Cloudflare,
   * where `fetch` reaches no private network. See {@link resolveOverHttps}, and what a {@link TargetGuard} cannot do.
   */
  resolve?: (name: string) => PromiseLike<readonly string[]>;
  /** Redirects that are followed, each judged like the first address. @default 5, since more of them is a loop */
  redirects?: number;
  /** Bytes of a body that are read. @default 1 MiB, more than any finding needs */
  bytes?: number;
  /**
   * Milliseconds for a request with its redirects and its body; `Infinity`, like all that no timer can hold (2³¹ and more), means never.
   *
   * @default 30 s, as tasks of a scan have
   */
  timeout?: number;
}

interface Allowed {
  readonly who: { every: true } | { name: string } | { below: string } | { block: AddressBlock };
  /** −1 for every port, 0 for those of http and https. */
  readonly port: number;
}

/** Ports that no browser fetches from, because other protocols listen there (Fetch standard, "bad port"). */
const BAD_PORTS = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
]);

/** Names that only mean something inside a network (RFC 6761, RFC 6762, RFC 8375, RFC 9476, and what clouds and offices use). */
const INNER_SUFFIXES = [
  "localhost",
  "localdomain",
  "local",
  "internal",
  "intranet",
  "private",
  "corp",
  "home",
  "lan",
  "home.arpa",
  "in-addr.arpa",
  "ip6.arpa",
  "test",
  "invalid",
  "onion",
  "alt",
];

/**
 * Judges targets before anything is sent to them, and fetches for those that pass.
 *
 * What it cannot do: `fetch` takes a name and not an address, and resolves it again after `resolve` has. Whoever owns a name that is
 * allowed can have it lead to a public address first and to a private one then (DNS rebinding). On Cloudflare `fetch` reaches no private network
 * either way. Elsewhere `resolve` keeps out names that lead inside, and not somebody who means it: allow hosts whose owners you trust, or
 * let the machine's own network refuse what leads inside.
 *
 * @example
 * ```ts
 * import { TargetGuard } from "tidegate/edge";
 *
 * const guard = new TargetGuard({ allow: ["*.example.com"] });
 * console.log(guard.admit("https://api.example.com/mcp").hostname); // → api.example.com
 * for (const target of ["http://169.254.169.254/latest/meta-data/", "http://2130706433/", "https://example.org/"]) {
 *   try {
 *     guard.admit(target);
 *   } catch (error) {
 *     console.log((error as { reason: string }).reason); // → private, private, not-allowed
 *   }
 * }
 * ```
 */
export class TargetGuard {
  readonly #allowed: readonly Allowed[];
  readonly #resolve: TargetGuardOptions["resolve"];
  readonly #redirects: number;
  readonly #bytes: number;
  readonly #timeout: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: TargetGuardOptions = {}) {
    object("options", options);
    const { allow = [], resolve, redirects = 5, bytes = 1_048_576, timeout = 30_000 } = options;
    if (!Array.isArray(allow)) reject("allow", "an array of hosts", allow);
    this.#allowed = allow.map((entry, index) => parseAllowed(entry, `allow[${index}]`));
    this.#resolve = resolve === undefined ? undefined : callable("resolve", resolve);
    this.#redirects = integer("redirects", redirects, 0, 20);
    this.#bytes = integer("bytes", bytes, 0);
    this.#timeout = milliseconds("timeout", timeout, 1);
  }

  /** Whether nothing is allowed at all. */
  get isClosed(): boolean {
    return this.#allowed.length === 0;
  }

  /**
   * The target as a URL, if it may be contacted as far as its name says. A host without a scheme is taken for http.
   *
   * @throws TargetRefusedError
   */
  admit(target: string | URL): URL {
    const url = urlOf(target);
    if (url.protocol !== "http:" && url.protocol !== "https:")
      throw new TargetRefusedError("scheme", `Expected http or https, got \`${url.protocol}\``);
    if (url.username !== "" || url.password !== "")
      throw new TargetRefusedError("credentials", "A target must not carry credentials");
    const host = hostOf(url);
    const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
    if (BAD_PORTS.has(port)) throw new TargetRefusedError("port", `Port ${port} is none of http`);
    if (isInner(host)) throw new TargetRefusedError("private", `\`${host}\` is not on the public internet`);
    if (!this.#allowed.some((entry) => allows(entry, host, port)))
      throw new TargetRefusedError("not-allowed", `\`${host}\` at port ${port} is not among what is allowed`);
    return url;
  }

  /**
   * As {@link admit}, and after resolution where there is one.
   *
   * @throws TargetRefusedError; whatever `resolve` throws; a `TimeoutError` where it takes longer than 10 s; after an abort
   * `signal.reason`
   */
  admitResolved(target: string | URL, { signal }: { signal?: AbortSignal } = {}): Promise<URL> {
    return this.#admitResolved(target, signal);
  }

  async #admitResolved(target: string | URL, until?: AbortSignal): Promise<URL> {
    const url = this.admit(target);
    const host = hostOf(url);
    if (this.#resolve === undefined || kindOfAddress(host) !== undefined) return url;
    const late = AbortSignal.timeout(RESOLVED_IN);
    const signals = until === undefined ? [late] : [until, late];
    for (const signal of signals) signal.throwIfAborted();
    const addresses = await orAborted(this.#resolve(host), signals);
    if (addresses.length === 0) throw new TargetRefusedError("unresolved", `\`${host}\` has no address`);
    // One of several is enough: which one is taken is not for us to say.
    if (!addresses.every((address) => kindOfAddress(address) === "public"))
      throw new TargetRefusedError("private", `\`${host}\` leads to an address that is not public`);
    return url;
  }

  /**
   * `fetch` behind this guard, fit for `new Scanner({ fetch })`: every address is judged, those of redirects too; credentials stay
   * where they were meant for; bodies end at `bytes`, and everything at `timeout`.
   *
   * @throws TargetRefusedError before anything is sent, or where a redirect leads elsewhere; what `fetch` throws
   */
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input instanceof Request ? input : String(input), init);
    const wanted = init?.signal ?? request.signal;
    wanted.throwIfAborted();
    const ends = new AbortController();
    const late = () =>
      ends.abort(new DOMException(`\`${request.url}\` took longer than ${this.#timeout} ms`, "TimeoutError"));
    // A timer that is given more than it can hold fires at once.
    const timer = this.#timeout > LONGEST_TIMER ? undefined : setTimeout(late, this.#timeout);
    const unwatch = onAbort(wanted, () => ends.abort(wanted.reason));
    const over = () => {
      clearTimeout(timer);
      unwatch();
    };
    try {
      const rule = init?.redirect ?? request.redirect;
      const arrival = await this.#follow(request, rule, ends.signal);
      // A body that nobody reads keeps no process.
      (timer as { unref?: () => void } | undefined)?.unref?.();
      return this.#answer(arrival, over);
    } catch (error) {
      over();
      throw error;
    }
  };

  async #follow(request: Request, rule: RequestRedirect, signal: AbortSignal): Promise<Arrival> {
    let { method } = request;
    let headers = new Headers(request.headers);
    let body = method === "GET" || method === "HEAD" ? null : await request.arrayBuffer();
    let url = await this.#admitResolved(request.url, signal);
    for (let hop = 0; ; hop += 1) {
      signal.throwIfAborted();
      const response = await globalThis.fetch(url, { method, headers, body, redirect: "manual", signal });
      const location = REDIRECTS.has(response.status) ? response.headers.get("location") : null;
      if (location === null || rule === "manual") return { response, url, redirected: hop > 0 };
      await response.body?.cancel();
      if (rule === "error") throw new TypeError(`\`${url.href}\` redirects`);
      if (hop === this.#redirects)
        throw new TargetRefusedError("redirects", `More than ${this.#redirects} redirects`);
      const next = await this.#admitResolved(resolved(location, url), signal);
      if (next.origin !== url.origin) headers = withoutSecrets(headers);
      // As the Fetch standard has it: what was posted is not posted again unless the answer says so.
      if (response.status === 303 ? method !== "HEAD" : response.status < 303 && method === "POST") {
        method = "GET";
        body = null;
        headers = withoutBody(headers);
      }
      url = next;
    }
  }

  #answer({ response, url, redirected }: Arrival, over: () => void): Response {
    const isEmpty = response.body === null || NO_BODY.has(response.status);
    if (isEmpty) over();
    const answer = new Response(
      isEmpty ? null : capped(response.body, this.#bytes, tooLarge(this.#bytes), over),
      {
        status: response.status,
        statusText: response.statusText,
        headers: response.headers,
      },
    );
    Object.defineProperties(answer, { url: { value: url.href }, redirected: { value: redirected } });
    return answer;
  }
}

interface Arrival {
  readonly response: Response;
  readonly url: URL;
  readonly redirected: boolean;
}

/** Milliseconds for resolution: what stub resolvers wait for a name, twice over. */
const RESOLVED_IN = 10_000;
/** The most milliseconds that `setTimeout` holds. */
const LONGEST_TIMER = 2 ** 31 - 1;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const NO_BODY = new Set([101, 204, 205, 304]);

/** Whatever comes first. */
async function orAborted<T>(work: PromiseLike<T>, signals: readonly AbortSignal[]): Promise<T> {
  let unwatch: (() => void)[] = [];
  const aborted = new Promise<never>((_, reject) => {
    unwatch = signals.map((signal) => onAbort(signal, () => reject(signal.reason)));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    for (const each of unwatch) each();
  }
}

function urlOf(target: string | URL): URL {
  try {
    if (target instanceof URL) return new URL(target.href);
    const text = target.trim();
    return new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  } catch {
    throw new TargetRefusedError("not-a-url", "Expected a URL or a host");
  }
}

function resolved(location: string, base: URL): URL {
  try {
    return new URL(location, base);
  } catch {
    throw new TargetRefusedError("not-a-url", "A redirect leads to no URL");
  }
}

/** Without the dot that ends a name: `localhost.` is `localhost`. */
function hostOf(url: URL): string {
  return url.hostname.replace(/\.+$/, "").toLowerCase();
}

function isInner(host: string): boolean {
  const kind = kindOfAddress(host);
  if (kind !== undefined) return kind === "private";
  // A name of one label is looked up in the search domains of whoever resolves it.
  if (!host.includes(".")) return true;
  return INNER_SUFFIXES.some((suffix) => host === suffix || host.endsWith(`.${suffix}`));
}

function allows({ who, port }: Allowed, host: string, at: number): boolean {
  return isMeant(who, host) && (port < 0 || (port === 0 ? at === 80 || at === 443 : at === port));
}

function isMeant(who: Allowed["who"], host: string): boolean {
  if ("name" in who) return host === who.name;
  if ("below" in who) return host.endsWith(`.${who.below}`);
  return "every" in who || isWithin(who.block, host);
}

function parseAllowed(entry: unknown, name: string): Allowed {
  const expected = "a host, `*.host`, a block of addresses or `*`, with a port or none";
  if (typeof entry !== "string") return reject(name, expected, entry);
  const [, text = "", ports] = /^(.*?)(?::(\*|\d{1,5}))?$/.exec(entry) ?? [];
  const port = ports === undefined ? 0 : ports === "*" ? -1 : Number(ports);
  const who = port > 65_535 ? undefined : parseWho(text);
  return who === undefined ? reject(name, expected, entry) : { who, port };
}

function parseWho(text: string): Allowed["who"] | undefined {
  if (text === "*") return { every: true };
  const [, address, bits] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  if (address !== undefined) {
    const block = parseBlock(address, Number(bits));
    return block && { block };
  }
  const below = text.startsWith("*.");
  const host = parseHost(below ? text.slice(2) : text);
  if (host === undefined || (below && kindOfAddress(host) !== undefined)) return undefined;
  return below ? { below: host } : { name: host };
}

/** A host as a URL has it, in lower case and without what a URL may have beside it. */
function parseHost(text: string): string | undefined {
  if (!URL.canParse(`http://${text}/`)) return undefined;
  const url = new URL(`http://${text}/`);
  const isBare =
    url.pathname === "/" && url.port === "" && url.username === "" && url.search + url.hash === "";
  return isBare && !text.includes("*") ? hostOf(url) || undefined : undefined;
}

function withoutSecrets(headers: Headers): Headers {
  const kept = new Headers(headers);
  for (const name of ["authorization", "cookie", "proxy-authorization"]) kept.delete(name);
  return kept;
}

function withoutBody(headers: Headers): Headers {
  const kept = new Headers(headers);
  for (const name of [...kept.keys()]) if (name.startsWith("content-")) kept.delete(name);
  return kept;
}

function tooLarge(bytes: number): () => Error {
  return () => new TargetRefusedError("too-large", `The body is longer than ${bytes} bytes`);
}
