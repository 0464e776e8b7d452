//! The format lock: what `freehold.lock` says of a primitive against what the compiler builds.
//!
//! - A fact is a line of text. The same text stands in the binary ([`facts`]) and in the lock, so a
//!   line is compared and not interpreted.
//! - Everything here runs in the compiler. What it finds is a text for the user; no text, no fault.
//! - The lock is about one crate: the same attribute in a test or in an example is none of its
//!   business.
//! - `docs/extending.md` says what each change asks for; decision 0008 why.

use super::contract::{OperationShape, PrimitiveStorageExt};
use super::descriptor::Origin;
use super::guards::crate_of;
use super::text::Text;

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

/// How rkyv lays bytes out here: the features of it that decide about the format.
pub(super) const FORMAT: Text<64> = {
    let mut text = Text::new();
    text.push("rkyv 0.8");
    text.push(if is_little_endian() { " little_endian" } else { " big_endian" });
    text.push(if align_of::<rkyv::Archived<u64>>() == 8 { " aligned" } else { " unaligned" });
    text.push(" pointer_width_");
    text.push_number(size_of::<rkyv::Archived<usize>>() as u64 * 8);
    text
};

/// The archive of a number is little-endian if it is of the type that says so.
const fn is_little_endian() -> bool {
    let archived: rkyv::Archived<u16> = rend::u16_le::from_native(1);
    archived.to_native() == 1
}

/// The lines that a binary has of `P`: first its name on one of its own, then what the lock also has.
#[must_use]
pub const fn facts<P: PrimitiveStorageExt, const N: usize>(origin: &Origin) -> Text<N> {
    let mut text = Text::new();
    push_start::<P, N>(&mut text, origin.crate_name);
    text.push("from ");
    text.push(origin.crate_version);
    text.push(" ");
    text.push_number(origin.line as u64);
    text.push(" ");
    text.push(origin.file);
    text.push("\n");

    push_start::<P, N>(&mut text, origin.crate_name);
    text.push("wal");
    let mut index = 0;
    while index < P::WAL_TYPES.len() {
        text.push(" ");
        text.push_byte(P::WAL_TYPES[index]);
        index += 1;
    }
    text.push("\n");

    let mut index = 0;
    while index < P::FORMER_NAMES.len() {
        push_start::<P, N>(&mut text, origin.crate_name);
        text.push("was ");
        text.push(P::FORMER_NAMES[index]);
        text.push("\n");
        index += 1;
    }

    push_start::<P, N>(&mut text, origin.crate_name);
    text.push(id_fact::<P>().as_str());
    text.push("\n");

    let mut index = 0;
    while index < P::OPERATIONS.len() {
        push_start::<P, N>(&mut text, origin.crate_name);
        push_operation_key(&mut text, &P::OPERATIONS[index]);
        push_operation(&mut text, &P::OPERATIONS[index]);
        text.push("\n");
        index += 1;
    }

    push_start::<P, N>(&mut text, origin.crate_name);
    push_section_key(&mut text, P::SECTION_VERSION);
    push_section::<P, N>(&mut text);
    text.push("\n");
    text
}

const fn push_start<P: PrimitiveStorageExt, const N: usize>(text: &mut Text<N>, krate: &str) {
    text.push(krate);
    text.push("::");
    text.push(P::NAME);
    text.push(" ");
}

const fn id_fact<P: PrimitiveStorageExt>() -> Text<32> {
    let mut text = Text::new();
    text.push("id ");
    text.push_byte(P::TYPE_ID);
    text.push(if P::ROOT_ONLY { " scope root" } else { " scope runs" });
    text
}

const fn push_operation_key<const N: usize>(text: &mut Text<N>, operation: &OperationShape) {
    text.push_byte(operation.wal_type);
    text.push(" v");
    text.push_number(operation.version as u64);
    text.push(" ");
}

const fn push_operation<const N: usize>(text: &mut Text<N>, operation: &OperationShape) {
    text.push(operation.name);
    text.push(" ");
    text.push(operation.shape);
    text.push(" ");
    text.push_hex(operation.fingerprint);
}

const fn push_section_key<const N: usize>(text: &mut Text<N>, version: u32) {
    text.push("section v");
    text.push_number(version as u64);
    text.push(" ");
}

const fn push_section<P: PrimitiveStorageExt, const N: usize>(text: &mut Text<N>) {
    let shape = const { &P::SECTION_SHAPE };
    text.push("(");
    text.push(shape.as_str());
    text.push(") ");
    text.push_hex(shape.fingerprint());
}

/// Whether the type ID and the scope are the locked ones, and nobody else's.
#[must_use]
pub const fn id<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    let lines = lock.lines();
    let mut index = 0;
    let mut found = false;
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
        let line = Line::of::<P>(lines[index], lock.crate_name);
        index += 1;
        if line.is_own {
            if same(line.fact, "retired id") {
                return line.fault::<P>("is retired: take another name and another type ID");
            }
            if after(line.fact, "id ").is_none() {
                continue;
            }
            found = true;
            let now = id_fact::<P>();
            if !same(line.fact, now.as_str()) {
                let mut fault = was_and_is::<P>("", line.fact, now.as_str());
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
    missing::<P>(id_fact::<P>().as_str())
}

/// Whether no WAL type belongs to another primitive of the lock.
#[must_use]
pub const fn wal_types<P: PrimitiveStorageExt>(lock: &Lock) -> Fault {
    let lines = lock.lines();
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of::<P>(lines[index], lock.crate_name);
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

/// Whether the operation is as the lock has it.
#[must_use]
pub const fn operation<P: PrimitiveStorageExt>(lock: &Lock, wal_type: u8, version: u8) -> Fault {
    let mut index = 0;
    while index < P::OPERATIONS.len() {
        let operation = &P::OPERATIONS[index];
        if operation.wal_type == wal_type && operation.version == version {
            return operation_of::<P>(lock, operation);
        }
        index += 1;
    }
    Text::new()
}

const fn operation_of<P: PrimitiveStorageExt>(lock: &Lock, operation: &OperationShape) -> Fault {
    let mut key: Text<32> = Text::new();
    push_operation_key(&mut key, operation);
    let mut now: Fault = Text::new();
    push_operation(&mut now, operation);
    let lines = lock.lines();
    let mut found = false;
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of::<P>(lines[index], lock.crate_name);
        index += 1;
        if !line.is_own {
            continue;
        }
        if let Some(retired) = after(line.fact, "retired ")
            && let Some((wal_type, version)) = byte(retired)
            && wal_type == operation.wal_type
            && (version.is_empty() || is_version(version, operation.version))
        {
            return line
                .fault::<P>("may never be claimed again: take the next version or another byte");
        }
        let Some(was) = after(line.fact, key.as_str()) else { continue };
        found = true;
        if same(was, now.as_str()) {
            continue;
        }
        return other_operation::<P>(key.as_str(), was, now.as_str(), operation);
    }
    if found || !lock.insists() || lock.lines.is_none() {
        return Text::new();
    }
    let mut fact: Text<64> = Text::new();
    fact.push(key.as_str());
    fact.push(operation.name);
    missing::<P>(fact.as_str())
}

const fn other_operation<P: PrimitiveStorageExt>(
    key: &str,
    was: &str,
    now: &str,
    operation: &OperationShape,
) -> Fault {
    let (was_called, was_layout) = word(was);
    let (is_called, is_layout) = word(now);
    if same(was_layout, is_layout) {
        let mut fault = was_and_is::<P>(key, was_called, is_called);
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
    let mut fault = was_and_is::<P>(key, was_shown, is_shown);
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
    let lines = lock.lines();
    let mut index = 0;
    while index < lines.len() {
        let line = Line::of::<P>(lines[index], lock.crate_name);
        index += 1;
        if !line.is_own {
            continue;
        }
        let Some((wal_type, rest)) = byte(line.fact) else { continue };
        let (version, called) = word(rest);
        if has_operation::<P>(wal_type, version) || is_retired::<P>(lock, wal_type, version) {
            continue;
        }
        let mut fault = start::<P>();
        fault.push_byte(wal_type);
        fault.push(" ");
        fault.push(version);
        fault.push(" `");
        fault.push(layout(called));
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
        let line = Line::of::<P>(lines[index], lock.crate_name);
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
        let line = Line::of::<P>(lines[index], lock.crate_name);
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
                let mut fault = was_and_is::<P>(key.as_str(), was, now);
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
                let mut fault = start::<P>();
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
    missing::<P>(fact.as_str())
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

/// The field called `name`, with its type; nothing if there is none.
const fn find_field<'t>(fields: &'t str, name: &str) -> &'t str {
    let mut rest = fields;
    while let Some((field, behind)) = first_field(rest) {
        if same(name_of(field), name) {
            return field;
        }
        rest = behind;
    }
    ""
}

/// The first `name: type, ` of a section's fields, and what follows.
const fn first_field(fields: &str) -> Option<(&str, &str)> {
    let bytes = fields.as_bytes();
    let mut depth = 0;
    let mut index = 0;
    while index + 1 < bytes.len() {
        match bytes[index] {
            b'(' | b'<' | b'[' | b'{' => depth += 1,
            b')' | b'>' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                return Some((fields.split_at(index).0, fields.split_at(index + 2).1));
            }
            _ => {}
        }
        index += 1;
    }
    None
}

/// `counts` of `counts: map<str, i64>`.
const fn name_of(field: &str) -> &str {
    let bytes = field.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b':' {
            return field.split_at(index).0;
        }
        index += 1;
    }
    field
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
    const fn of<P: PrimitiveStorageExt>(line: &'static str, krate: &str) -> Line {
        let rest = match after(line, krate) {
            Some(rest) => rest,
            None => "",
        };
        let (owner, fact) = match after(rest, "::") {
            Some(rest) => word(rest),
            None => ("", ""),
        };
        let mut is_own = same(owner, P::NAME);
        let mut index = 0;
        while index < P::FORMER_NAMES.len() {
            is_own |= same(owner, P::FORMER_NAMES[index]);
            index += 1;
        }
        Line { owner, is_own, fact }
    }

    /// `freehold.lock: Counters retired 0x82 ..`
    const fn fault<P: PrimitiveStorageExt>(&self, what: &str) -> Fault {
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

/// `freehold.lock: Counters `
const fn start<P: PrimitiveStorageExt>() -> Fault {
    let mut fault = Text::new();
    fault.push("freehold.lock: ");
    fault.push(P::NAME);
    fault.push(" ");
    fault
}

/// `freehold.lock: Counters 0x80 v1 was `..` and is now `..``
const fn was_and_is<P: PrimitiveStorageExt>(key: &str, was: &str, is: &str) -> Fault {
    let mut fault = start::<P>();
    fault.push(key);
    fault.push("was `");
    fault.push(was);
    fault.push("` and is now `");
    fault.push(is);
    fault.push("`");
    fault
}

const fn missing<P: PrimitiveStorageExt>(fact: &str) -> Fault {
    let mut fault = start::<P>();
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

/// What stands between the name and the fingerprint of an operation.
const fn layout(operation: &str) -> &str {
    let (_, rest) = word(operation);
    without_last_word(rest)
}

/// What stands in the parentheses of a section.
const fn fields(section: &str) -> &str {
    let inner = without_last_word(section);
    if inner.len() < 2 {
        return "";
    }
    inner.split_at(inner.len() - 1).0.split_at(1).1
}

const fn without_last_word(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut index = bytes.len();
    while index > 0 {
        index -= 1;
        if bytes[index] == b' ' {
            return text.split_at(index).0;
        }
    }
    text
}

/// The first word, and what stands behind the space.
const fn word(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b' ' {
            return (text.split_at(index).0, text.split_at(index + 1).1);
        }
        index += 1;
    }
    (text, "")
}

/// The byte whose hexadecimal digits come first, and what stands behind the space.
const fn byte(text: &str) -> Option<(u8, &str)> {
    let (first, rest) = word(text);
    let Some(digits) = after(first, "0x") else { return None };
    match u8::from_str_radix(digits, 16) {
        Ok(byte) => Some((byte, rest)),
        Err(_) => None,
    }
}

/// Whether `text` is `v` and this number.
const fn is_version(text: &str, version: u8) -> bool {
    match after(text, "v") {
        Some(digits) => match u8::from_str_radix(digits, 10) {
            Ok(number) => number == version,
            Err(_) => false,
        },
        None => false,
    }
}

/// What stands behind `start`.
const fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    if text.len() < start.len() {
        return None;
    }
    let mut index = 0;
    while index < start.len() {
        if text.as_bytes()[index] != start.as_bytes()[index] {
            return None;
        }
        index += 1;
    }
    Some(text.split_at(start.len()).1)
}

const fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && after(left, right).is_some()
}
