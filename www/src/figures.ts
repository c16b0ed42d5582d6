// Numbers as an instrument shows them: the same width whatever the value, the unit always there.

const NONE = "–";

/** `8 ms`, `1.2 s`, `2 min 5 s`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  if (ms < 1) return ms <= 0 ? "0 ms" : "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A count or a rate: whole from 10 on, one digit after the point below. */
export function amount(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  if (value >= 10_000) return `${(value / 1000).toFixed(0)}k`;
  return value >= 10 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}

export function percent(share: number): string {
  const value = share * 100;
  if (!Number.isFinite(value)) return NONE;
  return `${value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

export function megabytes(bytes: number | null): string {
  if (bytes === null) return NONE;
  const value = bytes / 2 ** 20;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} MB`;
}

/** `1 target`, `2 targets`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Time of day, to the second. */
export function clock(epochMs: number): string {
  return new Date(epochMs).toLocaleTimeString("en-GB");
}
