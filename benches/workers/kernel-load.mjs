export const WORKERS = 2;
export const PARTS = 64;
/** Bytes of a part. */
export const PART = 1_000_000;
