// How a worker on the edge is asked, and how it says no.

/** Where a worker is, and what lets this page ask it. */
export interface EdgeWorker {
  /** The address under which `scan` is. */
  url: string;
  /** Empty where something else says who asks, as Cloudflare Access does. */
  token: string;
}

/** Asks the worker for something below its address. */
export async function ask(worker: EdgeWorker, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (worker.token !== "") headers.set("authorization", `Bearer ${worker.token}`);
  try {
    return await fetch(new URL(path, base(worker.url)), { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Error("The worker cannot be reached, or does not allow this page's origin (ORIGINS).");
  }
}

/** An order as the worker takes it. */
export function ordering(order: object): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(order),
  };
}

/** An address that was typed: a host alone is meant as https, and a path as a folder. */
export function base(url: string): URL {
  const address = new URL(/^https?:\/\//i.test(url) ? url : `https://${url}`);
  if (!address.pathname.endsWith("/")) address.pathname += "/";
  return address;
}

/** What a worker says that does not do what it was asked for. */
export async function refusalOf(response: Response): Promise<string> {
  const said: unknown = await response.json().catch(() => undefined);
  const error =
    typeof said === "object" && said !== null && "error" in said && typeof said.error === "string"
      ? said.error.slice(0, 300)
      : `it answered ${response.status}`;
  const seconds = response.headers.get("retry-after");
  return `The worker refuses: ${error}${seconds === null ? "" : `, come back in ${seconds} s`}.`;
}

/** Its answer line by line, as it comes; without those that are empty. */
export async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") yield line;
    }
    if (rest !== "") yield rest;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
