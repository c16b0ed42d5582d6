/** Which IP addresses belong to the public internet. */

/** What kind of place an address is in; only `public` ones are anybody's to call. */
export type AddressKind = "public" | "private";

/** Reads an address as a URL's `hostname` shows it: dotted IPv4, or IPv6 in brackets or without. Undefined for a name. */
export function kindOfAddress(text: string): AddressKind | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare.includes(":")) return kindOfV6(bare);
  const v4 = parseV4(bare);
  return v4 === undefined ? undefined : kindOfV4(v4);
}

/** A block of addresses, in CIDR notation (RFC 4632, RFC 4291): an address with nothing set behind its prefix, `/`, and the bits of that. */
export interface AddressBlock {
  /** Words of 16 bits: two for IPv4, eight for IPv6. */
  readonly words: readonly number[];
  readonly bits: number;
}

/** Reads a block, its address with brackets or without; undefined where it is none. */
export function parseBlock(address: string, bits: number): AddressBlock | undefined {
  const words = wordsOfAddress(address);
  if (words === undefined || bits > words.length * 16) return undefined;
  const block = { words, bits };
  // One with something set behind the prefix is a slip of whoever wrote it.
  return words.every((word, index) => (word & ~maskAt(bits, index)) === 0) ? block : undefined;
}

/** Whether an address, as a URL's `hostname` shows it, is one of a block. */
export function isWithin({ words, bits }: AddressBlock, host: string): boolean {
  const address = wordsOfAddress(host);
  if (address === undefined || address.length !== words.length) return false;
  return words.every((word, index) => ((address[index] as number) & maskAt(bits, index)) === word);
}

/** Which bits of the word at an index belong to a prefix. */
function maskAt(bits: number, index: number): number {
  const of = Math.min(16, Math.max(0, bits - index * 16));
  return (0xffff << (16 - of)) & 0xffff;
}

function wordsOfAddress(text: string): number[] | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare.includes(":")) return parseV6(bare);
  const v4 = parseV4(bare);
  return v4 === undefined ? undefined : [Math.floor(v4 / 65_536), v4 % 65_536];
}

/**
 * Blocks of IPv4 that are not public: the IANA IPv4 Special-Purpose Address Registry, multicast, and what is reserved.
 * Clouds answer with credentials on 169.254.169.254 and 100.100.100.200.
 */
const V4_BLOCKS: readonly (readonly [first: string, bits: number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  // The address of Azure's platform, which is its own inside and nobody's outside.
  ["168.63.129.16", 32],
];

const v4Blocks = V4_BLOCKS.map(([first, bits]) => ({
  first: parseV4(first) as number,
  size: 2 ** (32 - bits),
}));

function kindOfV4(address: number): AddressKind {
  return v4Blocks.some(({ first, size }) => address >= first && address < first + size)
    ? "private"
    : "public";
}

/** Four decimal parts; what else a URL takes for IPv4 (octal, hexadecimal, fewer parts) it has turned into this before. */
function parseV4(text: string): number | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const parts = text.split(".").map(Number);
  return parts.every((part) => part <= 255) ? parts.reduce((sum, part) => sum * 256 + part, 0) : undefined;
}

/**
 * Only global unicast, 2000::/3, is public, and of that not what the IANA IPv6 Special-Purpose Address Registry takes out,
 * nor what carries an IPv4 address inside (Teredo, 6to4), because a translator on the way would unwrap it. Mapped addresses
 * (::ffff:0:0/96) and NAT64 (64:ff9b::/96) lie outside anyway.
 */
function kindOfV6(text: string): AddressKind {
  const words = parseV6(text);
  if (words === undefined) return "private";
  const [first, second] = words as [number, number];
  if (first >> 13 !== 1) return "private";
  if (first === 0x2001 && second < 0x200) return "private";
  if (first === 0x2001 && second === 0xdb8) return "private";
  if (first === 0x2002 || (first === 0x3fff && second < 0x1000)) return "private";
  // Clouds' metadata over IPv6 lies in unique local space (fd00:ec2::254), which is not in 2000::/3.
  return "public";
}

function parseV6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = wordsOf(halves[0] as string);
  const tail = halves.length === 2 ? wordsOf(halves[1] as string) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

function wordsOf(text: string): number[] | undefined {
  if (text === "") return [];
  const words: number[] = [];
  for (const part of text.split(":")) {
    const v4 = part.includes(".") ? parseV4(part) : undefined;
    if (v4 !== undefined) words.push(Math.floor(v4 / 65_536), v4 % 65_536);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) words.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return words;
}
