//! What tells a credential from what merely looks like one: randomness, checksums, inner structure, and the words that
//! people put where a credential would go.

use super::classes::Class;
use super::rules::Confidence;

/// A test of a candidate's inner structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The last six characters are a CRC-32 of those before them, in base 62: tokens of GitHub and npm
    /// (<https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>).
    Crc32,
    /// The first part is a JSON object, in base64url, that names an algorithm (RFC 7519).
    Jwt,
    /// Base64 of `name:password` (RFC 7617).
    Basic,
    /// Not a word: a digit or a sign beside letters.
    Mixed,
}

impl Check {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "crc32" => Some(Self::Crc32),
            "jwt" => Some(Self::Jwt),
            "basic" => Some(Self::Basic),
            "mixed" => Some(Self::Mixed),
            _ => None,
        }
    }

    /// What `secret` is worth; `None` where it is no credential.
    pub(super) fn judge(self, secret: &[u8]) -> Option<Confidence> {
        match self {
            Self::Crc32 => Some(if checksum_fits(secret) {
                Confidence::High
            } else {
                Confidence::Low
            }),
            Self::Jwt => names_an_algorithm(secret).then_some(Confidence::High),
            Self::Basic => {
                let decoded = decoded(secret);
                let printable = decoded.iter().all(|byte| !byte.is_ascii_control());
                let colon = decoded.iter().position(|byte| *byte == b':')?;
                let password = decoded.get(colon + 1..)?;
                (printable && password.len() >= 3 && !is_placeholder(password)).then_some(Confidence::High)
            }
            Self::Mixed => {
                let letter = secret.iter().any(u8::is_ascii_alphabetic);
                let other = secret.iter().any(|byte| !byte.is_ascii_alphabetic());
                (letter && other).then_some(Confidence::Medium)
            }
        }
    }
}

/// Values that documentation shows, and that open nothing.
const DOCUMENTED: [&str; 2] = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"];

/// Whether documentation shows this very value.
pub(super) fn is_documented(secret: &[u8]) -> bool {
    DOCUMENTED.iter().any(|shown| shown.as_bytes() == secret)
}

/// Words that stand for a credential and are none.
const STAND_INS: [&str; 14] = [
    "pass",
    "password",
    "passwd",
    "secret",
    "token",
    "user",
    "admin",
    "root",
    "test",
    "null",
    "undefined",
    "true",
    "false",
    "string",
];

/// Words that say of a value that it is none.
const HINTS: [&str; 13] = [
    "example",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "your",
    "dummy",
    "sample",
    "redacted",
    "xxxx",
    "****",
    "....",
    "insert",
];

/// Whether this is what people write where a credential would go.
pub(super) fn is_placeholder(secret: &[u8]) -> bool {
    let begins_as_template = matches!(secret.first(), Some(b'$' | b'%' | b'{' | b'#' | b'[' | b'('));
    begins_as_template
        || STAND_INS
            .iter()
            .any(|word| secret.eq_ignore_ascii_case(word.as_bytes()))
        || HINTS.iter().any(|hint| contains(secret, hint.as_bytes()))
}

fn contains(text: &[u8], lower: &[u8]) -> bool {
    text.windows(lower.len())
        .any(|window| window.eq_ignore_ascii_case(lower))
}

/// Shannon's entropy of a text, in bits a character.
pub(super) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    let seen = counts.iter().filter(|count| **count > 0).map(share);
    seen.map(|share| -share * share.log2()).sum()
}

fn checksum_fits(secret: &[u8]) -> bool {
    let start = secret
        .iter()
        .position(|byte| *byte == b'_')
        .map_or(0, |at| at + 1);
    let Some((body, sum)) = secret
        .get(start..)
        .and_then(|token| token.split_last_chunk::<6>())
    else {
        return false;
    };
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => u64::from(byte - b'0'),
        b'A'..=b'Z' => u64::from(byte - b'A') + 10,
        _ => u64::from(byte.wrapping_sub(b'a')) + 36,
    };
    let told = sum.iter().fold(0, |value, byte| value * 62 + digit(byte));
    told == u64::from(crc32(body))
}

/// CRC-32 as in ISO 3309, bit by bit: it is asked of a few dozen characters, now and then.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn names_an_algorithm(token: &[u8]) -> bool {
    let header = token.split(|byte| *byte == b'.').next().unwrap_or_default();
    let header = decoded(header);
    header.first() == Some(&b'{') && contains(&header, b"\"alg\"")
}

/// Base64 of either alphabet, up to the first character that is in neither.
fn decoded(text: &[u8]) -> Vec<u8> {
    let sextet = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let sextets: Vec<u8> = text.iter().map_while(sextet).collect();
    let triple = |four: &[u8]| {
        let bits = four
            .iter()
            .fold(0_u32, |bits, sextet| bits << 6 | u32::from(*sextet));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes().into_iter().skip(1).take(four.len() * 6 / 8)
    };
    sextets.chunks(4).flat_map(triple).collect()
}

/// Whether a byte would make the word before or behind it longer.
pub(super) fn continues(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| Class::WORD.has(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn entropy_is_shannons() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abab"), 1.0);
        assert_eq!(entropy(b"abcdabcd"), 2.0);
    }

    #[test]
    fn a_checksum_fits_its_own_token_only() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of ISO 3309");
        let token = ["ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].concat();
        assert_eq!(Check::Crc32.judge(token.as_bytes()), Some(Confidence::High));
        let other = token.replace('z', "y");
        assert_eq!(Check::Crc32.judge(other.as_bytes()), Some(Confidence::Low));
    }

    #[test]
    fn base64_is_read_in_both_alphabets_and_up_to_where_it_ends() {
        assert_eq!(decoded(b"aGVsbG8="), b"hello");
        assert_eq!(decoded(b"_-8"), decoded(b"/+8="));
        assert_eq!(
            Check::Basic.judge(b"aGFyYm91cjp0MWRlZ2F0ZQ=="),
            Some(Confidence::High)
        );
        assert_eq!(Check::Basic.judge(b"aGFyYm91cg=="), None);
    }

    #[test]
    fn what_stands_for_a_credential_is_none() {
        for word in [
            "Password",
            "your-api-key",
            "${TOKEN}",
            "%PASS%",
            "xxxxxxxx",
            "CHANGEME",
        ] {
            assert!(is_placeholder(word.as_bytes()), "{word}");
        }
        assert!(!is_placeholder(b"SuperSecretPassword123!"));
        assert!(is_documented(["AKIA", "IOSFODNN7EXAMPLE"].concat().as_bytes()));
    }
}
