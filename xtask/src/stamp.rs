//! Skips a build whose inputs have not changed since its outputs were written.

use crate::recipe::Recipe;
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A fingerprint of everything a module is made from: sources, manifests, this tool, compiler and optimiser.
pub fn of_inputs(root: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc did not start")?;
    rustc.stdout.hash(&mut hasher);
    let mut files = vec![
        root.join("Cargo.toml"),
        root.join("Cargo.lock"),
        root.join("node_modules/binaryen/package.json"),
    ];
    collect(&root.join("src"), &mut files)?;
    collect(&root.join("xtask/src"), &mut files)?;
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        file.strip_prefix(root).unwrap_or(&file).hash(&mut hasher);
        bytes.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

pub fn is_current(root: &Path, recipe: &Recipe, inputs: &str) -> bool {
    let out = root.join(recipe.out);
    fs::read_to_string(path(root, recipe)).is_ok_and(|found| found == inputs)
        && recipe.files().iter().all(|file| out.join(file).exists())
}

pub fn write(root: &Path, recipe: &Recipe, inputs: &str) -> Result<()> {
    fs::write(path(root, recipe), inputs).context("cannot write the stamp of a build")
}

fn path(root: &Path, recipe: &Recipe) -> PathBuf {
    root.join(recipe.out).join(format!(".{}.stamp", recipe.name))
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
