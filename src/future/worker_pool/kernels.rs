//! Functions from bytes to bytes, by name: what a pool can run, wherever its workers are.

use super::workers::WorkerTask;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// Functions from bytes to bytes, by name. Clones are the same functions, and may go to other threads.
///
/// # Examples
///
/// ```
/// use tidegate::Kernels;
///
/// let kernels = Kernels::new().with("sum", |args| Ok(vec![args[0].iter().copied().fold(0, u8::wrapping_add)]));
/// assert!(kernels.has("sum"));
/// ```
#[derive(Clone, Default)]
pub struct Kernels(Arc<BTreeMap<Box<str>, (u32, Kernel)>>);

type Kernel = Arc<dyn Fn(&[&[u8]]) -> Result<Vec<u8>, KernelError> + Send + Sync>;

impl Kernels {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The kernels of the crate under the names that they have in the npm package: `sha256`, `fingerprint`, `similarity` and
    /// `byteHistogram`, and `mergeByteHistograms` to reduce by. Numbers are little-endian.
    #[cfg(feature = "kernels")]
    pub fn built_in() -> Self {
        use crate::kernels::{fingerprint::Fingerprint, sha256, statistics};

        let words = |bytes: &[u8]| -> Result<[u32; 256], KernelError> {
            let (words, _) = bytes.as_chunks::<4>();
            let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
            words
                .try_into()
                .map_err(|_| KernelError::new("expected 256 numbers of 32 bits"))
        };
        let bytes = |words: &[u32; 256]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Self::new()
            .with("sha256", |args| Ok(sha256::digest(one(args)?).to_vec()))
            .with("fingerprint", move |args| {
                Ok(bytes(Fingerprint::of(one(args)?).as_words()))
            })
            .with("similarity", move |args| {
                let (one, other) = two(args)?;
                let (one, other) = (
                    Fingerprint::from_words(words(one)?),
                    Fingerprint::from_words(words(other)?),
                );
                Ok(one.similarity(&other).to_le_bytes().to_vec())
            })
            .with("byteHistogram", move |args| {
                Ok(bytes(&statistics::byte_histogram(one(args)?)))
            })
            .with("mergeByteHistograms", move |args| {
                let (one, other) = two(args)?;
                let (mut sum, more) = (words(one)?, words(other)?);
                for (sum, more) in sum.iter_mut().zip(more) {
                    *sum = sum.saturating_add(more);
                }
                Ok(bytes(&sum))
            })
    }

    /// The same with one more; of two of one name the later counts.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        kernel: impl Fn(&[&[u8]]) -> Result<Vec<u8>, KernelError> + Send + Sync + 'static,
    ) -> Self {
        let all = Arc::make_mut(&mut self.0);
        let number = all.get(name).map_or(all.len() as u32, |(number, _)| *number);
        all.insert(name.into(), (number, Arc::new(kernel)));
        self
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The number of a kernel, by which its cost is known, and its name.
    pub(super) fn number(&self, name: &str) -> Option<(u32, Rc<str>)> {
        self.0.get(name).map(|(number, _)| (*number, Rc::from(name)))
    }

    /// Runs a task: what a worker does.
    ///
    /// # Errors
    ///
    /// What the kernel says, or that there is none of this name.
    pub fn run(&self, task: &WorkerTask) -> Result<Vec<u8>, KernelError> {
        let args: Vec<&[u8]> = task.args.iter().map(|arg| &**arg).collect();
        self.call(&task.kernel, &args)
    }

    pub(super) fn call(&self, name: &str, args: &[&[u8]]) -> Result<Vec<u8>, KernelError> {
        match self.0.get(name) {
            Some((_, kernel)) => kernel(args),
            None => Err(KernelError::new(format!("no kernel is called `{name}`"))),
        }
    }
}

#[cfg(feature = "kernels")]
fn one<'a>(args: &[&'a [u8]]) -> Result<&'a [u8], KernelError> {
    match args {
        [one] => Ok(one),
        _ => Err(KernelError::new("expected one argument")),
    }
}

#[cfg(feature = "kernels")]
fn two<'a>(args: &[&'a [u8]]) -> Result<(&'a [u8], &'a [u8]), KernelError> {
    match args {
        [one, other] => Ok((one, other)),
        _ => Err(KernelError::new("expected two arguments")),
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a kernel has no result, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError(Box<str>);

impl KernelError {
    /// An error in these words.
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KernelError {}
