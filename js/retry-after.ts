/**
 * Milliseconds that an error's server asked to wait, where it says so: `retryAfterMs`, a `retryAfter` or a `Retry-After`
 * header of the error or of its response, in seconds or as a date (RFC 9110, section 10.2.3).
 */
export function retryAfterOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { retryAfterMs, retryAfter, headers, response } = error as {
    retryAfterMs?: unknown;
    retryAfter?: unknown;
    headers?: unknown;
    response?: { headers?: unknown };
  };
  if (typeof retryAfterMs === "number" && retryAfterMs >= 0) return retryAfterMs;
  return (
    parseRetryAfter(retryAfter) ??
    parseRetryAfter(header(headers)) ??
    parseRetryAfter(header(response?.headers))
  );
}

/** Reads the value of a `Retry-After` header: seconds or a date. */
export function parseRetryAfter(value: unknown): number | undefined {
  if (typeof value === "number") return value >= 0 ? value * 1000 : undefined;
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

function header(headers: unknown): unknown {
  if (typeof headers !== "object" || headers === null) return undefined;
  const { get } = headers as { get?: unknown };
  if (typeof get === "function") return (get as (name: string) => unknown).call(headers, "retry-after");
  return (headers as Record<string, unknown>)["retry-after"];
}
