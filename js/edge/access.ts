/**
 * Who asks, as Cloudflare Access says: the JWT that it puts on each request it lets through, verified with the platform's own cryptography.
 *
 * RFC 7515 (signatures), RFC 7517 (keys), RFC 7519 (claims), RFC 8725 (what goes wrong with them: one algorithm, and it is ours to choose,
 * never the token's).
 */

import { milliseconds, object, reject } from "../options.js";
import { AccessKeys } from "./access-keys.js";
import { guard, RefusedError } from "./edge-error.js";

/** Why a token is refused. */
export type AccessRefusal =
  | "missing"
  | "malformed"
  | "algorithm"
  | "unknown-key"
  | "signature"
  | "issuer"
  | "audience"
  | "expired"
  | "not-yet"
  | "nobody";

/** A token was refused. Only of one whose signature holds is told what its claims lack. */
export class AccessRefusedError extends RefusedError<AccessRefusal> {
  override readonly name = "AccessRefusedError";
  readonly code = "ACCESS_REFUSED";
}

/** Whether an error is an {@link AccessRefusedError}. */
export const isAccessRefusedError: (error: unknown) => error is AccessRefusedError = guard("ACCESS_REFUSED");

/** Which application of which team a {@link CloudflareAccess} stands for. */
export interface CloudflareAccessOptions {
  /** The team: `acme`, `acme.cloudflareaccess.com`, or the same as an https address. Its keys are at `/cdn-cgi/access/certs` there. */
  team: string;
  /** The application's AUD tag, or several where several applications lead here. */
  audience: string | readonly string[];
  /** Milliseconds by which the clocks of the two sides may differ. @default 60 s, as an isolate's clock stands between its I/O */
  leeway?: number;
  /** Milliseconds for which fetched keys are taken for current. @default 1 h: Access changes them every six weeks, and the old ones hold for a week more */
  keysFor?: number;
  /** Milliseconds between two fetches of keys while there are some: whoever makes up names of keys does not make us ask for each. @default 30 s */
  pause?: number;
}

/** Whom Access has let through. */
export interface AccessIdentity {
  /** Stable for a person of a team; for a service token its client id. */
  readonly id: string;
  /** Where it is a person. */
  readonly email?: string;
  /** Every claim of the token. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The header that Access adds. Its cookie is not looked at: other sites can have a browser send that. */
const HEADER = "cf-access-jwt-assertion";
/** Longer than any that Access makes, and short enough to be decoded without a thought. */
const LONGEST = 16_384;

/**
 * Verifies the tokens of Cloudflare Access. May stand at module scope: it keeps keys between requests, and never another request's promise.
 *
 * @example
 * ```ts no-run
 * import { CloudflareAccess } from "tidegate/edge";
 *
 * const access = new CloudflareAccess({ team: "acme", audience: "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228" });
 *
 * export default {
 *   async fetch(request: Request) {
 *     const { email } = await access.verify(request);
 *     return new Response(`hello ${email}`);
 *   },
 * };
 * ```
 */
export class CloudflareAccess {
  /** The issuer whose tokens are taken. */
  readonly issuer: string;
  readonly #audience: readonly string[];
  readonly #leeway: number;
  readonly #keys: AccessKeys;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: CloudflareAccessOptions) {
    object("options", options);
    const { audience, leeway = 60_000, keysFor = 3_600_000, pause = 30_000 } = options;
    this.issuer = issuerOf(options.team);
    this.#audience = typeof audience === "string" ? [audience] : audience;
    if (!Array.isArray(this.#audience) || this.#audience.length === 0)
      reject("audience", "an AUD tag, or several", audience);
    for (const [index, tag] of this.#audience.entries())
      if (typeof tag !== "string" || tag === "") reject(`audience[${index}]`, "an AUD tag", tag);
    this.#leeway = milliseconds("leeway", leeway);
    this.#keys = new AccessKeys(
      `${this.issuer}/cdn-cgi/access/certs`,
      milliseconds("keysFor", keysFor),
      milliseconds("pause", pause),
    );
  }

  /**
   * Who sent the request, or whose token this is.
   *
   * @throws AccessRefusedError with its `reason`; AccessUnreachableError where there are no keys yet, and none can be fetched
   */
  async verify(request: Request | string): Promise<AccessIdentity> {
    const text = typeof request === "string" ? request : request.headers.get(HEADER);
    if (text === null || text === "") throw new AccessRefusedError("missing", "There is no token of Access");
    const token = parse(text);
    const key = await this.#keys.find(token.kid);
    if (key === undefined)
      throw new AccessRefusedError("unknown-key", "The token is signed with a key that is not of this team");
    if (!(await holds(key, token))) throw new AccessRefusedError("signature", "The signature does not hold");
    this.#judge(token.claims, Date.now());
    return identityOf(token.claims);
  }

  #judge({ iss, aud, exp, nbf, iat }: Claims, now: number): void {
    if (iss !== this.issuer) throw new AccessRefusedError("issuer", "The token is of another team");
    const audience = Array.isArray(aud) ? aud : [aud];
    if (!audience.some((tag) => this.#audience.includes(tag as string)))
      throw new AccessRefusedError("audience", "The token is for another application");
    if (!isSeconds(exp) || exp * 1000 + this.#leeway <= now)
      throw new AccessRefusedError("expired", "The token has expired");
    for (const from of [nbf, iat])
      if (from !== undefined && (!isSeconds(from) || from * 1000 - this.#leeway > now))
        throw new AccessRefusedError("not-yet", "The token is not valid yet");
  }
}

type Claims = Readonly<Record<string, unknown>>;

interface Token {
  readonly kid: string;
  readonly claims: Claims;
  readonly signed: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

function parse(text: string): Token {
  const parts = text.split(".");
  if (parts.length !== 3 || text.length > LONGEST) throw malformed();
  const [head, body, signature] = parts as [string, string, string];
  const { alg, kid, crit } = record(head);
  // `none`, and every algorithm by which a public key would serve as a secret, are refused before anything is computed.
  if (alg !== "RS256") throw new AccessRefusedError("algorithm", "Tokens of Access are signed with RS256");
  // What must be understood and is not (RFC 7515, 4.1.11).
  if (typeof kid !== "string" || crit !== undefined) throw malformed();
  return {
    kid,
    claims: record(body),
    signed: new TextEncoder().encode(`${head}.${body}`),
    signature: bytes(signature),
  };
}

function holds(key: CryptoKey, { signature, signed }: Token): Promise<boolean> {
  return crypto.subtle.verify("RSASSA-PKCS1-v1_5", key, signature, signed);
}

/** People have a subject; service tokens an empty one, and a common name. */
function identityOf(claims: Claims): AccessIdentity {
  const { sub, common_name: name, email } = claims;
  const id = typeof sub === "string" && sub !== "" ? sub : name;
  if (typeof id !== "string" || id === "")
    throw new AccessRefusedError("nobody", "The token says of nobody whose it is");
  return typeof email === "string" ? { id, email, claims } : { id, claims };
}

function record(part: string): Claims {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes(part)));
  } catch {
    throw malformed();
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed();
  return value as Claims;
}

/** Base64url without padding (RFC 7515, 2), and nothing else that a decoder might forgive. */
function bytes(part: string): Uint8Array<ArrayBuffer> {
  if (!/^[\w-]+$/.test(part) || part.length % 4 === 1) throw malformed();
  return Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
}

function malformed(): AccessRefusedError {
  return new AccessRefusedError("malformed", "This is no token of Access");
}

function isSeconds(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function issuerOf(team: unknown): string {
  if (typeof team !== "string" || team === "") reject("team", "the name or the address of a team", team);
  const text = team as string;
  const host = /^[a-z0-9-]+$/i.test(text) ? `${text}.cloudflareaccess.com` : text;
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(host) ? host : `https://${host}`);
  } catch {
    return reject("team", "the name or the address of a team", team);
  }
  if (url.protocol !== "https:" || url.href !== `${url.origin}/`)
    reject("team", "the name or the https address of a team, without a path", team);
  return url.origin;
}
