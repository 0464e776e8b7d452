//! The entries that belong to the engine itself: WAL types 0x00 to 0x0f.
//!
//! - A record starts in the root run; a run switch changes the run of the entries that follow it.
//! - What is reserved is never written, and refused when it is met.

use crate::error::Damage;
use crate::format::RUN_NAME_BYTES_MAX;
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::{Field, width_of_all};
use crate::id::{Lsn, RunId};

/// Reserved.
pub(crate) const RESERVED: u8 = 0x00;
/// Reserved: a record is a commit.
pub(crate) const COMMIT: u8 = 0x01;
/// Reserved: what was aborted is not in the log.
pub(crate) const ABORT: u8 = 0x02;
/// Reserved: a marker for people and tools.
pub(crate) const MARKER: u8 = 0x03;
/// Changes the run of the entries behind it: [`RunSwitch`].
pub(crate) const RUN_SWITCH: u8 = 0x04;
/// Makes an empty run: [`RunCreate`].
pub(crate) const RUN_CREATE: u8 = 0x05;
/// Reserved: makes a run out of another one's state.
pub(crate) const RUN_FORK: u8 = 0x06;
/// Deletes a run: [`RunDelete`].
pub(crate) const RUN_DELETE: u8 = 0x07;
/// Reserved: the catalog stands in headers.
pub(crate) const CATALOG: u8 = 0x08;
/// Reserved: where an imported entry comes from.
pub(crate) const ORIGIN: u8 = 0x09;
/// Reserved: the way to more WAL types than a byte has.
pub(crate) const ESCAPE: u8 = 0x0f;
/// The highest WAL type that belongs to the engine.
pub(crate) const LAST: u8 = 0x0f;

/// The version in which core entries are written.
pub(crate) const CORE_ENTRY_VERSION: u8 = 1;

/// What a core WAL type is called, for a dump.
pub(crate) fn name_of(wal_type: u8) -> Option<&'static str> {
    match wal_type {
        COMMIT => Some("commit"),
        ABORT => Some("abort"),
        MARKER => Some("marker"),
        RUN_SWITCH => Some("run switch"),
        RUN_CREATE => Some("run create"),
        RUN_FORK => Some("run fork"),
        RUN_DELETE => Some("run delete"),
        CATALOG => Some("catalog"),
        ORIGIN => Some("origin"),
        ESCAPE => Some("escape"),
        RESERVED..=LAST => Some("reserved"),
        _ => None,
    }
}

const RUN_SWITCH_PAYLOAD: &[Field] =
    &[("run", 8), ("slot, zero", 4), ("reserved, zero", 4), ("previous LSN of that run", 8)];
const RUN_CREATE_PAYLOAD: &[Field] = &[
    ("run", 8),
    ("parent, 0 if none", 8),
    ("LSN of the parent, 0 if none", 8),
    ("name, UTF-8", 0),
];
const RUN_DELETE_PAYLOAD: &[Field] = &[("run", 8)];

/// Bytes of a run switch's payload.
pub(crate) const RUN_SWITCH_LEN: usize = width_of_all(RUN_SWITCH_PAYLOAD);
const RUN_DELETE_LEN: usize = width_of_all(RUN_DELETE_PAYLOAD);

const _: () = assert!(RUN_SWITCH_LEN == 24);

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    ("Payload of a run switch", "WAL type 0x04, version 1.", RUN_SWITCH_PAYLOAD),
    ("Payload of a run creation", "WAL type 0x05, version 1.", RUN_CREATE_PAYLOAD),
    ("Payload of a run deletion", "WAL type 0x07, version 1.", RUN_DELETE_PAYLOAD),
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

/// There is a new run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunCreate<'a> {
    pub(crate) run: RunId,
    /// The run it was forked from, and up to which record.
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
        let run = RunId(cursor.u64("run of a run creation")?);
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
        let parent = (parent != RunId::ROOT).then_some((parent, parent_lsn));
        if parent.is_none() && parent_lsn != Lsn::ZERO {
            let of = "LSN of the parent of a run creation";
            return Err(Damage::Value { of, found: parent_lsn.0, expected: 0 });
        }
        Ok(RunCreate { run, parent, name })
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
        let run = RunId(cursor.u64("run of a run deletion")?);
        cursor.end("run deletion")?;
        Ok(RunDelete { run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_entries_come_back() {
        let switch = RunSwitch { run: RunId(7), previous_lsn: Lsn(9) };
        assert_eq!(RunSwitch::decode(&switch.encode()), Ok(switch));
        for parent in [None, Some((RunId(3), Lsn(4)))] {
            let create = RunCreate { run: RunId(8), parent, name: "año" };
            assert_eq!(RunCreate::decode(&create.encode()), Ok(create));
        }
        let delete = RunDelete { run: RunId(8) };
        assert_eq!(RunDelete::decode(&delete.encode()), Ok(delete));
    }

    #[test]
    fn a_payload_of_another_length_does_not_decode() {
        let switch = RunSwitch { run: RunId(7), previous_lsn: Lsn(9) }.encode();
        for len in 0..switch.len() {
            assert!(RunSwitch::decode(&switch[..len]).is_err());
        }
        assert!(RunSwitch::decode(&[switch.as_slice(), &[0]].concat()).is_err());
        assert!(RunDelete::decode(&[0; 9]).is_err());
        assert!(RunCreate::decode(&[0; 24]).is_err(), "a run without a name");
        assert!(RunCreate::decode(&[1; 24 + 256]).is_err(), "a name too long");
    }
}
