//! What files of a later release look like, which no build of today writes.

use std::path::Path;

use crate::database::{Database, Options};
use crate::error::Error;
use crate::format::segment::SegmentHeader;
use crate::format::version::Features;
use crate::prelude::{OrdMap, operations, primitive};
use crate::testing::SimDisk;

/// Marks.
#[primitive(id = 0xea, wal = 0xea)]
#[derive(Clone, Default)]
struct Marks {
    marks: OrdMap<u64, u64>,
}

#[operations]
impl Marks {
    #[wal(0xea)]
    fn mark(&mut self, at: u64) {
        self.marks.insert(at, at);
    }
}

fn open(disk: &SimDisk) -> Result<Database, Error> {
    Options::new().checkpoint_on_close(false).disk(disk.shared()).on_warning(|_, _| {}).open("")
}

/// A closed database whose only segment says that it uses these features.
fn with_features(features: Features) -> SimDisk {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    db.transaction(|tx| tx.on::<Marks>().mark(1)).unwrap();
    db.close().unwrap();
    let path = Path::new("wal/000001.wal");
    let mut bytes = disk.bytes(path).unwrap();
    let (header, len) = SegmentHeader::decode(&bytes).unwrap();
    let header = SegmentHeader { features, ..header }.encode();
    assert_eq!(header.len(), len);
    bytes[..len].copy_from_slice(&header);
    disk.put(path, &bytes);
    disk
}

#[test]
fn unknown_features_refuse_reading_or_writing_or_nothing() {
    let compatible = Features { compatible: 1 << 60, ..Features::default() };
    let db = open(&with_features(compatible)).unwrap();
    db.transaction(|tx| tx.on::<Marks>().mark(2)).unwrap();

    let read_only = with_features(Features { read_only_compatible: 2, ..Features::default() });
    let db = open(&read_only).unwrap();
    assert_eq!(db.view().on::<Marks>().marks.len(), 1);
    let refused = db.transaction(|tx| tx.on::<Marks>().mark(2)).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    assert!(db.recovery_report().read_only.is_some());
    db.close().unwrap();
    let untouched = with_features(Features { read_only_compatible: 2, ..Features::default() });
    assert_eq!(read_only.files(), untouched.files(), "nothing was made or cut");

    let incompatible = with_features(Features { incompatible: 4, ..Features::default() });
    let refused = open(&incompatible).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "wal/000001.wal: incompatible features: version 4, this build reads 0"
    );
}
