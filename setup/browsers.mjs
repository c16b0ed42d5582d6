/**
 * The browsers that tests drive: found where they are, installed by apt-get where we may, named as missing otherwise.
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run, step } from "./step.mjs";

/** @typedef {{ name: string, debian: string[], find(): string | undefined }} Browser */

/** @type {Record<"chromium" | "firefox" | "webkit", Browser>} */
export const browsers = {
  chromium: {
    name: "Chromium",
    debian: ["chromium", "fonts-liberation"],
    find: () => onPath("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
  },
  firefox: {
    name: "Firefox",
    debian: ["firefox-esr"],
    find: () => onPath("firefox-esr", "firefox"),
  },
  webkit: {
    name: "WebKit (MiniBrowser)",
    debian: ["webkit2gtk-driver", "xvfb", "xauth"],
    find: () => (onPath("xvfb-run") ? miniBrowser() : undefined),
  },
};

/** Why a browser is missing, or `undefined` once it is there. */
export async function installBrowser(key) {
  const browser = browsers[key];
  if (browser.find()) return undefined;
  const command = `apt-get install ${browser.debian.join(" ")}`;
  if (!onPath("apt-get"))
    return `${browser.name} is not installed, and there is no apt-get to install it with`;
  if (process.getuid?.() !== 0) return `${browser.name} is not installed; \`sudo ${command}\` brings it`;
  const options = { quiet: true, timeout: 600_000, env: { DEBIAN_FRONTEND: "noninteractive" } };
  await step(`installing ${browser.name}`, async () => {
    await refreshPackageLists(options);
    await run("apt-get", ["install", "-y", "--no-install-recommends", ...browser.debian], options);
  });
  return browser.find() ? undefined : `${browser.name} is not installed and \`${command}\` did not succeed`;
}

let refreshed;
function refreshPackageLists(options) {
  refreshed ??= run("apt-get", ["update"], options);
  return refreshed;
}

/** The first of these programs that PATH leads to. */
export function onPath(...names) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  for (const name of names) {
    const found = folders.map((folder) => join(folder, name)).find(existsSync);
    if (found) return found;
  }
  return undefined;
}

function miniBrowser() {
  return [
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.0/MiniBrowser",
    "/usr/lib64/webkit2gtk-4.1/MiniBrowser",
    "/usr/libexec/webkit2gtk-4.1/MiniBrowser",
  ].find(existsSync);
}
