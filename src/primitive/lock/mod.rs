//! The format lock: what `freehold.lock` says of a primitive against what the compiler builds.
//!
//! - A fact is a line of text. The same text stands in the binary ([`facts`]) and in the lock, so a
//!   line is compared and not interpreted.
//! - Everything here runs in the compiler. What it finds is a text for the user; no text, no fault.
//! - The lock is about one crate: the same attribute in a test or in an example is none of its
//!   business.
//! - `docs/extending.md` says what each change asks for; decision 0008 why.

mod facts;
mod words;

use super::contract::{OperationShape, PrimitiveStorageExt};
use super::guards::{claims, crate_of};
use super::text::Text;

use facts::{FORMAT, id_fact, push_operation, push_operation_key, push_section, push_section_key};
use words::{
    after, byte, fields, find_field, first_field, is_version, layout, name_of, same,
    without_last_word, word,
};

pub use facts::facts;

/// How long a message may be: two layouts and the words around them.
const MESSAGE_BYTES_MAX: usize = 2048;

/// What there is to say; nothing, if all is well.
pub type Fault = Text<MESSAGE_BYTES_MAX>;

/// What the attribute found in `freehold.lock`.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    /// The crate that cargo compiles.
    pub crate_name: &'static str,
    /// The module in which the attribute stands.
    pub module: &'static str,
    /// Every line about the crate, but for the golden ones; `None` if there is no file.
    pub lines: Option<&'static [&'static str]>,
    /// How rkyv lays bytes out, as the file says it.
    pub format: &'static str,
    /// Nothing may be missing: the attribute or the file says so.
    pub locked: bool,
    /// Something may be missing all the same: the file is being brought up to date, or the crate is
    /// compiled for its unit tests.
    pub lenient: bool,
}

impl Lock {
    /// There is none.
    pub const NONE: Lock =
        Lock { crate_name: "", module: "", lines: None, format: "", locked: false, lenient: true };

    /// The lines, if they are about the crate in which the attribute stands.
    const fn lines(&self) -> &'static [&'static str] {
        match self.lines {
            Some(lines) if self.is_about_this_crate() => lines,
            _ => &[],
        }
    }

    const fn is_about_this_crate(&self) -> bool {
        same(crate_of(self.module), self.crate_name)
    }

    /// Whether a missing line is a fault.
    const fn insists(&self) -> bool {
        self.locked && !self.lenient && self.is_about_this_crate()
    }
}

/// Whether the type ID and the scope are the locked ones, and nobody else's.
#[must_use]
pub const fn id<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    let lines = lock.lines();
    let mut index = 0;
    let mut found = false;
    if let Some(name) = name_of_several_words::<P>() {
        return is_no_name(name);
    }
    if lock.is_about_this_crate() && !lock.format.is_empty() && !same(lock.format, FORMAT.as_str())
    {
        let mut fault = Text::new();
        fault.push("freehold.lock: the format was `");
        fault.push(lock.format);
        fault.push("` and is now `");
        fault.push(FORMAT.as_str());
        fault.push("`: another crate of the program turns a feature of rkyv on");
        return fault;
    }
    while index < lines.len() {
        let line = Line::of(&Subject::of::<P>(), lines[index], lock.crate_name);
        index += 1;
        if line.is_own {
            if same(line.fact, "retired id") {
                return line.fault("is retired: take another name and another type ID");
            }
            if after(line.fact, "id ").is_none() {
                continue;
            }
            found = true;
            let now = id_fact::<P>();
            if !same(line.fact, now.as_str()) {
                let mut fault = was_and_is(P::NAME, "", line.fact, now.as_str());
                fault.push(": restore it, since data is found by it");
                return fault;
            }
        } else if let Some(rest) = after(line.fact, "id ")
            && let Some((type_id, _)) = byte(rest)
            && type_id == P::TYPE_ID
        {
            let mut fault = Text::new();
            fault.push("freehold.lock: type ID ");
            fault.push_byte(type_id);
            belongs_to::<P>(&mut fault, line.owner);
            return fault;
        }
    }
    if found || !lock.insists() {
        return Text::new();
    }
    if lock.lines.is_none() {
        let mut fault = Text::new();
        fault.push(
            "freehold.lock: there is none beside Cargo.toml, and this is `locked`: \
             `freehold lock --update` writes it",
        );
        return fault;
    }
    missing(P::NAME, id_fact::<P>().as_str())
}

/// Whether no WAL type belongs to another primitive of the lock.
#[must_use]
pub const fn wal_types<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    let lines = lock.lines();
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of(&Subject::of::<P>(), lines[index], lock.crate_name);
        index += 1;
        if line.is_own {
            continue;
        }
        let fact = match after(line.fact, "retired ") {
            Some(fact) => fact,
            None => line.fact,
        };
        let Some((wal_type, _)) = byte(fact) else { continue };
        let mut claimed = 0;
        while claimed < P::WAL_TYPES.len() {
            if P::WAL_TYPES[claimed] == wal_type {
                let mut fault = Text::new();
                fault.push("freehold.lock: WAL type ");
                fault.push_byte(wal_type);
                belongs_to::<P>(&mut fault, line.owner);
                return fault;
            }
            claimed += 1;
        }
    }
    Text::new()
}

/// Whether an operation of `operations` is as the lock has it.
#[must_use]
pub const fn operation(
    subject: &Subject,
    operations: &[OperationShape],
    wal_type: u8,
    version: u8,
) -> Fault {
    let mut index = 0;
    while index < operations.len() {
        let operation = &operations[index];
        let is_it = operation.wal_type == wal_type && operation.version == version;
        if is_it && claims(subject.wal_types, wal_type) {
            return operation_of(subject, &subject.lock, operation);
        }
        index += 1;
    }
    Text::new()
}

/// Whether all operations are as the lock has them, for a primitive that is written by hand.
#[must_use]
pub const fn operations<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    let mut index = 0;
    while index < P::OPERATIONS.len() {
        let fault = operation_of(&Subject::of::<P>(), lock, &P::OPERATIONS[index]);
        if !fault.is_empty() {
            return fault;
        }
        index += 1;
    }
    Text::new()
}

const fn operation_of(subject: &Subject, lock: &Lock, operation: &OperationShape) -> Fault {
    let mut key: Text<32> = Text::new();
    push_operation_key(&mut key, operation);
    let mut now: Fault = Text::new();
    push_operation(&mut now, operation);
    if !is_one_word(operation.name) {
        return is_no_name(operation.name);
    }
    let lines = lock.lines();
    let mut found = false;
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of(subject, lines[index], lock.crate_name);
        index += 1;
        if !line.is_own {
            continue;
        }
        if let Some(retired) = after(line.fact, "retired ")
            && let Some((wal_type, version)) = byte(retired)
            && wal_type == operation.wal_type
            && (version.is_empty() || is_version(version, operation.version))
        {
            return line.fault("may never be claimed again: take the next version or another byte");
        }
        let Some(was) = after(line.fact, key.as_str()) else { continue };
        found = true;
        if same(was, now.as_str()) {
            continue;
        }
        return other_operation(subject.name, key.as_str(), was, now.as_str(), operation);
    }
    if found || !lock.insists() || lock.lines.is_none() {
        return Text::new();
    }
    let mut fact: Text<64> = Text::new();
    fact.push(key.as_str());
    fact.push(operation.name);
    missing(subject.name, fact.as_str())
}

const fn other_operation(
    name: &str,
    key: &str,
    was: &str,
    now: &str,
    operation: &OperationShape,
) -> Fault {
    let (was_called, was_layout) = word(was);
    let (is_called, is_layout) = word(now);
    if same(was_layout, is_layout) {
        let mut fault = was_and_is(name, key, was_called, is_called);
        fault.push(": restore the name, or keep it for the data with `#[wal(");
        fault.push_byte(operation.wal_type);
        fault.push(", name = \"");
        fault.push(was_called);
        fault.push("\")]`");
        return fault;
    }
    // The fingerprints are shown only where nothing else tells the two apart.
    let (was_shown, is_shown) =
        if same(layout(was), layout(now)) { (was, now) } else { (layout(was), layout(now)) };
    let mut fault = was_and_is(name, key, was_shown, is_shown);
    fault.push(": restore the layout, or add version ");
    fault.push_number(operation.version as u64 + 1);
    fault.push(" and keep version ");
    fault.push_number(operation.version as u64);
    fault.push(" as a method of its own with its old arguments and `#[wal(");
    fault.push_byte(operation.wal_type);
    fault.push(", version = ");
    fault.push_number(operation.version as u64);
    fault.push(")]`");
    fault
}

/// Whether every operation of the lock is still in the code.
#[must_use]
pub const fn kept<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    if !P::SOUND || !only_claimed(P::WAL_TYPES, P::OPERATIONS) {
        return Text::new();
    }
    let lines = lock.lines();
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of(&Subject::of::<P>(), lines[index], lock.crate_name);
        index += 1;
        if !line.is_own {
            continue;
        }
        let Some((wal_type, rest)) = byte(line.fact) else { continue };
        let (version, called) = word(rest);
        if has_operation::<P>(wal_type, version) || is_retired::<P>(lock, wal_type, version) {
            continue;
        }
        let mut fault = start(P::NAME);
        fault.push_byte(wal_type);
        fault.push(" ");
        fault.push(version);
        fault.push(" `");
        fault.push(without_last_word(called));
        fault.push(
            "` is not in the code: restore it, since old records need it to replay; if no data \
             with it is left anywhere, `freehold lock --retire ",
        );
        fault.push(P::NAME);
        fault.push(":");
        fault.push_byte(wal_type);
        fault.push(":");
        fault.push(version.split_at(1).1);
        fault.push("`");
        return fault;
    }
    Text::new()
}

/// Whether every operation has a WAL type that is claimed. One that has not is told of elsewhere.
const fn only_claimed(wal_types: &[u8], operations: &[OperationShape]) -> bool {
    let mut index = 0;
    while index < operations.len() {
        if !claims(wal_types, operations[index].wal_type) {
            return false;
        }
        index += 1;
    }
    true
}

const fn has_operation<P: PrimitiveStorageExt>(wal_type: u8, version: &str) -> bool {
    let mut index = 0;
    while index < P::OPERATIONS.len() {
        let operation = &P::OPERATIONS[index];
        if operation.wal_type == wal_type && is_version(version, operation.version) {
            return true;
        }
        index += 1;
    }
    false
}

const fn is_retired<P: PrimitiveStorageExt>(lock: &Lock, wal_type: u8, version: &str) -> bool {
    let lines = lock.lines();
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of(&Subject::of::<P>(), lines[index], lock.crate_name);
        index += 1;
        if line.is_own
            && let Some(retired) = after(line.fact, "retired ")
            && let Some((of, rest)) = byte(retired)
            && of == wal_type
            && (rest.is_empty() || same(rest, version))
        {
            return true;
        }
    }
    false
}

/// Whether the section is as the lock has it, and everything in older ones can still be read.
#[must_use]
pub const fn section<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    let mut key: Text<32> = Text::new();
    push_section_key(&mut key, P::SECTION_VERSION);
    let mut now: Fault = Text::new();
    push_section::<P, MESSAGE_BYTES_MAX>(&mut now);
    let lines = lock.lines();
    let mut found = false;
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of(&Subject::of::<P>(), lines[index], lock.crate_name);
        index += 1;
        if !line.is_own {
            continue;
        }
        if let Some(was) = after(line.fact, key.as_str()) {
            found = true;
            if !same(was, now.as_str()) {
                let (was, now) = if same(fields(was), fields(now.as_str())) {
                    (was, now.as_str())
                } else {
                    (fields(was), fields(now.as_str()))
                };
                let mut fault = was_and_is(P::NAME, key.as_str(), was, now);
                fault.push(": restore it, or write `section_version = ");
                fault.push_number(P::SECTION_VERSION as u64 + 1);
                fault.push("` and keep every field of version ");
                fault.push_number(P::SECTION_VERSION as u64);
                return fault;
            }
        } else if after(line.fact, "section v").is_some() {
            let (_, rest) = word(line.fact);
            let (version, was) = word(rest);
            if let Some((field, now)) = lost_field::<P>(fields(was), fields(now.as_str())) {
                let mut fault = start(P::NAME);
                fault.push("section ");
                fault.push(version);
                fault.push(" has the field `");
                fault.push(field);
                fault.push("`, which is now ");
                if now.is_empty() {
                    fault.push("not there");
                } else {
                    fault.push("`");
                    fault.push(now);
                    fault.push("`");
                }
                fault.push(
                    ": old snapshots could not be read. Keep it, or make a field of another name of \
                     it with `#[field(from = |",
                );
                fault.push(name_of(field));
                fault.push(": ..| ..)]`, or give up what is in it with `dropped = [\"");
                fault.push(name_of(field));
                fault.push("\"]`");
                return fault;
            }
        }
    }
    if found || !lock.insists() || lock.lines.is_none() {
        return Text::new();
    }
    let mut fact: Text<32> = Text::new();
    fact.push("section v");
    fact.push_number(P::SECTION_VERSION as u64);
    missing(P::NAME, fact.as_str())
}

/// The first field of an older section that this build could not read, and what it is now.
const fn lost_field<'t, P: PrimitiveStorageExt>(
    was: &'t str,
    now: &'t str,
) -> Option<(&'t str, &'t str)> {
    let mut rest = was;
    while let Some((field, behind)) = first_field(rest) {
        rest = behind;
        let mut dropped = false;
        let mut index = 0;
        while index < P::DROPPED_FIELDS.len() {
            dropped |= same(P::DROPPED_FIELDS[index], name_of(field));
            index += 1;
        }
        if dropped {
            continue;
        }
        if same(find_field(const { &P::FORMER_FIELDS }.as_str(), name_of(field)), field) {
            continue;
        }
        let is = find_field(now, name_of(field));
        if !same(is, field) {
            return Some((field, is));
        }
    }
    None
}

/// Whose lines are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    name: &'static str,
    former_names: &'static [&'static str],
    wal_types: &'static [u8],
    lock: Lock,
}

impl Subject {
    /// A type that is no primitive, of which another error tells.
    pub const NONE: Subject =
        Subject { name: "", former_names: &[], wal_types: &[], lock: Lock::NONE };

    /// A primitive.
    #[must_use]
    pub const fn of<P: PrimitiveStorageExt>() -> Subject {
        let (former_names, wal_types) = (P::FORMER_NAMES, P::WAL_TYPES);
        Subject { name: P::NAME, former_names, wal_types, lock: P::LOCK }
    }
}

/// A line of the lock.
struct Line {
    /// The primitive's name.
    owner: &'static str,
    /// It is this primitive's, under this name or a former one.
    is_own: bool,
    fact: &'static str,
}

impl Line {
    const fn of(subject: &Subject, line: &'static str, krate: &str) -> Line {
        let rest = match after(line, krate) {
            Some(rest) => rest,
            None => "",
        };
        let (owner, fact) = match after(rest, "::") {
            Some(rest) => word(rest),
            None => ("", ""),
        };
        let mut is_own = same(owner, subject.name);
        let mut index = 0;
        while index < subject.former_names.len() {
            is_own |= same(owner, subject.former_names[index]);
            index += 1;
        }
        Line { owner, is_own, fact }
    }

    /// `freehold.lock: Counters retired 0x82 ..`
    const fn fault(&self, what: &str) -> Fault {
        let mut fault = Text::new();
        fault.push("freehold.lock: ");
        fault.push(self.owner);
        fault.push(" `");
        fault.push(self.fact);
        fault.push("`: it ");
        fault.push(what);
        fault
    }
}

/// A name of the primitive that would be more than one word of a line.
const fn name_of_several_words<P: PrimitiveStorageExt>() -> Option<&'static str> {
    if !is_one_word(P::NAME) {
        return Some(P::NAME);
    }
    let mut index = 0;
    while index < P::FORMER_NAMES.len() {
        if !is_one_word(P::FORMER_NAMES[index]) {
            return Some(P::FORMER_NAMES[index]);
        }
        index += 1;
    }
    None
}

const fn is_no_name(name: &str) -> Fault {
    let mut fault = Text::new();
    fault.push("`");
    fault.push(name);
    fault.push("` is no name: it is one word, without spaces and control characters");
    fault
}

const fn is_one_word(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] <= b' ' || bytes[index] == 0x7f {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty()
}

/// `freehold.lock: Counters `
const fn start(name: &str) -> Fault {
    let mut fault = Text::new();
    fault.push("freehold.lock: ");
    fault.push(name);
    fault.push(" ");
    fault
}

/// `freehold.lock: Counters 0x80 v1 was `..` and is now `..``
const fn was_and_is(name: &str, key: &str, was: &str, is: &str) -> Fault {
    let mut fault = start(name);
    fault.push(key);
    fault.push("was `");
    fault.push(was);
    fault.push("` and is now `");
    fault.push(is);
    fault.push("`");
    fault
}

const fn missing(name: &str, fact: &str) -> Fault {
    let mut fault = start(name);
    fault.push("`");
    fault.push(fact);
    fault.push("` is missing, and the lock is `locked`: `freehold lock --update` adds it");
    fault
}

/// ` belongs to Tallies: take another; if Counters is Tallies under a new name, ..`
const fn belongs_to<P: PrimitiveStorageExt>(fault: &mut Fault, owner: &str) {
    fault.push(" belongs to ");
    fault.push(owner);
    fault.push(": take another; if ");
    fault.push(P::NAME);
    fault.push(" is ");
    fault.push(owner);
    fault.push(" under a new name, write `was = [\"");
    fault.push(owner);
    fault.push("\"]`");
}
