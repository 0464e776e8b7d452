use freehold::prelude::*;

use freehold::{PayloadWriter, Reason, SectionReader, SectionWriter, WalEntry};

#[derive(Clone, Default)]
struct Notes;

impl PrimitiveStorageExt for Notes {
    const NAME: &'static str = "notes";

    type Handle<'tx> = Handle<'tx, Self>;
    type Operation<'op> = ();

    fn apply_wal_entry(&mut self, _: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
        Ok(())
    }

    fn snapshot_serialize(&self, _: &mut SectionWriter<'_>) -> freehold::Result<()> {
        Ok(())
    }

    fn snapshot_deserialize(_: &mut SectionReader<'_>) -> Result<Self, Reason> {
        Ok(Notes)
    }

    fn to_wal_entry(_: &(), _: &mut PayloadWriter<'_>) -> freehold::Result<u8> {
        Ok(0xa0)
    }
}

freehold::register!(Notes, id = 0xa0, wal = 0xa0..=0xa1);

fn main() {}
