/** The report of a scan in each format: read a line a result, and written while it is read, so that no report is too long. */

import { SarifWriter } from "../scan/sarif.js";
import type { PluginResult, Report } from "../scan/types.js";
import { streamed } from "./streamed.js";

/** The formats that are written by somebody else. */
export interface ReportWriters {
  /** `toCsv` of `tidegate/scan`. It is given some results at a time, and none for the line of names that goes before. */
  csv?: (report: Report) => string;
  /** Is given the whole report, so reports beyond 8 MiB are not written. */
  html?: (report: Report) => string;
}

/** How reports are sent. HTML made of what strangers said runs nothing and belongs to no origin. */
export const FORMATS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  json: { "content-type": "application/json" },
  ndjson: { "content-type": "application/x-ndjson; charset=utf-8" },
  sarif: { "content-type": "application/sarif+json" },
  csv: { "content-type": "text/csv; charset=utf-8" },
  html: { "content-type": "text/html; charset=utf-8", "content-security-policy": "sandbox" },
};

/** The most of a report that is in memory at once, in characters of its lines. */
const MOST_AT_ONCE = 8_388_608;

type Lines = ReadableStream<Uint8Array>;

/** The body of a report in a format other than JSON; `undefined` where it is too long for that. */
export async function bodyOf(
  format: string,
  lines: Lines,
  writers: ReportWriters,
): Promise<ReadableStream<Uint8Array> | string | undefined> {
  const { csv, html } = writers;
  if (format === "csv" && csv !== undefined) return streamed(asCsv(lines, csv));
  if (format === "sarif") return streamed(asSarif(lines));
  if (format === "html" && html !== undefined) return whole(lines, html);
  return lines;
}

async function* asCsv(lines: Lines, write: (report: Report) => string): AsyncGenerator<string> {
  let names: string | undefined;
  for await (const { head, results } of piecesOf(lines)) {
    // Every piece is a table of its own. Its targets and what was refused stand in none of its rows.
    const empty = { ...head, targets: [], invalid: [] };
    if (names === undefined) yield (names = write(empty));
    if (results.length > 0) yield write({ ...empty, results }).slice(names.length);
  }
}

async function* asSarif(lines: Lines): AsyncGenerator<string> {
  const writer = new SarifWriter();
  yield writer.begin();
  let last: Report | undefined;
  for await (const { head, results } of piecesOf(lines)) {
    last = head;
    const text = writer.add(results);
    if (text !== "") yield text;
  }
  if (last !== undefined) yield writer.end(last);
}

async function whole(lines: Lines, write: (report: Report) => string): Promise<string | undefined> {
  let report: Report | undefined;
  let length = 0;
  for await (const piece of piecesOf(lines)) {
    report ??= piece.head;
    length += piece.length;
    if (length > MOST_AT_ONCE) return undefined;
    report.results.push(...piece.results);
  }
  return report && write(report);
}

interface Piece {
  /** The report without its results. */
  head: Report;
  results: PluginResult[];
  /** Characters of its lines. */
  length: number;
}

async function* piecesOf(lines: Lines): AsyncGenerator<Piece> {
  let head: Report | undefined;
  for await (const texts of linesOf(lines)) {
    const results: PluginResult[] = [];
    for (const text of texts) {
      const line = JSON.parse(text) as { report?: Report; result?: PluginResult };
      if (line.report !== undefined) head = line.report;
      else if (line.result !== undefined) results.push(line.result);
    }
    if (head !== undefined)
      yield { head, results, length: texts.reduce((sum, text) => sum + text.length, 0) };
  }
}

/** The lines that have come to their end, whenever there are some. */
async function* linesOf(body: Lines): AsyncGenerator<string[]> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let begun: string[] = [];
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const text = decoder.decode(part.value, { stream: true });
      begun.push(text);
      if (!text.includes("\n")) continue;
      const lines = begun.join("").split("\n");
      begun = [lines.pop() ?? ""];
      yield lines;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
