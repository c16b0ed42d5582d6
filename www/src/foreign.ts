// Text that a target wrote. It is shown, never trusted: invisible and direction-changing characters are
// spelled out, so that what is read is what was sent (https://trojansource.codes), and length is bounded.

const LONGEST = 2000;

// Controls but tab and newline, soft hyphen, zero-width and bidirectional controls, separators, byte order mark, tags.
const UNSEEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** What a target said, fit to be put into a text node. */
export function foreign(text: string, longest = LONGEST): string {
  const visible = text.slice(0, longest).replace(UNSEEN, spell);
  return text.length > longest
    ? `${visible}… (${(text.length - longest).toLocaleString("en")} more characters)`
    : visible;
}

/** The same on one line, for lists. */
export function foreignLine(text: string, longest = 200): string {
  return foreign(
    text
      .slice(0, longest * 4)
      .replace(/\s+/g, " ")
      .trim(),
    longest,
  );
}

function spell(character: string): string {
  return `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}
