//! From a raw wasm module to the files that `js/` imports.

use crate::recipe::Recipe;
use crate::{bare, letters, panics};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;
use wasm_bindgen_cli_support::Bindgen;

/// Writes glue, module and the module's letters, each with its types, into `out`.
///
/// Of a module of numbers the glue is [`bare::GLUE`]. Of another, wasm-bindgen's bundler flavour is taken apart: its `_bg.js` holds
/// the imports and exports and a `__wbg_set_wasm`, so each entry point instantiates the module its own way; the file that
/// would `import` the `.wasm` itself is left behind.
pub fn module(root: &Path, recipe: &Recipe, compiled: &Path, out: &Path) -> Result<()> {
    let name = recipe.stem;
    let work = root.join("target/xtask").join(recipe.name);
    let _ = fs::remove_dir_all(&work);
    let mut output = Bindgen::new()
        .input_path(compiled)
        .out_name(name)
        .bundler(true)?
        .typescript(true)
        .remove_producers_section(true)
        .generate_output()
        .with_context(|| format!("wasm-bindgen could not process the `{name}` module"))?;
    panics::silence(output.wasm_mut(), recipe.numbers_only)?;
    if recipe.numbers_only {
        bare::strip(output.wasm_mut())?;
    }
    output.emit(&work)?;

    fs::create_dir_all(out)?;
    let wasm = out.join(format!("{name}_bg.wasm"));
    optimise(root, recipe, &work.join(format!("{name}_bg.wasm")), &wasm)?;
    let read = |file: String| {
        fs::read_to_string(work.join(&file)).with_context(|| format!("wasm-bindgen left no {file}"))
    };
    let write = |file: String, text: String| {
        fs::write(out.join(&file), text).with_context(|| format!("cannot write {file}"))
    };
    if recipe.numbers_only {
        write(format!("{name}_bg.js"), bare::GLUE.into())?;
        write(
            format!("{name}_bg.d.ts"),
            bare::types(&read(format!("{name}_bg.wasm.d.ts"))?),
        )?;
    } else {
        write(format!("{name}_bg.js"), read(format!("{name}_bg.js"))?)?;
        write(
            format!("{name}_bg.d.ts"),
            format!("{}\n{SET_WASM}", read(format!("{name}.d.ts"))?),
        )?;
    }
    write(
        format!("{name}_bg.d.wasm.ts"),
        "declare const module: WebAssembly.Module;\nexport default module;\n".into(),
    )?;
    let text = letters::of(&fs::read(&wasm)?);
    write(
        format!("{name}_letters.js"),
        format!("export const letters =\n  \"{text}\";\n"),
    )?;
    write(
        format!("{name}_letters.d.ts"),
        "export declare const letters: string;\n".into(),
    )
}

const SET_WASM: &str = "/** Gives the glue the instance it talks to. */
export declare function __wbg_set_wasm(exports: WebAssembly.Exports): void;
";

/// `-O3`, not `-Oz`: with the inlining of LTO already done it comes out smaller for this kind of code, and faster. Nothing lies in the
/// lowest kilobyte, where the stack would end: saying so saves additions. No load and no division of ours traps (Rust looks first), so
/// they may be moved. A large function that is called once stays one: what is alike in two of them compresses better apart.
fn optimise(root: &Path, recipe: &Recipe, from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("node")
        .arg(root.join("node_modules/binaryen/bin/wasm-opt"))
        .args([
            "-O3",
            "--low-memory-unused",
            "--ignore-implicit-traps",
            "--one-caller-inline-max-function-size=40",
            "--gufa-optimizing",
            "-O3",
            "--converge",
            "--reorder-functions",
            "--reorder-locals",
            "--strip-producers",
            "--strip-target-features",
        ])
        // What rustc 1.95 takes for granted on wasm32-unknown-unknown, and what wasm-bindgen adds.
        .args([
            "--enable-bulk-memory",
            "--enable-bulk-memory-opt",
            "--enable-multivalue",
            "--enable-mutable-globals",
        ])
        .args([
            "--enable-nontrapping-float-to-int",
            "--enable-reference-types",
            "--enable-sign-ext",
        ])
        .args(recipe.simd.then_some("--enable-simd"))
        .arg("-o")
        .args([to, from])
        .status()
        .context("wasm-opt did not start: run `npm ci` first")?;
    anyhow::ensure!(status.success(), "wasm-opt could not optimise {}", from.display());
    Ok(())
}
