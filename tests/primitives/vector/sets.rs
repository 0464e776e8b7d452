//! The sets of vectors in `tests/data/vectors`.

use std::fs;
use std::path::{Path, PathBuf};

/// The sets, and the metrics and stages that their neighbours are known for.
pub(crate) const SETS: [&str; 4] = ["digits64", "glove100", "minilm-steps", "sift5k"];

/// The stages of a set: everything, then some deleted, then some replaced.
pub(crate) const STAGES: [&str; 3] = ["all", "deleted", "updated"];

/// A set of vectors with queries, and what is done to it.
pub(crate) struct Set {
    directory: PathBuf,
    pub(crate) base: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
    pub(crate) deleted: Vec<usize>,
    pub(crate) updated: Vec<(usize, Vec<f32>)>,
}

impl Set {
    pub(crate) fn read(sets: &Path, name: &str) -> Set {
        let directory = sets.join(name);
        let updated = rows(&directory, "update_ids.ivecs");
        Set {
            base: vectors(&directory, "base"),
            queries: vectors(&directory, "queries"),
            deleted: rows(&directory, "delete_ids.ivecs"),
            updated: updated.into_iter().zip(vectors(&directory, "update_vectors")).collect(),
            directory,
        }
    }

    /// The ten nearest of each query, by their rows. `metric` is `cosine` or `l2`.
    pub(crate) fn nearest(&self, stage: &str, metric: &str) -> Vec<Vec<usize>> {
        let ten = rows(&self.directory, &format!("gt_{stage}_{metric}.ivecs"));
        ten.chunks(10).map(<[usize]>::to_vec).collect()
    }

    /// The vectors by their rows as they are in a stage; `None` what was deleted.
    pub(crate) fn at(&self, stage: &str) -> Vec<Option<Vec<f32>>> {
        let mut all: Vec<_> = self.base.iter().cloned().map(Some).collect();
        if stage != "all" {
            for row in &self.deleted {
                all[*row] = None;
            }
        }
        if stage == "updated" {
            for (row, vector) in &self.updated {
                all[*row] = Some(vector.clone());
            }
        }
        all
    }
}

/// The distance in double precision, as the sets have it.
pub(crate) fn distance(metric: &str, one: &[f32], other: &[f32]) -> f64 {
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        one.iter().zip(other).map(|(&one, &other)| of(one.into(), other.into())).sum()
    };
    match metric {
        "l2" => sum(&|one, other| (one - other) * (one - other)),
        "cosine" => {
            let lengths = (sum(&|one, _| one * one) * sum(&|_, other| other * other)).sqrt();
            1.0 - sum(&|one, other| one * other) / lengths
        }
        other => panic!("no metric {other}"),
    }
}

fn vectors(directory: &Path, name: &str) -> Vec<Vec<f32>> {
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let byte = |bytes: &[u8]| f32::from(bytes[0]);
    if directory.join(format!("{name}.fvecs")).exists() {
        read(directory, &format!("{name}.fvecs"), 4, float)
    } else {
        read(directory, &format!("{name}.bvecs"), 1, byte)
    }
}

fn rows(directory: &Path, name: &str) -> Vec<usize> {
    let row = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
    read(directory, name, 4, row).concat()
}

/// Rows of a dimension and as many numbers, each `width` bytes wide.
fn read<T>(directory: &Path, name: &str, width: usize, of: impl Fn(&[u8]) -> T) -> Vec<Vec<T>> {
    let path = directory.join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut left = &bytes[..];
    let mut all = Vec::new();
    while let Some((dimension, rest)) = left.split_first_chunk() {
        let (row, rest) = rest.split_at(u32::from_le_bytes(*dimension) as usize * width);
        all.push(row.chunks(width).map(&of).collect());
        left = rest;
    }
    all
}
