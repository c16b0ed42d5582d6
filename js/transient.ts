import {
  isNeverPossibleError,
  isQueueFullError,
  isQueueTimeoutError,
  isRateLimitedError,
  isTimeoutError,
} from "./errors.js";

// What sockets and resolvers call the failures that a second try often heals (Node, undici, Deno and Bun use the same names).
const TRANSIENT_CODES = new Set([
  "ECONNRESET",
  "ECONNREFUSED",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_SOCKET",
]);

// RFC 9110 and RFC 6585: the statuses that speak of the moment and not of the request.
const TRANSIENT_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Whether no rule may try again: an abort, what can never be, a target that says it is overloaded. */
export function isFinal(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { name, overloaded } = error as Record<string, unknown>;
  return overloaded === true || name === "AbortError" || isNeverPossibleError(error);
}

/**
 * Whether an error says that it is worth another try (`retryable`), or is known to be: a timeout, a full queue, a lost
 * connection, a status of the moment. Never an abort, and never a target that says it is overloaded.
 */
export function isTransient(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { name, code, status, statusCode, retryable, cause } = error as Record<string, unknown>;
  if (isFinal(error)) return false;
  if (typeof retryable === "boolean") return retryable;
  if (
    isTimeoutError(error) ||
    isQueueTimeoutError(error) ||
    isQueueFullError(error) ||
    isRateLimitedError(error)
  )
    return true;
  if (TRANSIENT_STATUSES.has((status ?? statusCode) as number)) return true;
  if (TRANSIENT_CODES.has(code as string)) return true;
  // `fetch` wraps what the socket said, or, in browsers, says nothing more than that it failed.
  if (name === "TypeError" && cause !== undefined) return isTransient(cause);
  return name === "TypeError" && /fetch|network|load failed/i.test(String((error as Error).message));
}
