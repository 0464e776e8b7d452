//! What the simulated disk holds: for each file what is durable, what programs see, and the changes
//! between the two; for the names in directories the same.
//!
//! - A change is applied by [`Platter::apply`] and nowhere else, both when a call is made and when
//!   a recorded history is gone through again: so both give the same platter.
//! - A clone is cheap: bytes are shared until one of the two changes them.
//! - What may survive a crash is decided by [`Platter::survivors`] and nowhere else. The fault
//!   model it follows stands at the top of `disk.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crash::Chooser;

/// What reaches the disk as one: a crash tears a write between two of these, never inside.
pub(super) const SECTOR_BYTES: usize = 512;

/// A file, whatever names it has: its index in [`Platter::files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(usize);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    File(Node),
}

/// Names and what they stand for. The root directory has no entry: it is always there.
type Tree = BTreeMap<PathBuf, Entry>;

/// One change, as a system call makes it.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Bytes; lengthens the file where they end behind it.
    Write { node: Node, offset: u64, bytes: Arc<[u8]> },
    /// A new size: cut, or lengthened with zeros.
    Resize { node: Node, size: u64 },
    /// All of the file's changes became durable.
    Sync { node: Node },
    /// A sync failed: some of the changes became durable, the others never will.
    SyncFailed { node: Node, seed: u64 },
    /// Names.
    Name(NameChange),
    /// The directory's names became durable.
    SyncDir { dir: PathBuf },
    /// Bytes changed behind everyone's back, durable at once.
    Rot { node: Node, bytes: Arc<[u8]> },
    /// A name changed behind everyone's back, durable at once; `None` removes it.
    Meddle { path: PathBuf, entry: Option<Entry> },
}

/// A change of names. Each survives a crash wholly or not at all.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { path: PathBuf, entry: Entry },
    Rename { from: PathBuf, to: PathBuf, node: Node },
    Remove { path: PathBuf, node: Node },
}

impl NameChange {
    /// Whether a sync of `dir` makes this durable. A rename between two directories is one step,
    /// so a sync of either will do.
    fn is_in(&self, dir: &Path) -> bool {
        let within = |path: &Path| path.parent() == Some(dir);
        match self {
            NameChange::Create { path, .. } | NameChange::Remove { path, .. } => within(path),
            NameChange::Rename { from, to, .. } => within(from) || within(to),
        }
    }

    /// Makes the change in `tree`. Where changes before it did not survive, it does what the disk
    /// would show: a moved file has its one new name, whatever its old one was, and a removal takes
    /// only the file it was meant for.
    fn apply(&self, tree: &mut Tree) {
        match self {
            NameChange::Create { path, entry } => {
                tree.insert(path.clone(), *entry);
            }
            NameChange::Rename { to, node, .. } => {
                tree.retain(|_, entry| *entry != Entry::File(*node));
                tree.insert(to.clone(), Entry::File(*node));
            }
            NameChange::Remove { path, node } => {
                if tree.get(path) == Some(&Entry::File(*node)) {
                    tree.remove(path);
                }
            }
        }
    }
}

/// A change of a file that no sync has made durable.
#[derive(Clone, Debug)]
struct Unsynced {
    /// The number of the call that made it.
    call: u64,
    /// The file's size after it, where it changed.
    size: Option<u64>,
    /// Where it wrote what.
    write: Option<(u64, Arc<[u8]>)>,
}

/// One file.
#[derive(Clone, Debug, Default)]
struct FileBytes {
    /// As after losing power now, if nothing unsynced survived.
    durable: Arc<Vec<u8>>,
    /// As programs read it.
    live: Arc<Vec<u8>>,
    /// From `durable` to `live`, oldest first; but for what failed syncs lost.
    unsynced: Vec<Unsynced>,
}

impl FileBytes {
    fn holding(bytes: Arc<Vec<u8>>) -> FileBytes {
        FileBytes { durable: Arc::clone(&bytes), live: bytes, unsynced: Vec::new() }
    }

    fn write(&mut self, call: u64, offset: u64, bytes: &Arc<[u8]>) {
        let live = Arc::make_mut(&mut self.live);
        let grown = put(live, offset, bytes);
        let size = grown.then_some(live.len() as u64);
        self.unsynced.push(Unsynced { call, size, write: Some((offset, Arc::clone(bytes))) });
    }

    fn resize(&mut self, call: u64, size: u64) {
        if self.live.len() as u64 != size {
            Arc::make_mut(&mut self.live).resize(to_index(size), 0);
            self.unsynced.push(Unsynced { call, size: Some(size), write: None });
        }
    }

    /// The bytes after a crash, if of the changes that survive which `chooser` says.
    ///
    /// Sizes survive in the order they were given, data in any: a sector whose new bytes survive
    /// while the file's new end did not is cut away with it, one whose bytes do not survive while
    /// the new end did reads as zeros.
    fn survivors(&self, chooser: &mut Chooser) -> Arc<Vec<u8>> {
        if self.unsynced.is_empty() {
            return Arc::clone(&self.durable);
        }
        let sized = self.unsynced.iter().filter(|change| change.size.is_some());
        let mut sizes_left = chooser.sizes(&sized.map(|change| change.call).collect::<Vec<_>>());
        let mut size = self.durable.len();
        let mut bytes = Vec::clone(&self.durable);
        for change in &self.unsynced {
            if let Some(to) = change.size
                && sizes_left > 0
            {
                sizes_left -= 1;
                size = to_index(to);
                // Cut at once: what the file is lengthened by later must be zeros again.
                bytes.truncate(size);
            }
            if let Some((offset, written)) = &change.write {
                chooser.begin_write(change.call);
                for (offset, part) in sectors(*offset, written) {
                    if chooser.sector() {
                        put(&mut bytes, offset, part);
                    }
                }
            }
        }
        bytes.resize(size, 0);
        Arc::new(bytes)
    }
}

/// The parts of a write that fall into different sectors, with their offsets.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut offset = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = SECTOR_BYTES - to_index(offset % SECTOR_BYTES as u64);
        let (part, after) = rest.split_at(room.min(rest.len()));
        let place = offset;
        offset += part.len() as u64;
        rest = after;
        Some((place, part))
    })
}

/// Puts `bytes` at `offset`, lengthening `into` with zeros where needed. Whether it was needed.
fn put(into: &mut Vec<u8>, offset: u64, bytes: &[u8]) -> bool {
    let start = to_index(offset);
    let end = start + bytes.len();
    let grows = end > into.len();
    if grows {
        into.resize(end, 0);
    }
    into[start..end].copy_from_slice(bytes);
    grows
}

fn to_index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a simulated file fits into memory")
}

/// Everything on the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Platter {
    files: Vec<FileBytes>,
    durable: Tree,
    live: Tree,
    /// From `durable` to `live`, oldest first, each with the number of the call that made it.
    unsynced: Vec<(u64, NameChange)>,
}

impl Platter {
    /// Makes a change, as call number `call`.
    pub(super) fn apply(&mut self, call: u64, change: &Change) {
        match change {
            Change::Write { node, offset, bytes } => {
                self.files[node.0].write(call, *offset, bytes);
            }
            Change::Resize { node, size } => self.files[node.0].resize(call, *size),
            Change::Sync { node } => {
                let file = &mut self.files[node.0];
                file.durable = file.survivors(&mut Chooser::everything());
                file.unsynced.clear();
            }
            Change::SyncFailed { node, seed } => {
                let file = &mut self.files[node.0];
                file.durable = file.survivors(&mut Chooser::seeded(*seed, &[]));
                file.unsynced.clear();
                // Pages are lost; the size, which is no page, is written at the next chance.
                let size = file.live.len() as u64;
                if size != file.durable.len() as u64 {
                    file.unsynced.push(Unsynced { call, size: Some(size), write: None });
                }
            }
            Change::Name(change) => {
                if let NameChange::Create { entry, .. } = change {
                    self.make_file(*entry);
                }
                change.apply(&mut self.live);
                self.unsynced.push((call, change.clone()));
            }
            Change::SyncDir { dir } => {
                let durable = &mut self.durable;
                self.unsynced.retain(|(_, change)| {
                    let synced = change.is_in(dir);
                    if synced {
                        change.apply(durable);
                    }
                    !synced
                });
            }
            Change::Rot { node, bytes } => {
                self.files[node.0] = FileBytes::holding(Arc::new(bytes.to_vec()));
            }
            Change::Meddle { path, entry } => {
                for tree in [&mut self.durable, &mut self.live] {
                    match entry {
                        Some(entry) => tree.insert(path.clone(), *entry),
                        None => tree.remove(path),
                    };
                }
                if let Some(entry) = entry {
                    self.make_file(*entry);
                }
            }
        }
    }

    /// The node the next file to be made will have.
    pub(super) fn next_node(&self) -> Node {
        Node(self.files.len())
    }

    /// Makes room for a file that a name now stands for.
    fn make_file(&mut self, entry: Entry) {
        if let Entry::File(node) = entry
            && self.files.len() <= node.0
        {
            self.files.resize_with(node.0 + 1, FileBytes::default);
        }
    }

    /// What `path` stands for, as programs see it.
    pub(super) fn find(&self, path: &Path) -> Option<Entry> {
        if path.as_os_str().is_empty() {
            return Some(Entry::Directory);
        }
        self.live.get(path).copied()
    }

    /// Every name and what it stands for, as programs see them.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Path, Entry)> {
        self.live.iter().map(|(path, entry)| (path.as_path(), *entry))
    }

    /// A file's bytes, as programs read them.
    pub(super) fn bytes(&self, node: Node) -> &Arc<Vec<u8>> {
        &self.files[node.0].live
    }

    /// Bytes in all files that have a name.
    pub(super) fn used_bytes(&self) -> u64 {
        let sizes = self.live.values().map(|entry| match entry {
            Entry::File(node) => self.bytes(*node).len() as u64,
            Entry::Directory => 0,
        });
        sizes.sum()
    }

    /// What is there after the power failed, if of the unsynced changes those survive that
    /// `chooser` says. Everything on the new platter is durable.
    pub(super) fn survivors(&self, chooser: &mut Chooser) -> Platter {
        let mut tree = self.durable.clone();
        for (call, change) in &self.unsynced {
            if chooser.name(*call) {
                change.apply(&mut tree);
            }
        }
        // What stood in a directory that did not survive is gone with it. Parents sort first, so
        // one pass finds directories inside such directories too.
        let mut reachable = Tree::new();
        for (path, entry) in tree {
            let parent = path.parent().unwrap_or(Path::new(""));
            if parent.as_os_str().is_empty() || reachable.get(parent) == Some(&Entry::Directory) {
                reachable.insert(path, entry);
            }
        }
        // Each file that may have a name is asked about, whether it has one in this very state or
        // not: so the number of choices does not depend on what was chosen.
        let mut survived = Platter { durable: reachable.clone(), live: reachable, ..self.empty() };
        for node in self.nameable() {
            let bytes = self.files[node.0].survivors(chooser);
            survived.files[node.0] = FileBytes::holding(bytes);
        }
        survived
    }

    /// As many files as this has, all empty, and no names.
    fn empty(&self) -> Platter {
        Platter { files: vec![FileBytes::default(); self.files.len()], ..Platter::default() }
    }

    /// The files that have a name in some state that may survive.
    fn nameable(&self) -> BTreeSet<Node> {
        let pending = self.unsynced.iter().filter_map(|(_, change)| match change {
            NameChange::Create { entry, .. } => Some(*entry),
            NameChange::Rename { node, .. } => Some(Entry::File(*node)),
            NameChange::Remove { .. } => None,
        });
        let entries = self.durable.values().copied().chain(pending);
        let nodes = entries.filter_map(|entry| match entry {
            Entry::File(node) => Some(node),
            Entry::Directory => None,
        });
        nodes.collect()
    }

    /// How many states [`Platter::survivors`] can give, counted generously; `u64::MAX` for more.
    pub(super) fn choice_count(&self) -> u64 {
        let mut chooser = Chooser::counting();
        self.survivors(&mut chooser);
        chooser.counted()
    }

    /// The calls whose changes are not durable yet, oldest first.
    pub(super) fn unsynced_calls(&self) -> Vec<u64> {
        let mut calls: Vec<u64> = self.unsynced.iter().map(|(call, _)| *call).collect();
        for node in self.nameable() {
            calls.extend(self.files[node.0].unsynced.iter().map(|change| change.call));
        }
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// A number that differs where names or bytes, as programs see them, differ.
    pub(super) fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};

        let mut hasher = DefaultHasher::new();
        for (path, entry) in &self.live {
            path.hash(&mut hasher);
            match entry {
                Entry::Directory => 0u8.hash(&mut hasher),
                Entry::File(node) => self.bytes(*node).hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}
