/** Bearer tokens, compared without telling by the time it takes how much of one was right. */
export class Tokens {
  readonly #tokens: readonly string[];
  // Values and not promises: what another request is waiting for is not waited for.
  #known: Uint8Array[] | undefined;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  /** Which of the tokens the request bears, if any. */
  async bearer(request: Request): Promise<number | undefined> {
    const [, given] = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
    if (given === undefined) return undefined;
    const known = this.#known ?? (this.#known = await Promise.all(this.#tokens.map(digest)));
    const asked = await digest(given);
    let found: number | undefined;
    // All of them, whichever it is.
    for (const [index, token] of known.entries()) if (isSame(token, asked)) found = index;
    return found;
  }
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (let index = 0; index < one.length; index += 1)
    difference |= (one[index] as number) ^ (other[index] as number);
  return difference === 0;
}
