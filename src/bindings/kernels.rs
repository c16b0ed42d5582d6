//! The exports of the kernels module: bytes and numbers in, bytes and numbers out, no logic. Only workers load it.

#![allow(unreachable_pub)] // wasm-bindgen exports what is `pub`, whatever the crate's own paths say.

use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::kernels::fingerprint::Fingerprint;
use crate::kernels::secrets::{Confidence, SecretSearch};
use crate::kernels::sha256;
use crate::kernels::statistics::{self, Histogram, Summary};

#[wasm_bindgen]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    sha256::digest(bytes).to_vec()
}

/// The hashes of the chunks, one after the other.
#[wasm_bindgen]
pub fn sha256_chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    sha256::chunks(bytes, size).concat()
}

/// The numbers of a fingerprint.
#[wasm_bindgen]
pub fn fingerprint(text: &[u8]) -> Vec<u32> {
    Fingerprint::of(text).as_words().to_vec()
}

/// How alike two fingerprints are; NaN where one is none.
#[wasm_bindgen]
pub fn similarity(one: &[u32], other: &[u32]) -> f64 {
    match (one.try_into(), other.try_into()) {
        (Ok(one), Ok(other)) => Fingerprint::from_words(one).similarity(&Fingerprint::from_words(other)),
        _ => f64::NAN,
    }
}

/// `[count, skipped, min, max, mean, squares, variance]`
#[wasm_bindgen]
pub fn summary(values: &[f64]) -> Vec<f64> {
    cells(&Summary::of(values))
}

/// The summary of both of two, whose cells are as above; a variance more or less does not matter.
#[wasm_bindgen]
pub fn summaries_merged(one: &[f64], other: &[f64]) -> Vec<f64> {
    let read = |cells: &[f64]| match *cells {
        [count, skipped, min, max, mean, squares, ..] => Summary {
            count: count as u64,
            skipped: skipped as u64,
            min,
            max,
            mean,
            squares,
        },
        _ => Summary::default(),
    };
    cells(&read(one).merged(&read(other)))
}

fn cells(of: &Summary) -> Vec<f64> {
    vec![
        of.count as f64,
        of.skipped as f64,
        of.min,
        of.max,
        of.mean,
        of.squares,
        of.variance(),
    ]
}

#[wasm_bindgen]
pub fn quantiles(values: &[f64], shares: &[f64]) -> Vec<f64> {
    statistics::quantiles(values, shares)
}

/// `[below, above, skipped, …counts]`
#[wasm_bindgen]
pub fn histogram(values: &[f64], min: f64, max: f64, bins: usize) -> Vec<u32> {
    let of = Histogram::of(values, min, max, bins);
    [&[of.below, of.above, of.skipped], of.counts.as_slice()].concat()
}

#[wasm_bindgen]
pub fn byte_histogram(bytes: &[u8]) -> Vec<u32> {
    statistics::byte_histogram(bytes).to_vec()
}

/// The secret search with the rules of the package, or others.
#[wasm_bindgen]
pub struct Secrets(SecretSearch);

#[wasm_bindgen]
impl Secrets {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Self, JsError> {
        SecretSearch::built_in()
            .map(Self)
            .map_err(|error| JsError::new(&error))
    }

    /// Of each match its rule, its confidence (0 low, 1 medium, 2 high), start, end, and how many of its characters are public.
    pub fn find(&self, text: &[u8]) -> Vec<u32> {
        let row = |found: &crate::kernels::secrets::Match| {
            let confidence = match found.confidence {
                Confidence::Low => 0,
                Confidence::Medium => 1,
                Confidence::High => 2,
            };
            let public = self.0.public(text, found);
            [found.rule, confidence, found.start, found.end, public].map(|number| number as u32)
        };
        self.0.find(text).iter().flat_map(row).collect()
    }

    /// Id, title and severity of each rule, one after the other.
    pub fn rules(&self) -> Vec<String> {
        let told = |rule: &crate::kernels::secrets::Rule| {
            [rule.id.clone(), rule.title.clone(), rule.grade.name().to_owned()]
        };
        self.0.rules().iter().flat_map(told).collect()
    }
}
