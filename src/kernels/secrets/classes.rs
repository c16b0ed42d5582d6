//! Sets of characters that runs are made of, one bit each in a table of bytes.

/// A set of ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u32);

impl Class {
    /// Letters, digits and `_`: what continues a word.
    pub(super) const WORD: Self = Self(1 << 31);

    /// The set of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .position(|known| *known == name)
            .map(|bit| Self(1 << bit))
    }

    /// Whether `byte` is in the set.
    #[inline]
    pub(super) fn has(self, byte: u8) -> bool {
        TABLE[byte as usize] & self.0 != 0
    }
}

const NAMES: [&str; 22] = [
    "digit",
    "hex",
    "hex-lower",
    "hex-dash",
    "base32",
    "base32-lower",
    "bech32",
    "base62",
    "base62-dash",
    "base62-dot",
    "base64",
    "base64-equals",
    "base64url",
    "base64url-dot",
    "base64url-equals",
    "entra",
    "bearer",
    "userinfo",
    "value",
    "armoured",
    "upper",
    "lower",
];

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let mut bit = 0;
        while bit < NAMES.len() {
            if holds(bit, byte as u8) {
                table[byte] |= 1 << bit;
            }
            bit += 1;
        }
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_' {
            table[byte] |= Class::WORD.0;
        }
        byte += 1;
    }
    table
}

/// In the order of [`NAMES`].
const fn holds(class: usize, byte: u8) -> bool {
    let alphanumeric = byte.is_ascii_alphanumeric();
    match class {
        0 => byte.is_ascii_digit(),
        1 => byte.is_ascii_hexdigit(),
        2 => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        3 => byte.is_ascii_hexdigit() || byte == b'-',
        4 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
        5 => byte.is_ascii_lowercase() || matches!(byte, b'2'..=b'7'),
        // BIP 173, in capitals.
        6 => alphanumeric && !byte.is_ascii_lowercase() && !matches!(byte, b'1' | b'B' | b'I' | b'O'),
        7 => alphanumeric,
        8 => alphanumeric || byte == b'-',
        9 => alphanumeric || byte == b'.',
        10 => alphanumeric || matches!(byte, b'+' | b'/'),
        11 => alphanumeric || matches!(byte, b'+' | b'/' | b'='),
        12 => alphanumeric || matches!(byte, b'-' | b'_'),
        13 => alphanumeric || matches!(byte, b'-' | b'_' | b'.'),
        14 => alphanumeric || matches!(byte, b'-' | b'_' | b'='),
        15 => alphanumeric || matches!(byte, b'-' | b'_' | b'.' | b'~'),
        // RFC 6750, section 2.1.
        16 => alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'='),
        // RFC 3986, section 3.2.1, but for `:`, which ends the name, and brackets, which begin a placeholder.
        17 => {
            alphanumeric
                || matches!(
                    byte,
                    b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'*' | b'+' | b',' | b';' | b'='
                )
        }
        18 => byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b'<' | b'>'),
        // RFC 7468 and RFC 1421 with their headers, also with line ends written as `\n`.
        19 => {
            alphanumeric
                || matches!(
                    byte,
                    b'+' | b'/' | b'=' | b'\r' | b'\n' | b' ' | b'\t' | b'\\' | b':' | b',' | b'-'
                )
        }
        20 => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_lowercase(),
    }
}
