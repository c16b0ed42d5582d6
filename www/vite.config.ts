import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Static files that work on any host: relative addresses, nothing inlined that a strict CSP would refuse.
// `tidegate/scan` is found through the package's own exports, as a stranger's project would find it.
export default defineConfig({
  root: here("."),
  base: "./",
  build: {
    outDir: here("../dist/page"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    chunkSizeWarningLimit: 2000, // the wasm of the scans, as letters
  },
});
