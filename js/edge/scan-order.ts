/** What clients send to have scans made, and how they are told no. */

import type { PluginName } from "../scan/types.js";

/** The body of `POST /scan` and of `POST /scans`. */
export interface Order {
  targets: string[];
  plugins?: PluginName[];
}

/** Reads an order of at most so many targets, in a body of at most so many bytes; a sentence where it is none. */
export async function readOrder(
  request: Request,
  maxTargets: number,
  bytes: number,
): Promise<Order | string> {
  let order: { targets?: unknown; plugins?: unknown };
  try {
    const text = await readText(request, bytes);
    if (text === undefined) return `the body is longer than ${bytes} bytes`;
    order = JSON.parse(text);
  } catch {
    return "expected JSON";
  }
  const { targets, plugins } = typeof order === "object" && order !== null ? order : {};
  if (!isTexts(targets) || targets.length === 0) return "expected `targets` to be a list of addresses";
  if (targets.length > maxTargets) return `expected at most ${maxTargets} targets`;
  if (plugins !== undefined && !isTexts(plugins)) return "expected `plugins` to be a list of names";
  return plugins === undefined ? { targets } : { targets, plugins: plugins as PluginName[] };
}

/** The body, unless it is too long: a length that it claims is not believed. */
async function readText(request: Request, bytes: number): Promise<string | undefined> {
  if (request.body === null) return "";
  const reader = request.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let read = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    read += part.value.byteLength;
    if (read > bytes) {
      await reader.cancel();
      return undefined;
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string" && each.length <= 2048);
}

/** No, in one sentence, and when to come back. */
export function refusal(status: number, error: string, retryAfterMs?: number): Response {
  const headers: Record<string, string> = {};
  if (status === 401) headers["www-authenticate"] = "Bearer";
  if (retryAfterMs !== undefined)
    headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  return Response.json({ error }, { status, headers });
}

/** An address as the engine reads it: a list of addresses is separated by commas, and what follows `#` is never sent. */
export function named(url: URL): string {
  const bare = new URL(url);
  bare.hash = "";
  return bare.href.replaceAll(",", "%2C");
}
