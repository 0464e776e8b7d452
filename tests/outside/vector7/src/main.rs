//! A user's own vector store under the type ID and WAL types that are freehold's own elsewhere:
//! they are free as long as freehold's is not linked.
//!
//! `vector7 DIRECTORY` checks what the runs before it left, and adds to it.

use freehold::prelude::*;

/// Vectors by name, all of one dimension.
#[primitive(id = 7, wal = 0x70..=0x72)]
#[derive(Clone, Debug, Default)]
pub struct VectorStore {
    vectors: OrdMap<String, Vec<f32>>,
}

/// Why a vector was refused.
#[derive(Debug, PartialEq)]
pub enum VectorError {
    /// It is there already.
    Exists,
    /// It is not there.
    Absent,
    /// It has another dimension than the others.
    Dimension,
}

impl std::fmt::Display for VectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            VectorError::Exists => "the vector is there already",
            VectorError::Absent => "there is no such vector",
            VectorError::Dimension => "the vector has another dimension",
        })
    }
}

impl std::error::Error for VectorError {}

#[operations]
impl VectorStore {
    /// Adds a vector.
    #[wal(0x70)]
    pub fn insert(&mut self, name: &str, vector: &[f32]) -> Result<(), VectorError> {
        if self.vectors.contains_key(name) {
            return Err(VectorError::Exists);
        }
        self.put(name, vector)
    }

    /// Removes a vector and returns it.
    #[wal(0x71)]
    pub fn delete(&mut self, name: &str) -> Option<Vec<f32>> {
        self.vectors.remove(name)
    }

    /// Replaces a vector.
    #[wal(0x72)]
    pub fn update(&mut self, name: &str, vector: &[f32]) -> Result<(), VectorError> {
        if !self.vectors.contains_key(name) {
            return Err(VectorError::Absent);
        }
        self.put(name, vector)
    }

    fn put(&mut self, name: &str, vector: &[f32]) -> Result<(), VectorError> {
        if self.vectors.values().next().is_some_and(|known| known.len() != vector.len()) {
            return Err(VectorError::Dimension);
        }
        self.vectors.insert(name.to_owned(), vector.to_vec());
        Ok(())
    }

    /// The name of the vector with the greatest dot product.
    pub fn nearest(&self, query: &[f32]) -> Option<&str> {
        let dot = |v: &[f32]| v.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        self.vectors
            .iter()
            .max_by(|(_, a), (_, b)| dot(a).total_cmp(&dot(b)))
            .map(|(name, _)| name.as_str())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: vector7 DIRECTORY")?;
    let db = Database::open(&directory)?;
    let runs = db.view().on::<VectorStore>().vectors.len();
    if runs > 0 {
        let view = db.view();
        let store = view.on::<VectorStore>();
        assert_eq!(store.nearest(&[1.0, 0.0]), Some(format!("v{}", runs - 1).as_str()));
        assert!(!store.vectors.contains_key("gone"));
    }
    let (name, size) = (format!("v{runs}"), runs as f32 + 1.0);
    db.transaction(|tx| {
        let mut store = tx.on::<VectorStore>();
        store.insert(&name, &[0.0, 0.0])?;
        store.update(&name, &[size, -size])?;
        store.insert("gone", &[9.0e9, 0.0])?;
        assert_eq!(store.delete("gone")?, Some(vec![9.0e9, 0.0]));
        let error = store.insert("three", &[0.0; 3]).unwrap_err();
        assert_eq!(error.rejected(), Some(&VectorError::Dimension));
        Ok(())
    })?;
    assert_eq!(PrimitiveRegistry::linked()?.list().len(), 1);
    println!("{} vectors", runs + 1);
    Ok(())
}
