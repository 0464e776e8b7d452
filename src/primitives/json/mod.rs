//! `JsonStore`: JSON documents under names, changed as a whole, at a place, by patch.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x20 `create`, 0x21 `set`, 0x22 `delete`, 0x23 `patch`,
//!    0x24 `put`, 0x25 `merge`, 0x26 `remove`.
//! 2. What happens inside a document is logged as edits of its tree, found when it happens. Old
//!    records mean the same whatever later releases of the libraries make of a pointer or a patch.
//! 3. A change inside a document costs what it changes and its path, not the document; a value that
//!    is read is shared with the store, not copied.
//! 4. A rejected operation, a patch that fails in its last operation too, leaves the document as it
//!    was.
//! 5. A document's times and its LSN are those of the transactions that made it and that changed it
//!    last.
//!
//! # Documents, pointers
//!
//! A place inside a document is a JSON Pointer (RFC 6901): `/items/0/sku`, with `~0` for `~` and
//! `~1` for `/`; the empty pointer is the whole document.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{Json, JsonError, JsonStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let db = Database::open(dir.path())?;
//! let order = Json::parse(r#"{"status": "new", "items": [{"sku": "a", "price": 10.5}]}"#)?;
//! let another = Json::try_from(serde_json::json!({"sku": "b"}))?;
//! db.transaction(|tx| {
//!     let mut documents = tx.on::<JsonStore>();
//!     documents.create("order/7", &order)?; // refuses if there is one
//!     documents.set("order/7", "/status", &Json::from("paid"))?;
//!     documents.set("order/7", "/items/-", &another)?; // behind the last element
//!     documents.delete("order/7", "/items/0/price")?;
//!     documents.put("order/8", &order)?; // whether there is one or not
//!     documents.remove("order/8")
//! })?;
//!
//! let view = db.view();
//! let documents = view.on::<JsonStore>();
//! let order = documents.get("order/7").ok_or("no order")?;
//! assert_eq!(order.to_string(), r#"{"items":[{"sku":"a"},{"sku":"b"}],"status":"paid"}"#);
//! assert_eq!(documents.at("order/7", "/items/1/sku")?.as_str(), Some("b"));
//! assert_eq!(documents.prefix("order/").map(|(name, _)| name).collect::<Vec<_>>(), ["order/7"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Patches
//!
//! A JSON Patch (RFC 6902) is done as a whole or not at all. Its `test` compares numbers by what they
//! are worth. A merge patch (RFC 7386) says what shall be, with `null` for what shall not be.
//!
//! ```
//! # use freehold::prelude::*;
//! # use freehold::primitives::{Json, JsonStore, JsonStoreError};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let db = Database::open(dir.path())?;
//! # db.transaction(|tx| tx.on::<JsonStore>().put("stock", &Json::parse(r#"{"apples": 2}"#).unwrap()))?;
//! let patch = |text: &str| Json::parse(text).unwrap();
//! let take_one = patch(
//!     r#"[{"op": "test", "path": "/apples", "value": 2},
//!         {"op": "replace", "path": "/apples", "value": 1},
//!         {"op": "copy", "from": "/apples", "path": "/least"}]"#,
//! );
//! db.transaction(|tx| tx.on::<JsonStore>().patch("stock", &take_one))?;
//!
//! let refused = db.transaction(|tx| tx.on::<JsonStore>().patch("stock", &take_one)).unwrap_err();
//! let refused = refused.rejected::<JsonStoreError>().ok_or("another error")?;
//! assert!(matches!(refused, JsonStoreError::Patch { operation: 0, .. }));
//! assert_eq!(
//!     refused.to_string(),
//!     r#"document stock, operation 0 of the patch, at "/apples": value is 1, expected 2"#
//! );
//!
//! let merged = patch(r#"{"least": null, "pears": {"green": 3}}"#);
//! db.transaction(|tx| tx.on::<JsonStore>().merge("stock", &merged))?;
//! let view = db.view();
//! let stock = view.on::<JsonStore>().get("stock").map(Json::to_string);
//! assert_eq!(stock.as_deref(), Some(r#"{"apples":1,"pears":{"green":3}}"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Queries
//!
//! JSONPath (RFC 9535), over one document or over all whose names begin alike.
//!
//! ```
//! # use freehold::prelude::*;
//! # use freehold::primitives::{Json, JsonStore};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let db = Database::open(dir.path())?;
//! let ann = Json::parse(r#"{"orders": [{"id": 1, "sum": 20}, {"id": 2, "sum": 5}]}"#)?;
//! let bob = Json::parse(r#"{"orders": [{"id": 3, "sum": 50}]}"#)?;
//! db.transaction(|tx| {
//!     tx.on::<JsonStore>().put("user/ann", &ann)?;
//!     tx.on::<JsonStore>().put("user/bob", &bob)
//! })?;
//! let view = db.view();
//! let large = view.on::<JsonStore>().query_prefix("user/", "$.orders[?@.sum >= 20].id")?;
//! let large: Vec<_> = large.iter().map(|each| (each.document(), each.pointer())).collect();
//! assert_eq!(
//!     large,
//!     [("user/ann", "/orders/0/id".to_owned()), ("user/bob", "/orders/0/id".to_owned())]
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # What JSON leaves open
//!
//! [`Json`] decides: integers from −2⁶³ to 2⁶⁴ − 1 are exact and others refused, numbers with a
//! fraction or an exponent are binary64, of members of one name the last counts, members have the
//! order of their names, and arrays and objects are nested at most 127 deep, also after an edit.

mod edit;
mod error;
mod patch;
mod query;
mod relative;

use std::ops::Bound;
use std::sync::Arc;

use freehold::prelude::*;

use super::value::{self, Json};

pub use edit::{Change, Edit, Edited, Step};
pub use error::{JsonProblem, JsonStoreError};
pub use query::JsonMatch;

use edit::Draft;

/// JSON documents under names.
///
/// A name may be any text. A document that is given as a whole, and what an operation changes of one,
/// fits into one entry of the log, 64 MiB; what is larger is rejected before anything changes.
#[primitive(id = 2, wal = 0x20..=0x26, name = "json")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonStore {
    documents: OrdMap<Arc<str>, JsonDocument>,
}

/// A document as it stands.
#[derive(Clone, Debug, PartialEq, Stored)]
pub struct JsonDocument {
    value: Json,
    created: Timestamp,
    changed: Timestamp,
    lsn: Lsn,
}

#[operations]
impl JsonStore {
    /// Makes the document `name`.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Exists`] if it is there already.
    #[wal(0x20)]
    pub fn create(
        &mut self,
        context: &OpContext,
        name: &str,
        value: &Json,
    ) -> Result<(), JsonStoreError> {
        if self.documents.contains_key(name) {
            return Err(JsonStoreError::Exists { name: name.into() });
        }
        self.put(context, name, value);
        Ok(())
    }

    /// Puts `value` at a place inside the document `name`, and returns what it replaced.
    ///
    /// The place is something that is there, or a member that is not there yet of an object that is,
    /// or `-`, the element after an array's last one. The empty pointer is the whole document.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document, [`JsonStoreError::Place`] if there is
    /// no such place or the value would be nested too deep there.
    #[wal(0x21, effect)]
    pub fn set(
        &self,
        context: &OpContext,
        name: &str,
        pointer: &str,
        value: &Json,
    ) -> Result<(Edited, Option<Json>), JsonStoreError> {
        let mut draft = self.draft(name)?;
        let old = edit::parsed(pointer)
            .and_then(|pointer| draft.set(pointer, value.clone()))
            .map_err(|problem| place(name, pointer, problem))?;
        Ok((edited(context, name, draft.edits), old))
    }

    /// Takes away what is at a place inside the document `name`, and returns it. With the empty
    /// pointer the document goes.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document, [`JsonStoreError::Place`] if there is
    /// nothing at that place.
    #[wal(0x22, effect)]
    pub fn delete(
        &self,
        context: &OpContext,
        name: &str,
        pointer: &str,
    ) -> Result<(Edited, Json), JsonStoreError> {
        let mut draft = self.draft(name)?;
        if pointer.is_empty() {
            let whole = Edit { path: Vec::new(), change: Change::Remove };
            return Ok((edited(context, name, vec![whole]), draft.value));
        }
        let old = edit::parsed(pointer)
            .and_then(|pointer| draft.remove(pointer))
            .map_err(|problem| place(name, pointer, problem))?;
        Ok((edited(context, name, draft.edits), old))
    }

    /// Does a JSON Patch (RFC 6902) to the document `name`: all of it, or with an error nothing.
    ///
    /// A patch that only tests is logged and does not count as a change. What it copies and moves is
    /// logged in full. It cannot remove the whole document.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document, [`JsonStoreError::NoPatch`] if `patch`
    /// is none, [`JsonStoreError::Patch`] for the first of its operations that cannot be done.
    #[wal(0x23, effect)]
    pub fn patch(
        &self,
        context: &OpContext,
        name: &str,
        patch: &Json,
    ) -> Result<(Edited, ()), JsonStoreError> {
        let mut draft = self.draft(name)?;
        patch::patch(&mut draft, name, patch)?;
        Ok((edited(context, name, draft.edits), ()))
    }

    /// Puts the document `name`, whether there is one or not, and returns what it replaced.
    #[wal(0x24)]
    pub fn put(&mut self, context: &OpContext, name: &str, value: &Json) -> Option<Json> {
        let now = context.timestamp();
        let before = self.documents.get(name);
        let document = JsonDocument {
            value: value.clone(),
            created: before.map_or(now, |before| before.created),
            changed: now,
            lsn: context.lsn(),
        };
        self.documents.insert(name.into(), document).map(|before| before.value)
    }

    /// Merges a merge patch (RFC 7386) into the document `name`.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document.
    #[wal(0x25, effect)]
    pub fn merge(
        &self,
        context: &OpContext,
        name: &str,
        patch: &Json,
    ) -> Result<(Edited, ()), JsonStoreError> {
        let mut draft = self.draft(name)?;
        let target = draft.value.clone();
        patch::merge(&mut draft, &mut Vec::new(), &target, patch)
            .map_err(|problem| place(name, "", problem))?;
        Ok((edited(context, name, draft.edits), ()))
    }

    /// Removes the document `name`, if there is one, and returns it.
    #[wal(0x26)]
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        self.documents.remove(name).map(|document| document.value)
    }

    /// The document `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.document(name).map(JsonDocument::value)
    }

    /// The document `name` with its times.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<&JsonDocument> {
        self.documents.get(name)
    }

    /// The value at a place (RFC 6901) inside the document `name`.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document, [`JsonStoreError::Place`] if there is
    /// nothing at that place, with what is there instead.
    pub fn at(&self, name: &str, pointer: &str) -> Result<&Json, JsonStoreError> {
        self.value(name)?.at(pointer).map_err(|problem| place(name, pointer, problem))
    }

    /// What a Relative JSON Pointer (draft-bhutton-relative-json-pointer) leads to from the place
    /// `from` inside the document `name`; with `#` at its end, the name or the index there.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document, [`JsonStoreError::Place`] if there is
    /// nothing at either place.
    ///
    /// ```
    /// # use freehold::primitives::{Json, JsonStore, JsonStoreError};
    /// # fn next(documents: &JsonStore) -> Result<(), JsonStoreError> {
    /// let sku = "/items/3/sku";
    /// documents.relative("order/7", sku, "1/price")?; // /items/3/price
    /// documents.relative("order/7", sku, "1+1/sku")?; // /items/4/sku
    /// documents.relative("order/7", sku, "1#")?; // 3
    /// # Ok(())
    /// # }
    /// ```
    pub fn relative(&self, name: &str, from: &str, relative: &str) -> Result<Json, JsonStoreError> {
        relative::relative(self.value(name)?, from, relative)
            .map_err(|problem| place(name, relative, problem))
    }

    /// The values of the document `name` that a JSONPath query (RFC 9535) gives, in the order of the
    /// RFC; what it leaves open goes by the members' names.
    ///
    /// It reads the whole document. A query with several `..` can give many more values than there
    /// are in the document.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::Absent`] if there is no such document, [`JsonStoreError::NoQuery`] if `query`
    /// is none, or nests brackets more than 8 deep or parentheses more than 32 deep.
    pub fn query(&self, name: &str, query: &str) -> Result<Vec<JsonMatch>, JsonStoreError> {
        let query = query::parsed(query)?;
        let found = self.documents.get_key_value(name);
        let (name, document) = found.ok_or_else(|| JsonStoreError::Absent { name: name.into() })?;
        Ok(query::matches(name, &document.value, &query))
    }

    /// The same over every document whose name begins with `prefix`, in the order of the names.
    ///
    /// # Errors
    ///
    /// [`JsonStoreError::NoQuery`], as for [`query`](JsonStore::query).
    pub fn query_prefix(
        &self,
        prefix: &str,
        query: &str,
    ) -> Result<Vec<JsonMatch>, JsonStoreError> {
        let query = query::parsed(query)?;
        let found = self.named(prefix);
        Ok(found.flat_map(|(name, each)| query::matches(name, &each.value, &query)).collect())
    }

    /// How many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no document at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Every document in the order of their names' bytes, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &JsonDocument)> {
        self.prefix("")
    }

    /// The documents whose names begin with `prefix`, in the order of their names' bytes, from either
    /// end. The empty prefix is every document.
    pub fn prefix(
        &self,
        prefix: &str,
    ) -> impl DoubleEndedIterator<Item = (&str, &JsonDocument)> + use<'_> {
        self.named(prefix).map(|(name, document)| (&**name, document))
    }

    fn named(
        &self,
        prefix: &str,
    ) -> impl DoubleEndedIterator<Item = (&Arc<str>, &JsonDocument)> + use<'_> {
        let after = first_after(prefix);
        let end = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.documents.range::<str, _>((Bound::Included(prefix), end))
    }

    fn value(&self, name: &str) -> Result<&Json, JsonStoreError> {
        self.get(name).ok_or_else(|| JsonStoreError::Absent { name: name.into() })
    }

    fn draft(&self, name: &str) -> Result<Draft, JsonStoreError> {
        self.value(name).map(Draft::new)
    }
}

impl Apply<Edited> for JsonStore {
    fn apply(&mut self, edited: &Edited) {
        let Edited { name, timestamp, lsn, edits } = edited;
        if matches!(&edits[..], [Edit { path, change: Change::Remove }] if path.is_empty()) {
            self.documents.remove(name);
            return;
        }
        // A patch that only tests leaves the document as it was, its times too.
        if let (false, Some(document)) = (edits.is_empty(), self.documents.get_mut(name)) {
            edits.iter().for_each(|edit| document.value.edit(edit));
            document.changed = *timestamp;
            document.lsn = *lsn;
        }
    }
}

impl JsonDocument {
    /// The value. A clone shares it.
    #[must_use]
    pub fn value(&self) -> &Json {
        &self.value
    }

    /// The time of the transaction that made the document.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The time of the transaction that changed it last.
    #[must_use]
    pub fn changed(&self) -> Timestamp {
        self.changed
    }

    /// The LSN of the transaction that changed it last: as long as it is the same, nothing did. In a run
    /// that was imported it is the one that the operation was told, which may be no record of this database.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

fn place(name: &str, pointer: &str, problem: JsonProblem) -> JsonStoreError {
    JsonStoreError::Place { name: name.into(), pointer: pointer.into(), problem }
}

fn edited(context: &OpContext, name: &str, edits: Vec<Edit>) -> Edited {
    Edited { name: name.into(), timestamp: context.timestamp(), lsn: context.lsn(), edits }
}

/// The least text that is greater than every text with this prefix; none if there is no such text.
fn first_after(prefix: &str) -> Option<String> {
    let mut after = prefix.to_owned();
    while let Some(last) = after.pop() {
        // The range knows that there are no letters between U+D7FF and U+E000.
        if let Some(next) = (last..=char::MAX).nth(1) {
            after.push(next);
            return Some(after);
        }
    }
    None
}

#[cfg(test)]
mod tests;
