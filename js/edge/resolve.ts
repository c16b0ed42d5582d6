/** Names to addresses, for platforms that resolve none for a program. */

import { capped } from "./capped.js";

const TIMEOUT = 5000;
/** Far longer than any answer about one name: DNS itself ends at 64 KiB (RFC 1035, 4.2.2). */
const LARGEST = 131_072;

/**
 * Names to addresses by DNS over HTTPS, for platforms that give none: `new TargetGuard({ resolve: resolveOverHttps() })`. A question takes at
 * most 5 s, an answer is read to 128 KiB, and the endpoint's redirects are not followed.
 *
 * @throws TypeError where `endpoint` is no URL
 * @default endpoint Cloudflare's own, as the platform resolves by it
 */
export function resolveOverHttps(
  endpoint = "https://cloudflare-dns.com/dns-query",
): (name: string) => Promise<string[]> {
  const base = new URL(endpoint);
  const ask = async (name: string, type: string): Promise<string[]> => {
    const url = new URL(base);
    url.searchParams.set("name", name);
    url.searchParams.set("type", type);
    const response = await fetch(url, {
      headers: { accept: "application/dns-json" },
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`\`${base.host}\` answered ${response.status}`);
    }
    const tooLong = () => new Error(`\`${base.host}\` answered more than ${LARGEST} bytes`);
    const said: unknown = await new Response(capped(response.body, LARGEST, tooLong)).json();
    const { Answer: answers = [] } = said as { Answer?: { type: number; data: string }[] };
    // 1 is A and 28 is AAAA; the names on the way (CNAME) are answered with them.
    return answers.filter(({ type }) => type === 1 || type === 28).map(({ data }) => data);
  };
  return async (name) => (await Promise.all([ask(name, "A"), ask(name, "AAAA")])).flat();
}
