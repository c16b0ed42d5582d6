//! What wasm-bindgen makes of a module that is not one of the package's, with the version that the repository has locked:
//! `cargo run -p xtask --bin glue -- FILE.wasm FOLDER` leaves `index_bg.js` and `index_bg.wasm` there.

use anyhow::{Context, Result, bail};
use std::env;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let [wasm, folder] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .or_else(|got| {
            let got: Vec<String> = got;
            bail!("Expected a module and a folder, got {} arguments", got.len())
        })?;
    Bindgen::new()
        .input_path(&wasm)
        .out_name("index")
        .bundler(true)?
        .typescript(false)
        .generate(&folder)
        .with_context(|| format!("wasm-bindgen could not process {wasm}"))
}
