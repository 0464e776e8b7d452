//! The specification's own example, its Vector primitive, transcribed: `PrimitiveStorageExt`
//! implemented by hand, without the attributes, and its snapshot made as one run of bytes.
//!
//! `vector_by_hand DIRECTORY` checks what the runs before it left, and adds to it.

use std::collections::BTreeMap;
use std::fmt;

use freehold::prelude::*;
use freehold::{PayloadWriter, Reason, SectionReader, SectionWriter, WalEntry};

/// Vectors by key. The index (here: the length of each) is derived and stands in no snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorStore {
    vectors: BTreeMap<String, Vec<f32>>,
    lengths: BTreeMap<String, f32>,
}

/// What can be logged.
pub enum VectorOp<'a> {
    /// A new vector.
    Insert { key: &'a str, vector: &'a [f32] },
    /// A vector that goes.
    Delete { key: &'a str },
    /// A vector that changes.
    Update { key: &'a str, vector: &'a [f32] },
}

impl PrimitiveStorageExt for VectorStore {
    const TYPE_ID: u8 = 7;
    const NAME: &'static str = "vector";
    const WAL_TYPES: &'static [u8] = &[0x70, 0x71, 0x72];

    type Handle<'tx> = Handle<'tx, Self>;
    type Operation<'op> = VectorOp<'op>;

    fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> freehold::Result<()> {
        // Not the index: it is derived.
        let mut bytes = Vec::new();
        for (key, vector) in &self.vectors {
            bytes.extend((key.len() as u32).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend((vector.len() as u32).to_le_bytes());
            bytes.extend(vector.iter().flat_map(|number| number.to_le_bytes()));
        }
        writer.bytes(&bytes)
    }

    fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Self, Reason> {
        let bytes = reader.bytes()?;
        let mut rest = &bytes[..];
        let mut store = VectorStore::default();
        while !rest.is_empty() {
            let key_len = take_u32(&mut rest)?;
            let key = String::from_utf8(take(&mut rest, key_len)?.to_vec())?;
            let count = take_u32(&mut rest)?;
            let bytes_len = count.checked_mul(4).ok_or(Unreadable)?;
            let (numbers, _) = take(&mut rest, bytes_len)?.as_chunks::<4>();
            store.vectors.insert(key, numbers.iter().map(|&n| f32::from_le_bytes(n)).collect());
        }
        Ok(store)
    }

    fn apply_wal_entry(
        &mut self,
        entry: &WalEntry<'_>,
        _context: &OpContext,
    ) -> Result<(), Reason> {
        match entry.wal_type {
            0x70 => self.apply_insert(entry),
            0x71 => self.apply_delete(entry),
            0x72 => self.apply_update(entry),
            // The specification skips what it does not know; here that is what loses data.
            _ => Err(Unreadable.into()),
        }
    }

    fn to_wal_entry(
        operation: &VectorOp<'_>,
        payload: &mut PayloadWriter<'_>,
    ) -> freehold::Result<u8> {
        match *operation {
            VectorOp::Insert { key, vector } => payload.write(&(key, vector)).map(|()| 0x70),
            VectorOp::Delete { key } => payload.write(&(key,)).map(|()| 0x71),
            VectorOp::Update { key, vector } => payload.write(&(key, vector)).map(|()| 0x72),
        }
    }

    fn rebuild_indexes(&mut self) -> Result<(), Reason> {
        self.lengths = self.vectors.iter().map(|(k, v)| (k.clone(), length(v))).collect();
        Ok(())
    }
}

freehold::register!(VectorStore, id = 7, wal = 0x70..=0x72, name = "vector");

impl VectorStore {
    fn apply_insert(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason> {
        let (key, vector) = entry.load::<(&str, &[f32])>()?;
        if self.vectors.contains_key(key) {
            return Err(Refused("the vector is there already").into());
        }
        self.write(key, vector);
        Ok(())
    }

    fn apply_delete(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason> {
        let (key,) = entry.load::<(&str,)>()?;
        self.vectors.remove(key).ok_or(Refused("there is no such vector"))?;
        self.lengths.remove(key);
        Ok(())
    }

    fn apply_update(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason> {
        let (key, vector) = entry.load::<(&str, &[f32])>()?;
        if !self.vectors.contains_key(key) {
            return Err(Refused("there is no such vector").into());
        }
        self.write(key, vector);
        Ok(())
    }

    fn write(&mut self, key: &str, vector: &[f32]) {
        self.lengths.insert(key.to_owned(), length(vector));
        self.vectors.insert(key.to_owned(), vector.to_vec());
    }
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|number| number * number).sum::<f32>().sqrt()
}

fn take<'a>(rest: &mut &'a [u8], bytes_len: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, after) = rest.split_at_checked(bytes_len).ok_or(Unreadable)?;
    *rest = after;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<usize, Unreadable> {
    let bytes = take(rest, 4)?.try_into().map_err(|_| Unreadable)?;
    usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| Unreadable)
}

/// The operation cannot be done.
#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

/// The bytes are not what this primitive writes.
#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no vectors")
    }
}

impl std::error::Error for Unreadable {}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: vector_by_hand DIRECTORY")?;
    let db = Options::new().checkpoint_on_close(false).open(&directory)?;
    let before = db.view().on::<VectorStore>().clone();
    for (number, (key, vector)) in before.vectors.iter().enumerate() {
        assert_eq!((key, vector), (&format!("v{number}"), &vec![3.0, 4.0, number as f32]));
        assert_eq!(before.lengths[key], length(vector), "the index was not rebuilt");
    }

    let number = before.vectors.len();
    let key = format!("v{number}");
    db.transaction(|tx| {
        let mut store = tx.on::<VectorStore>();
        store.log(&VectorOp::Insert { key: &key, vector: &[0.0; 3] })?;
        store.log(&VectorOp::Update { key: &key, vector: &[3.0, 4.0, number as f32] })?;
        store.log(&VectorOp::Insert { key: "gone", vector: &[1.0] })?;
        store.log(&VectorOp::Delete { key: "gone" })?;
        let error = store.log(&VectorOp::Delete { key: "gone" }).unwrap_err();
        assert!(error.rejected::<Refused>().is_some(), "{error}");
        Ok(())
    })?;
    let after = db.view().on::<VectorStore>().clone();

    // Once from the log; and, since that opening's close makes a checkpoint, once from a snapshot.
    db.close()?;
    for _ in 0..2 {
        let again = Database::open(&directory)?;
        assert_eq!(*again.view().on::<VectorStore>(), after);
        again.close()?;
    }
    println!("{} vectors", number + 1);
    Ok(())
}
