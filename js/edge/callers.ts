/** Who may ask: those with a token, and those whom Cloudflare Access has let through. */

import { object, reject } from "../options.js";
import { CloudflareAccess, type CloudflareAccessOptions, isAccessRefusedError } from "./access.js";
import { isAccessUnreachableError } from "./access-keys.js";
import { refusal } from "./scan-order.js";
import { Tokens } from "./tokens.js";

/** One who may ask. */
export interface Caller {
  /** Under which it is counted; says nothing of the token. */
  readonly id: string;
}

/** Who may ask; without either, nobody. */
export interface CallersOptions {
  /** `authorization: Bearer …`, at least 16 characters each. @default none */
  tokens?: readonly string[];
  /** People and services that Cloudflare Access lets through to this application. @default none */
  access?: CloudflareAccessOptions;
}

export class Callers {
  readonly #tokens: Tokens | undefined;
  readonly #access: CloudflareAccess | undefined;

  constructor({ tokens = [], access }: CallersOptions) {
    if (!Array.isArray(tokens)) reject("tokens", "an array of strings", tokens);
    for (const [index, token] of tokens.entries())
      if (typeof token !== "string" || token.length < 16)
        throw new TypeError(`Expected \`tokens[${index}]\` to be a string of at least 16 characters`);
    this.#tokens = tokens.length === 0 ? undefined : new Tokens(tokens);
    this.#access = object("access", access) && new CloudflareAccess(access as CloudflareAccessOptions);
  }

  /** Who asks, or what is to be answered to somebody who may not. `origins` are those of pages that may ask for others. */
  async identify(request: Request, origins: readonly string[]): Promise<Caller | Response> {
    if (this.#tokens === undefined && this.#access === undefined)
      return refusal(
        401,
        "nobody may ask yet: this worker is configured with neither tokens (TOKENS) nor Cloudflare Access (ACCESS_TEAM and ACCESS_AUDIENCE)",
      );
    const name = await this.#tokens?.bearer(request);
    if (name !== undefined) return { id: `token ${name}` };
    if (this.#access === undefined) return refusal(401, "a token is needed");
    try {
      const { id } = await this.#access.verify(request);
      if (isForged(request, origins)) return refusal(403, "another site may not ask for its reader");
      // As a header and a label take it, whatever an identity provider puts into names.
      return { id: `access ${encodeURIComponent(id)}` };
    } catch (error) {
      if (isAccessUnreachableError(error)) return refusal(503, "the keys of Access cannot be fetched", 5000);
      if (!isAccessRefusedError(error)) throw error;
      return refusal(401, `${error.message} (${error.reason})`);
    }
  }
}

/**
 * Access knows a person by a cookie, which a browser sends whichever page asks. So what does something must come from a page of ours or
 * of those that are named, or from no page at all (OWASP: cross-site request forgery, "verifying origin with standard headers").
 */
function isForged(request: Request, origins: readonly string[]): boolean {
  if (request.method === "GET" || request.method === "HEAD") return false;
  const origin = request.headers.get("origin");
  if (origin === null) return request.headers.get("sec-fetch-site") === "cross-site";
  return origin !== new URL(request.url).origin && !origins.includes(origin);
}
