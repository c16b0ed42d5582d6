//! Skips a build, or the longer half of it, whose inputs have not changed since its outputs were written.

use crate::recipe::Recipe;
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fingerprints of everything that modules are made from.
pub struct Inputs {
    /// Sources, manifests, this tool, compiler and optimiser.
    all: String,
    /// What makes files of a compiled module: this tool and the optimiser.
    tools: String,
}

pub fn of_inputs(root: &Path) -> Result<Inputs> {
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc did not start")?;
    let mut tools = vec![
        root.join("Cargo.lock"),
        root.join("node_modules/binaryen/package.json"),
    ];
    collect(&root.join("xtask/src"), &mut tools)?;
    let tools = fingerprint(root, &tools, &[])?;
    let mut sources = vec![root.join("Cargo.toml")];
    collect(&root.join("src"), &mut sources)?;
    let all = fingerprint(root, &sources, &[&rustc.stdout, tools.as_bytes()])?;
    Ok(Inputs { all, tools })
}

/// A fingerprint of a compiled module and of what makes files of it: most changes of a source leave most modules as they are, and to
/// optimise one again takes minutes.
pub fn of_compiled(compiled: &Path, inputs: &Inputs) -> Result<String> {
    let module = fs::read(compiled).with_context(|| format!("cannot read {}", compiled.display()))?;
    fingerprint(Path::new(""), &[], &[&module, inputs.tools.as_bytes()])
}

/// Whether nothing changed that a module is made from.
pub fn is_current(root: &Path, recipe: &Recipe, inputs: &Inputs) -> bool {
    has_files(root, recipe) && read(root, recipe).is_some_and(|(all, _)| all == inputs.all)
}

/// Whether a module was compiled to what it was before.
pub fn is_same(root: &Path, recipe: &Recipe, compiled: &str) -> bool {
    has_files(root, recipe) && read(root, recipe).is_some_and(|(_, before)| before == compiled)
}

pub fn write(root: &Path, recipe: &Recipe, inputs: &Inputs, compiled: &str) -> Result<()> {
    fs::write(path(root, recipe), format!("{} {compiled}", inputs.all))
        .context("cannot write the stamp of a build")
}

/// Before the files change: an interrupted build must not look like a finished one.
pub fn remove(root: &Path, recipe: &Recipe) -> Result<()> {
    match fs::remove_file(path(root, recipe)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("cannot remove the stamp of a build")
        }
        _ => Ok(()),
    }
}

fn read(root: &Path, recipe: &Recipe) -> Option<(String, String)> {
    let stamp = fs::read_to_string(path(root, recipe)).ok()?;
    let (all, compiled) = stamp.split_once(' ')?;
    Some((all.into(), compiled.into()))
}

fn has_files(root: &Path, recipe: &Recipe) -> bool {
    let out = root.join(recipe.out);
    recipe.files().iter().all(|file| out.join(file).exists())
}

fn path(root: &Path, recipe: &Recipe) -> PathBuf {
    root.join(recipe.out).join(format!(".{}.stamp", recipe.name))
}

fn fingerprint(root: &Path, files: &[PathBuf], more: &[&[u8]]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        file.strip_prefix(root).unwrap_or(file).hash(&mut hasher);
        bytes.hash(&mut hasher);
    }
    more.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// All files below a folder, in an order that does not depend on the file system.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files)?
        } else {
            files.push(path)
        }
    }
    Ok(())
}
