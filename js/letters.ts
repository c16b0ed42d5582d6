/**
 * A module that lies inside a script, as letters: see `xtask/src/letters.rs`, which writes them.
 */

/** How many bytes are one letter; the two letters beyond say that another follows. */
const ALONE = 86;

/** The bytes that letters stand for. */
export function bytesOf(letters: string): Uint8Array<ArrayBuffer> {
  const values = new Uint8Array(128);
  let value = 0;
  for (let code = 33; code < 127; code += 1) {
    if (!"\"'`\\$<".includes(String.fromCharCode(code))) values[code] = value++;
  }
  const bytes = new Uint8Array(letters.length);
  let length = 0;
  for (let at = 0; at < letters.length; at += 1) {
    let byte = values[letters.charCodeAt(at)] as number;
    if (byte >= ALONE) {
      at += 1;
      byte = (byte - ALONE + 1) * ALONE + (values[letters.charCodeAt(at)] as number);
    }
    bytes[length++] = byte;
  }
  return bytes.slice(0, length);
}
