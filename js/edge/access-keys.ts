/** The keys with which a team's tokens are signed: fetched when first needed, kept, and fetched again when they change. */

import { capped } from "./capped.js";
import { EdgeError, guard } from "./edge-error.js";

/** The keys could not be fetched, and there are none from before. */
export class AccessUnreachableError extends EdgeError {
  override readonly name = "AccessUnreachableError";
  readonly code = "ACCESS_UNREACHABLE";
}

/** Whether an error is an {@link AccessUnreachableError}. */
export const isAccessUnreachableError: (error: unknown) => error is AccessUnreachableError =
  guard("ACCESS_UNREACHABLE");

/** How long keys hold where no newer ones can be fetched: an hour's outage of theirs need not be ours, but a key that was withdrawn must end. */
const OLDEST = 86_400_000;
const TIMEOUT = 5000;
const LARGEST = 262_144;
/** Shorter ones can be broken, and Access makes none (RFC 7518, 3.3). */
const LEAST_BITS = 2048;

export class AccessKeys {
  readonly #url: string;
  readonly #keysFor: number;
  readonly #pause: number;
  // Values and not promises: a request that waits for another's is killed with it.
  #keys: ReadonlyMap<string, CryptoKey> | undefined;
  #fetchedAt = 0;
  #triedAt = 0;

  constructor(url: string, keysFor: number, pause: number) {
    this.#url = url;
    this.#keysFor = keysFor;
    this.#pause = pause;
  }

  /**
   * The key of that name. One that is not known may be new, so keys are fetched again, but no more often than a `pause` allows.
   *
   * @throws AccessUnreachableError
   */
  async find(kid: string): Promise<CryptoKey | undefined> {
    const now = Date.now();
    const known = this.#keys?.get(kid);
    const age = now - this.#fetchedAt;
    if (known !== undefined && age < this.#keysFor) return known;
    const holds = age < OLDEST ? known : undefined;
    if (this.#keys !== undefined && now - this.#triedAt < this.#pause) return holds;
    try {
      const keys = await fetchKeys(this.#url);
      this.#keys = keys;
      this.#fetchedAt = Date.now();
      return keys.get(kid);
    } catch (error) {
      if (holds !== undefined) return holds;
      throw new AccessUnreachableError(`The keys at \`${this.#url}\` could not be fetched`, { cause: error });
    } finally {
      this.#triedAt = Date.now();
    }
  }
}

async function fetchKeys(url: string): Promise<Map<string, CryptoKey>> {
  // Keys are where they are: a redirect would let somebody else name them.
  const response = await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT) });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`it answered ${response.status}`);
  }
  const body = capped(response.body, LARGEST, () => new Error(`it is longer than ${LARGEST} bytes`));
  const set = (await new Response(body).json()) as { keys?: unknown } | null;
  if (!Array.isArray(set?.keys)) throw new Error("it is no set of keys");
  const keys = new Map<string, CryptoKey>();
  for (const jwk of set.keys as unknown[]) {
    const key = await importKey(jwk);
    if (key !== undefined) keys.set((jwk as { kid: string }).kid, key);
  }
  if (keys.size === 0) throw new Error("there is no key for RS256 in it");
  return keys;
}

/** A key that is not for this, or not whole, is passed over: the others are as good as they were. */
async function importKey(jwk: unknown): Promise<CryptoKey | undefined> {
  if (typeof jwk !== "object" || jwk === null) return undefined;
  const { kid, kty, alg = "RS256", use = "sig", n, e } = jwk as Record<string, unknown>;
  if (typeof kid !== "string" || kty !== "RSA" || alg !== "RS256" || use !== "sig") return undefined;
  if (typeof n !== "string" || typeof e !== "string") return undefined;
  try {
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("jwk", { kty, n, e }, algorithm, false, ["verify"]);
    const { modulusLength } = key.algorithm as RsaHashedKeyAlgorithm;
    return modulusLength >= LEAST_BITS ? key : undefined;
  } catch {
    return undefined;
  }
}
