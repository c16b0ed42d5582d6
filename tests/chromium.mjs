/**
 * Chromium as tests start it: headless, quiet on the network, with a profile of its own.
 */

import { chromium } from "playwright-core";
import { browsers } from "../setup/browsers.mjs";

/** Launches the machine's Chromium; the caller closes it. */
export function launchChromium(options = {}) {
  const executablePath = browsers.chromium.find();
  if (!executablePath) throw new Error("Chromium is not installed: `npm test` installs it, or says how");
  return chromium.launch({
    executablePath,
    headless: true,
    ...options,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...(options.args ?? []),
    ],
  });
}
