//! SHA-256 (FIPS 180-4), of bytes and of the chunks of them.
//!
//! One message cannot be hashed faster than its blocks follow each other, but chunks do not wait for one another: they are
//! hashed four at a time, one in each lane of a vector. The compression function is written once, over a `Word` that is a
//! `u32` or four of them.

mod four;
mod word;

use four::{Four, LANES};
use word::Word;

/// The 32 bytes of a hash.
pub type Digest = [u8; 32];

/// The hash of `bytes`.
///
/// # Examples
/// ```
/// use tidegate::kernels::sha256::{digest, hex};
///
/// let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// assert_eq!(hex(&digest(b"")), empty);
/// ```
pub fn digest(bytes: &[u8]) -> Digest {
    let mut state = INITIAL;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        compress(&mut state, &words(block));
    }
    let (tail, blocks) = tail(rest, bytes.len());
    for block in tail.as_chunks::<BLOCK>().0.iter().take(blocks) {
        compress(&mut state, &words(block));
    }
    written(state)
}

/// The hashes of the chunks of `bytes`, each `size` long but for the last; none of no bytes. A `size` of 0 counts as 1.
///
/// Full chunks are hashed four at a time.
///
/// # Examples
/// ```
/// use tidegate::kernels::sha256::{chunks, digest};
///
/// let bytes = vec![7; 1000];
/// let hashes = chunks(&bytes, 400);
/// assert_eq!(hashes, [digest(&bytes[..400]), digest(&bytes[..400]), digest(&bytes[..200])]);
/// ```
pub fn chunks(bytes: &[u8], size: usize) -> Vec<Digest> {
    let size = size.max(1);
    let mut hashes = Vec::with_capacity(bytes.len().div_ceil(size));
    let mut groups = bytes.chunks_exact(size.saturating_mul(LANES));
    for group in &mut groups {
        hashes.extend(four(core::array::from_fn(|lane| &group[lane * size..][..size])));
    }
    let mut rest = groups.remainder().chunks_exact(size);
    let left: Vec<&[u8]> = rest.by_ref().collect();
    match left.first() {
        Some(first) if left.len() >= Four::WORTH => {
            let lanes = core::array::from_fn(|lane| *left.get(lane).unwrap_or(first));
            hashes.extend(four(lanes).into_iter().take(left.len()));
        }
        _ => hashes.extend(left.into_iter().map(digest)),
    }
    hashes.extend((!rest.remainder().is_empty()).then(|| digest(rest.remainder())));
    hashes
}

/// A digest as people read it.
pub fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    digest
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

const BLOCK: usize = 64;

/// The hashes of four messages of the same length.
fn four(lanes: [&[u8]; LANES]) -> [Digest; LANES] {
    let size = lanes[0].len();
    let split = lanes.map(|lane| lane.as_chunks::<BLOCK>());
    let mut state = INITIAL.map(Four::splat);
    for block in 0..size / BLOCK {
        compress(&mut state, &woven(split.map(|(blocks, _)| &blocks[block])));
    }
    let tails = split.map(|(_, rest)| tail(rest, size));
    for block in 0..tails[0].1 {
        let at = |index: usize| &tails[index].0.as_chunks::<BLOCK>().0[block];
        compress(&mut state, &woven(core::array::from_fn(at)));
    }
    let state = state.map(Four::lanes);
    core::array::from_fn(|lane| written(state.map(|lanes| lanes[lane])))
}

/// What stands behind the last full block: the rest, a 1 bit, zeros, and the length in bits. One block or two.
fn tail(rest: &[u8], length: usize) -> ([u8; 2 * BLOCK], usize) {
    let mut tail = [0; 2 * BLOCK];
    tail[..rest.len()].copy_from_slice(rest);
    tail[rest.len()] = 0x80;
    let blocks = if rest.len() < BLOCK - 8 { 1 } else { 2 };
    let end = blocks * BLOCK;
    tail[end - 8..end].copy_from_slice(&(length as u64).wrapping_mul(8).to_be_bytes());
    (tail, blocks)
}

fn words(block: &[u8; BLOCK]) -> [u32; 16] {
    let (words, _) = block.as_chunks::<4>();
    core::array::from_fn(|index| u32::from_be_bytes(words[index]))
}

fn woven(blocks: [&[u8; BLOCK]; LANES]) -> [Four; 16] {
    let lanes = blocks.map(words);
    core::array::from_fn(|index| Four::of(lanes.map(|lane| lane[index])))
}

fn written(state: [u32; 8]) -> Digest {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// FIPS 180-4, 6.2.2.
#[inline(always)]
fn compress<W: Word>(state: &mut [W; 8], block: &[W; 16]) {
    let mut schedule = *block;
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (round, constant) in ROUNDS.iter().enumerate() {
        let word = if round < 16 {
            schedule[round]
        } else {
            let at = |back: usize| schedule[(round - back) % 16];
            let (w15, w2) = (at(15), at(2));
            let low = w15
                .rotated::<7>()
                .xor(w15.rotated::<18>())
                .xor(w15.shifted::<3>());
            let high = w2.rotated::<17>().xor(w2.rotated::<19>()).xor(w2.shifted::<10>());
            let word = at(16).plus(low).plus(at(7)).plus(high);
            schedule[round % 16] = word;
            word
        };
        let choice = g.xor(e.and(f.xor(g)));
        let sum1 = e.rotated::<6>().xor(e.rotated::<11>()).xor(e.rotated::<25>());
        let first = h.plus(sum1).plus(choice).plus(W::splat(*constant)).plus(word);
        let sum0 = a.rotated::<2>().xor(a.rotated::<13>()).xor(a.rotated::<22>());
        let majority = a.and(b).xor(c.and(a.xor(b)));
        (h, g, f, e) = (g, f, e, d.plus(first));
        (d, c, b, a) = (c, b, a, first.plus(sum0.plus(majority)));
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *old = old.plus(new);
    }
}

/// The first 32 bits of the fractional parts of the square roots of the first 8 primes.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The same of the cube roots of the first 64 primes.
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_vectors_of_nist_come_out() {
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        for (message, hash) in [
            (
                &b"abc"[..],
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                b"",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                long,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(&digest(message)), hash);
        }
        let million = vec![b'a'; 1_000_000];
        let hash = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(hex(&digest(&million)), hash);
    }

    #[test]
    fn chunks_are_hashed_as_if_each_were_alone() {
        let bytes: Vec<u8> = (0..5000_u32).map(|n| (n * 7 + n / 256) as u8).collect();
        for size in [1, 55, 56, 63, 64, 65, 119, 120, 500, 1250, 4999, 5000, 6000] {
            let alone: Vec<Digest> = bytes.chunks(size).map(digest).collect();
            assert_eq!(chunks(&bytes, size), alone, "chunks of {size}");
        }
        assert_eq!(chunks(&bytes[..3], 0).len(), 3);
        assert!(chunks(&[], 8).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks(bytes in proptest::collection::vec(any::<u8>(), 0..700), size in 1_usize..200) {
            let alone: Vec<Digest> = bytes.chunks(size).map(digest).collect();
            prop_assert_eq!(chunks(&bytes, size), alone);
        }
    }
}
