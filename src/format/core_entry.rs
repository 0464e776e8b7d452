//! The entries that belong to the engine itself: WAL types 0x00 to 0x0f.
//!
//! - A record starts in the root run; a run switch changes the run of the entries that follow it.
//! - What is reserved is never written, and refused when it is met.

use crate::error::Damage;
use crate::format::RUN_NAME_BYTES_MAX;
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::{Field, width_of_all};
use crate::id::{Lsn, RunId, Timestamp};

/// Changes the run of the entries behind it: [`RunSwitch`].
pub(crate) const RUN_SWITCH: u8 = 0x04;
/// Makes an empty run: [`RunCreate`].
pub(crate) const RUN_CREATE: u8 = 0x05;
/// Makes a run with the state that another one has just then: [`RunCreate`], with that other one.
pub(crate) const RUN_FORK: u8 = 0x06;
/// Deletes a run: [`RunDelete`].
pub(crate) const RUN_DELETE: u8 = 0x07;
/// Says where the entry behind it was first logged: [`Origin`].
pub(crate) const ORIGIN: u8 = 0x09;
/// The highest WAL type that belongs to the engine.
pub(crate) const LAST: u8 = 0x0f;

/// The version in which core entries are written.
pub(crate) const CORE_ENTRY_VERSION: u8 = 1;

/// What each core WAL type is for, and whether it is only reserved.
#[cfg(any(test, feature = "cli"))]
const NAMES: [(&str, bool); LAST as usize + 1] = [
    ("nothing", true),
    ("commit", true), // A record is a commit.
    ("abort", true),  // What was aborted is not in the log.
    ("marker", true),
    ("run switch", false),
    ("run create", false),
    ("run fork", false),
    ("run delete", false),
    ("catalog", true), // It stands in headers.
    ("origin", false),
    ("nothing", true),
    ("nothing", true),
    ("nothing", true),
    ("nothing", true),
    ("nothing", true),
    ("escape", true), // The way to more WAL types than a byte has.
];

/// What a core WAL type is called, for a dump.
#[cfg(any(test, feature = "cli"))]
pub(crate) fn name_of(wal_type: u8) -> Option<&'static str> {
    NAMES.get(usize::from(wal_type)).map(|(name, _)| *name)
}

const RUN_SWITCH_PAYLOAD: &[Field] =
    &[("run", 8), ("slot, zero", 4), ("reserved, zero", 4), ("previous LSN of that run", 8)];
const RUN_CREATE_PAYLOAD: &[Field] = &[
    ("run", 8),
    ("parent, 0 if none or the root", 8),
    ("LSN of the parent, 0 if none", 8),
    ("name, UTF-8", 0),
];
const ORIGIN_PAYLOAD: &[Field] = &[
    ("LSN", 8),
    ("timestamp, ns since 1970", 8),
    ("index in that record", 4),
    ("reserved, zero", 4),
];
const RUN_DELETE_PAYLOAD: &[Field] = &[("run", 8)];

/// Bytes of a run switch's payload.
pub(crate) const RUN_SWITCH_LEN: usize = width_of_all(RUN_SWITCH_PAYLOAD);
const RUN_DELETE_LEN: usize = width_of_all(RUN_DELETE_PAYLOAD);
const ORIGIN_LEN: usize = width_of_all(ORIGIN_PAYLOAD);

const _: () = assert!(RUN_SWITCH_LEN == 24);

/// The WAL types of the engine, for the document.
#[cfg(test)]
pub(crate) fn types_markdown() -> String {
    let mut text = String::from("| WAL type | for | |\n|---|---|---|\n");
    for (wal_type, (name, is_reserved)) in NAMES.iter().enumerate() {
        let reserved = if *is_reserved { "reserved, never written" } else { "version 1" };
        text += &format!("| {wal_type:#04x} | {name} | {reserved} |\n");
    }
    text + "\n"
}

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    ("Payload of a run switch", "WAL type 0x04, version 1.", RUN_SWITCH_PAYLOAD),
    (
        "Payload of a run creation or fork",
        "WAL types 0x05 and 0x06, version 1. A run that was created is empty; its parent is the one \
         whose entries are logged again behind it. A run that was forked begins with the state of its \
         parent after everything that precedes this entry, and the LSN is that of the parent's last \
         record then (of this one, for the root).",
        RUN_CREATE_PAYLOAD,
    ),
    ("Payload of a run deletion", "WAL type 0x07, version 1.", RUN_DELETE_PAYLOAD),
    (
        "Payload of an origin",
        "WAL type 0x09, version 1. The next entry is told this place and time, and not its own.",
        ORIGIN_PAYLOAD,
    ),
];

/// The entries that follow belong to `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunSwitch {
    pub(crate) run: RunId,
    /// The last record with an entry of that run, before this one.
    pub(crate) previous_lsn: Lsn,
}

impl RunSwitch {
    pub(crate) fn encode(&self) -> [u8; RUN_SWITCH_LEN] {
        let mut payload = [0; RUN_SWITCH_LEN];
        payload[..8].copy_from_slice(&self.run.0.to_le_bytes());
        payload[16..].copy_from_slice(&self.previous_lsn.0.to_le_bytes());
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<RunSwitch, Damage> {
        let mut cursor = Cursor::new(payload);
        let run = RunId(cursor.u64("run of a run switch")?);
        cursor.zeros(8, "slot of a run switch")?;
        let previous_lsn = Lsn(cursor.u64("previous LSN of a run switch")?);
        cursor.end("run switch")?;
        Ok(RunSwitch { run, previous_lsn })
    }
}

/// There is a new run: an empty one, or a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunCreate<'a> {
    pub(crate) run: RunId,
    /// The run it comes from, and up to which record.
    pub(crate) parent: Option<(RunId, Lsn)>,
    pub(crate) name: &'a str,
}

impl<'a> RunCreate<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (parent, parent_lsn) = self.parent.unwrap_or_default();
        let mut payload = Vec::with_capacity(width_of_all(RUN_CREATE_PAYLOAD) + self.name.len());
        payload.put_u64(self.run.0);
        payload.put_u64(parent.0);
        payload.put_u64(parent_lsn.0);
        payload.put_bytes(self.name.as_bytes());
        payload
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<RunCreate<'a>, Damage> {
        let mut cursor = Cursor::new(payload);
        let run = not_root(cursor.u64("run of a run creation")?)?;
        let parent = RunId(cursor.u64("parent of a run creation")?);
        let parent_lsn = Lsn(cursor.u64("LSN of the parent of a run creation")?);
        let name = cursor.rest();
        if name.is_empty() || name.len() > RUN_NAME_BYTES_MAX {
            return Err(Damage::TooLarge {
                of: "length of a run's name",
                found: name.len() as u64,
                most: RUN_NAME_BYTES_MAX as u64,
            });
        }
        let name =
            std::str::from_utf8(name).map_err(|_| Damage::Undecodable { of: "name of a run" })?;
        Ok(RunCreate { run, parent: decode_parent(parent, parent_lsn)?, name })
    }
}

/// The parent of a run, as it stands in bytes. No record has the LSN 0.
pub(crate) fn decode_parent(parent: RunId, lsn: Lsn) -> Result<Option<(RunId, Lsn)>, Damage> {
    match (parent, lsn) {
        (RunId::ROOT, Lsn::ZERO) => Ok(None),
        (_, Lsn::ZERO) => Err(Damage::Value { of: "LSN of a run's parent", found: 0, expected: 1 }),
        parent => Ok(Some(parent)),
    }
}

/// The root is always there: it is neither made nor deleted.
fn not_root(run: u64) -> Result<RunId, Damage> {
    match RunId(run) {
        RunId::ROOT => Err(Damage::Run { run: RunId::ROOT, what: "is the root" }),
        run => Ok(run),
    }
}

/// A run is gone, with everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunDelete {
    pub(crate) run: RunId,
}

impl RunDelete {
    pub(crate) fn encode(&self) -> [u8; RUN_DELETE_LEN] {
        self.run.0.to_le_bytes()
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<RunDelete, Damage> {
        let mut cursor = Cursor::new(payload);
        let run = not_root(cursor.u64("run of a run deletion")?)?;
        cursor.end("run deletion")?;
        Ok(RunDelete { run })
    }
}

/// Where and when an entry was first logged, which is what its operation was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) lsn: Lsn,
    pub(crate) timestamp: Timestamp,
    pub(crate) index: u32,
}

impl Origin {
    pub(crate) fn encode(&self) -> [u8; ORIGIN_LEN] {
        let mut payload = [0; ORIGIN_LEN];
        payload[..8].copy_from_slice(&self.lsn.0.to_le_bytes());
        payload[8..16].copy_from_slice(&self.timestamp.0.to_le_bytes());
        payload[16..20].copy_from_slice(&self.index.to_le_bytes());
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Origin, Damage> {
        let mut cursor = Cursor::new(payload);
        let origin = Origin {
            lsn: Lsn(cursor.u64("LSN of an origin")?),
            timestamp: Timestamp(cursor.u64("timestamp of an origin")?),
            index: cursor.u32("index of an origin")?,
        };
        cursor.zeros(4, "reserved bytes of an origin")?;
        cursor.end("origin")?;
        Ok(origin)
    }
}

/// The highest place and time that origins in a run told its operations: what follows is told more, so
/// that in a run neither ever falls. Zeros where nothing has an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) lsn: Lsn,
    pub(crate) timestamp: Timestamp,
}

impl Told {
    /// An operation was told this.
    pub(crate) fn raise(&mut self, origin: &Origin) {
        *self = self.max(&Told { lsn: origin.lsn, timestamp: origin.timestamp });
    }

    /// The higher of both, in each.
    pub(crate) fn max(&self, other: &Told) -> Told {
        Told { lsn: self.lsn.max(other.lsn), timestamp: self.timestamp.max(other.timestamp) }
    }

    /// What an operation in a record of this place and time is told; `None`: just that.
    #[inline]
    pub(crate) fn instead_of(&self, lsn: Lsn, timestamp: Timestamp) -> Option<(Lsn, Timestamp)> {
        if self.lsn < lsn && self.timestamp <= timestamp {
            return None;
        }
        Some((lsn.max(self.lsn.next()), timestamp.max(self.timestamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_next_is_a_higher_place_and_no_earlier_time() {
        let told = Told { lsn: Lsn(10), timestamp: Timestamp(100) };
        for (record, instead) in [
            ((9, 99), Some((11, 100))),
            ((9, 100), Some((11, 100))),
            ((9, 101), Some((11, 101))),
            ((10, 101), Some((11, 101))),
            ((11, 99), Some((11, 100))),
            ((11, 100), None),
            ((12, 99), Some((12, 100))),
            ((12, 101), None),
        ] {
            let next = told.instead_of(Lsn(record.0), Timestamp(record.1));
            assert_eq!(next.map(|(lsn, time)| (lsn.0, time.0)), instead, "{record:?}");
        }
        assert_eq!(Told::default().instead_of(Lsn(1), Timestamp(0)), None);
    }

    #[test]
    fn what_is_written_is_not_reserved() {
        for (wal_type, name) in [
            (RUN_SWITCH, "run switch"),
            (RUN_CREATE, "run create"),
            (RUN_FORK, "run fork"),
            (RUN_DELETE, "run delete"),
            (ORIGIN, "origin"),
        ] {
            assert_eq!(NAMES[usize::from(wal_type)], (name, false));
        }
        assert_eq!(NAMES.iter().filter(|(_, is_reserved)| !is_reserved).count(), 5);
        assert_eq!(name_of(LAST), Some("escape"));
        assert_eq!(name_of(LAST + 1), None);
    }

    #[test]
    fn core_entries_come_back() {
        let switch = RunSwitch { run: RunId(7), previous_lsn: Lsn(9) };
        assert_eq!(RunSwitch::decode(&switch.encode()), Ok(switch));
        for parent in [None, Some((RunId(3), Lsn(4))), Some((RunId::ROOT, Lsn(4)))] {
            let create = RunCreate { run: RunId(8), parent, name: "año" };
            assert_eq!(RunCreate::decode(&create.encode()), Ok(create));
        }
        let delete = RunDelete { run: RunId(8) };
        assert_eq!(RunDelete::decode(&delete.encode()), Ok(delete));
        let origin = Origin { lsn: Lsn(7), timestamp: Timestamp(8), index: 9 };
        assert_eq!(Origin::decode(&origin.encode()), Ok(origin));
    }

    #[test]
    fn a_payload_of_another_length_does_not_decode() {
        let switch = RunSwitch { run: RunId(7), previous_lsn: Lsn(9) }.encode();
        for len in 0..switch.len() {
            assert!(RunSwitch::decode(&switch[..len]).is_err());
        }
        assert!(RunSwitch::decode(&[switch.as_slice(), &[0]].concat()).is_err());
        assert!(RunDelete::decode(&[0; 9]).is_err());
        assert!(Origin::decode(&[0; 23]).is_err());
        assert!(Origin::decode(&[0; 25]).is_err());
        let nowhere = RunCreate { run: RunId(8), parent: Some((RunId(3), Lsn(0))), name: "x" };
        assert!(RunCreate::decode(&nowhere.encode()).is_err(), "a parent before every record");
        assert!(RunCreate::decode(&[0; 24]).is_err(), "a run without a name");
        assert!(RunCreate::decode(&[1; 24 + 256]).is_err(), "a name too long");
    }
}
