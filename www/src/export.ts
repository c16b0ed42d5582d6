// The report as a file. Made when asked for, and let go of at once.

import type { Report } from "tidegate/scan";

/** Offers text as a download. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download begins later than the click returns
}

/** `tidegate-2026-11-20T22-37-05.json`. */
export function fileName(report: Report, extension: string): string {
  return `tidegate-${new Date(report.started).toISOString().slice(0, 19).replaceAll(":", "-")}.${extension}`;
}
