//! An index that no operation reads: built from views, after replay or at its first use.
//!
//! - The index is shared by every state of one instance, from the oldest view that is kept to the
//!   newest. So it grows with the instance and is not copied for each view.
//! - It opens in published states only. These follow each other: none comes to be beside another, so
//!   an index that has caught up with one is ahead of the older ones and behind the newer ones.
//! - A clone is closed, so what somebody makes of a view's state by changing a copy never reaches
//!   the index of the database.

use std::fmt;
use std::sync::Arc;

/// An index that operations neither maintain nor see, for a field with `#[index(deferred = ..)]`.
///
/// All views of one instance share one `T`, which has interior mutability of its own (a lock, as a
/// rule) and is brought up to date by the function that the attribute names. That function is given
/// the state of *one view*, and the index may have seen a newer one already: what it then answers
/// for the older view is the primitive's to get right. A view may neither find what it does not
/// hold, nor miss what it holds because a newer one deleted it.
///
/// The index is never part of a snapshot, of a comparison or of the format; after opening it is
/// fresh. Opening builds it with [`Options::build_indexes`](crate::Options::build_indexes); without,
/// the primitive's own reads do at their first use, by calling the function.
///
/// ```
/// use freehold::prelude::*;
/// use std::sync::Mutex;
///
/// /// Words in the order they came.
/// #[primitive(id = 0x80, wal = 0x80)]
/// #[derive(Clone, Default, PartialEq)]
/// pub struct Words {
///     words: Vector<String>,
///     #[index(deferred = Words::catch_up)]
///     longest: Deferred<Mutex<(usize, String)>>,
/// }
///
/// #[operations]
/// impl Words {
///     /// Adds a word.
///     #[wal(0x80)]
///     pub fn add(&mut self, word: &str) {
///         self.words.push(word.to_owned());
///     }
///
///     fn catch_up(&self, longest: &Mutex<(usize, String)>) {
///         let mut longest = longest.lock().unwrap();
///         while let Some(word) = self.words.get(longest.0) {
///             longest.0 += 1;
///             if word.len() > longest.1.len() {
///                 longest.1 = word.clone();
///             }
///         }
///     }
///
///     /// The longest word, the first of several.
///     pub fn longest(&self) -> Option<String> {
///         if let Some(index) = self.longest.get() {
///             self.catch_up(index);
///             let longest = index.lock().unwrap();
///             if longest.0 == self.words.len() {
///                 return (longest.0 > 0).then(|| longest.1.clone());
///             }
///         }
///         // In a transaction, or in a view that is older than the index.
///         self.words.iter().rev().max_by_key(|word| word.len()).cloned()
///     }
/// }
///
/// # fn main() -> freehold::Result<()> {
/// let db = Database::in_memory()?;
/// db.transaction(|tx| tx.on::<Words>().add("a"))?;
/// let older = db.view();
/// db.transaction(|tx| tx.on::<Words>().add("word"))?;
/// assert_eq!(db.view().on::<Words>().longest().as_deref(), Some("word"));
/// assert_eq!(older.on::<Words>().longest().as_deref(), Some("a"));
/// # Ok(())
/// # }
/// ```
pub struct Deferred<T> {
    index: Arc<T>,
    open: bool,
}

impl<T> Deferred<T> {
    /// The index, in the state of a view. `None` everywhere else: in a transaction, in an operation,
    /// in a primitive that no database holds, and in a clone of any.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.open.then_some(&*self.index)
    }
}

/// A fresh index, closed.
impl<T: Default> Default for Deferred<T> {
    fn default() -> Deferred<T> {
        Deferred { index: Arc::default(), open: false }
    }
}

/// The same index, closed.
impl<T> Clone for Deferred<T> {
    fn clone(&self) -> Deferred<T> {
        Deferred { index: Arc::clone(&self.index), open: false }
    }
}

/// Always equal: what is derived does not tell two states apart.
impl<T> PartialEq for Deferred<T> {
    fn eq(&self, _: &Deferred<T>) -> bool {
        true
    }
}

impl<T> Eq for Deferred<T> {}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.open { "Deferred(open)" } else { "Deferred(closed)" })
    }
}

/// What the engine does with a [`Deferred`], whatever is in it. Implemented by nothing else.
pub trait DeferredCell: sealed::Sealed {
    /// Makes the index readable. For the clone that a view is to read.
    fn open(&mut self);

    /// Leaves the shared index to the others and begins one of its own. For a state that goes its
    /// own way from here, such as that of a run which is forked from another: two histories that
    /// share an index would each find what the other added.
    fn renew(&mut self);
}

impl<T: Default + 'static> DeferredCell for Deferred<T> {
    fn open(&mut self) {
        self.open = true;
    }

    fn renew(&mut self) {
        *self = Deferred::default();
    }
}

/// The type of a field with `#[index(deferred = ..)]`.
#[diagnostic::on_unimplemented(
    message = "an index that is deferred is a `Deferred<..>`, not `{Self}`",
    label = "write `Deferred<..>` around it",
    note = "what is in it is `Default`, `Send` and `Sync`, and is changed through `&`: `Deferred<Mutex<..>>`"
)]
pub trait DeferredField {
    /// What is in it.
    type Index;

    /// What the engine sees of it.
    fn cell(&mut self) -> &mut dyn DeferredCell;

    /// The index, if it is open.
    fn index(&self) -> Option<&Self::Index>;
}

#[diagnostic::do_not_recommend]
impl<T: Default + 'static> DeferredField for Deferred<T> {
    type Index = T;

    fn cell(&mut self) -> &mut dyn DeferredCell {
        self
    }

    fn index(&self) -> Option<&T> {
        self.get()
    }
}

mod sealed {
    pub trait Sealed {}

    impl<T> Sealed for super::Deferred<T> {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn clones_share_an_index_that_only_an_opened_one_shows() {
        let working = Deferred::<AtomicU64>::default();
        assert!(working.get().is_none());
        let mut published = working.clone();
        published.open();
        published.get().unwrap().store(7, Ordering::Relaxed);
        let mut later = published.clone();
        assert!(later.get().is_none(), "a clone is closed");
        later.open();
        assert_eq!(later.get().unwrap().load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_renewed_one_has_an_index_of_its_own() {
        let mut parent = Deferred::<AtomicU64>::default();
        let mut fork = parent.clone();
        fork.renew();
        assert!(fork.get().is_none(), "a renewed one is closed");
        fork.open();
        parent.open();
        fork.get().unwrap().store(7, Ordering::Relaxed);
        assert_eq!(parent.get().unwrap().load(Ordering::Relaxed), 0);
    }
}
