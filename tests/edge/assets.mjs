/** Static assets beside a worker, as Cloudflare serves them under the binding `ASSETS`: files of a folder, by their types, and `index.html` for folders. */

/** The worker behind the binding; the folder itself is its binding `FILES`. */
export const ASSETS = `
const TYPES = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  svg: "image/svg+xml",
  wasm: "application/wasm",
};

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const path = pathname.endsWith("/") ? pathname + "index.html" : pathname;
    if (request.method !== "GET" && request.method !== "HEAD") return new Response(null, { status: 405 });
    const { status, body } = await env.FILES.fetch("http://files" + path, { method: request.method });
    if (status !== 200) return new Response("not found\\n", { status: 404 });
    const type = TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream";
    return new Response(body, { headers: { "content-type": type } });
  },
};
`;
