//! Bytes as letters of a script, for browsers: no bundler has to know of a file beside it.
//!
//! Servers send scripts compressed. Base64 tears bytes apart, so that what repeats in a module no longer repeats in the text, and
//! weighs 30 % more in the end. Here the bytes stay whole: a small one is one letter, any other two, and what comes out of
//! the compressor weighs what the module would have (`core` with gzip: 31.3 KB as it is, 31.8 as letters, 40.3 as base64).
//! `js/letters.ts` reads it.

/// The printable characters of ASCII but those that a string, a template or a page around the script could take for its own.
const RESERVED: &[u8] = b"\"'`\\$<";

/// How many bytes are one letter; two letters remain, which say that another follows.
const ALONE: u8 = 86;

/// The text of some bytes.
pub fn of(bytes: &[u8]) -> String {
    let letters: Vec<char> = (b'!'..=b'~')
        .filter(|letter| !RESERVED.contains(letter))
        .map(char::from)
        .collect();
    let letter = |at: u8| letters.get(usize::from(at));
    bytes
        .iter()
        .flat_map(|byte| {
            let ahead = (byte / ALONE)
                .checked_sub(1)
                .and_then(|times| letter(ALONE + times));
            [ahead, letter(byte % ALONE)]
        })
        .flatten()
        .collect()
}
