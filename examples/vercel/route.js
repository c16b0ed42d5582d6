// A function of Vercel's edge runtime, which compiles no WebAssembly while it runs: the module is imported as one, and given to the slim entry.
import { init, Pool } from "tidegate/slim";
import module from "tidegate/tidegate.wasm?module";

export const config = { runtime: "edge" };

const ready = init(module);
let upstream;

export default async function route() {
  await ready;
  upstream ??= new Pool({ name: "upstream", concurrency: 6 });
  return upstream.run(({ signal }) => fetch(process.env.UPSTREAM, { signal }));
}
