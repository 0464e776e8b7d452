//! A consistent, read-only state of all primitives and runs.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::{Descriptor, Fnv, Frozen, PrimitiveStorageExt, RowSink, SectionWriter};
use crate::state::{Published, RunRow};

/// Everything as it was after one record. Cheap to clone and to keep; it never changes and blocks
/// nobody.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let db = Options::new().durability(Durability::InMemory).open("")?;
/// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"old"))?;
/// let view = db.view();
/// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"new"))?;
/// assert_eq!(view.on::<KvStore>().get(b"key").as_deref(), Some(&b"old"[..]));
/// # }
/// # Ok::<(), freehold::Error>(())
/// ```
#[derive(Clone)]
pub struct View {
    pub(crate) published: Arc<Published>,
    pub(crate) empty: Arc<[Frozen]>,
}

impl View {
    /// The primitive `P` of the root; empty if it was never used.
    #[must_use]
    pub fn on<P: PrimitiveStorageExt>(&self) -> &P {
        self.get(RunId::ROOT)
    }

    /// The state of one run, if there is such a run.
    #[must_use]
    pub fn run(&self, run: RunId) -> Option<RunView> {
        let known = run == RunId::ROOT || self.published.table.get(run).is_some();
        known.then(|| RunView { view: self.clone(), run })
    }

    /// The run with this name.
    #[must_use]
    pub fn run_named(&self, name: &str) -> Option<RunId> {
        self.published.table.named(name)
    }

    /// All runs but the root, in the order they were created.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &RunRow> + ExactSizeIterator {
        self.published.table.iter()
    }

    /// The last record that is part of this view.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.published.lsn
    }

    /// When that record was committed.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.published.timestamp
    }

    /// A digest of the content of every primitive in every run, to compare two states. Rows are
    /// ordered by run and type ID; a primitive without content has no row.
    ///
    /// # Errors
    ///
    /// What a primitive's own `snapshot_serialize` returns.
    pub fn digest(&self) -> Result<Vec<StateDigest>> {
        let mut digests = Vec::new();
        for run in self.published.runs.keys() {
            digests.extend(self.digest_of(*run)?);
        }
        Ok(digests)
    }

    fn digest_of(&self, run: RunId) -> Result<Vec<StateDigest>> {
        let mut digests = Vec::new();
        let Some(state) = self.published.runs.get(&run) else { return Ok(digests) };
        for (index, descriptor) in self.published.registry.list().iter().enumerate() {
            let Some(frozen) = state.get(index) else { continue };
            let digest = DigestOfRows::of(descriptor, frozen)?;
            if digest.rows() > 0 {
                digests.push(StateDigest {
                    run,
                    type_id: descriptor.type_id(),
                    primitive: descriptor.name(),
                    rows: digest.rows(),
                    digest: digest.finish(),
                });
            }
        }
        Ok(digests)
    }

    fn get<P: PrimitiveStorageExt>(&self, run: RunId) -> &P {
        let index = self.published.registry.index_of::<P>();
        let frozen = self
            .published
            .runs
            .get(&run)
            .and_then(|run| run.get(index))
            .unwrap_or_else(|| &self.empty[index]);
        frozen.get().expect("a primitive that is named is linked with its registration")
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("lsn", &self.published.lsn).finish_non_exhaustive()
    }
}

/// One run in a [`View`].
#[derive(Clone, Debug)]
pub struct RunView {
    view: View,
    run: RunId,
}

impl RunView {
    /// The primitive `P` of this run; empty if the run never used it.
    #[must_use]
    pub fn on<P: PrimitiveStorageExt>(&self) -> &P {
        const {
            assert!(
                !P::ROOT_ONLY,
                "this primitive lives in the root only: use `db.view().on::<..>()`"
            )
        }
        self.view.get(self.run)
    }

    /// The run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.run
    }

    /// The last record with an entry of this run, or the one that made it.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.view.published.runs.get(&self.run).map_or(Lsn::ZERO, |run| run.last_lsn)
    }

    /// As [`View::digest`], of this run alone.
    ///
    /// # Errors
    ///
    /// As [`View::digest`].
    pub fn digest(&self) -> Result<Vec<StateDigest>> {
        self.view.digest_of(self.run)
    }

    /// The whole view.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }
}

/// The digest of one primitive's content in one run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StateDigest {
    /// The run.
    pub run: RunId,
    /// The primitive's type ID.
    pub type_id: u8,
    /// The primitive's name.
    pub primitive: &'static str,
    /// How many rows it would write into a snapshot.
    pub rows: u64,
    /// 64-bit FNV-1a over those rows.
    pub digest: u64,
}

/// Hashes and counts rows instead of writing them.
pub(crate) struct DigestOfRows {
    hash: Fnv,
    /// How many rows each table has, in the order of writing.
    tables: Vec<(u32, u64)>,
}

impl DigestOfRows {
    /// The rows that an instance would write into a snapshot.
    pub(crate) fn of(primitive: &Descriptor, frozen: &Frozen) -> Result<DigestOfRows> {
        let mut digest = DigestOfRows { hash: Fnv::new(), tables: Vec::new() };
        primitive.save(frozen, &mut SectionWriter::new(&mut digest))?;
        Ok(digest)
    }

    /// How many there are.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }

    /// How many each table has, in the order of writing.
    #[cfg(feature = "cli")]
    pub(crate) fn tables(&self) -> &[(u32, u64)] {
        &self.tables
    }

    /// 64-bit FNV-1a over them.
    pub(crate) fn finish(&self) -> u64 {
        self.hash.finish()
    }
}

impl RowSink for DigestOfRows {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        self.hash.add(&table.to_le_bytes());
        self.hash.add(&(row.len() as u64).to_le_bytes());
        self.hash.add(row);
        match self.tables.last_mut() {
            Some((last, rows)) if *last == table => *rows += 1,
            _ => self.tables.push((table, 1)),
        }
        Ok(())
    }
}
