//! The order of the disk's calls, what a failing one leaves, and what pruning takes.

use std::path::Path;

use super::*;

fn short(calls: Vec<String>) -> Vec<String> {
    let mut calls: Vec<_> = calls
        .into_iter()
        .map(|call| call.replace("snapshots/00000000000000000042.snapshot", "42"))
        .collect();
    calls.dedup();
    calls
}

#[test]
fn a_snapshot_is_synced_before_it_is_renamed_and_its_directory_after() {
    let disk = MemoryDisk::new();
    let (meta, _) = small();
    let before_rename = || {
        assert_eq!(short(disk.calls()), ["open 42.tmp", "write 42.tmp", "sync 42.tmp"]);
        Ok(())
    };
    write(&disk.shared(), &meta, |_| Ok(()), before_rename).unwrap();
    assert_eq!(short(disk.calls()), ["rename 42.tmp", "sync snapshots"]);
}

#[test]
fn without_the_log_synced_there_is_no_snapshot() {
    let disk = MemoryDisk::new();
    let refusal = || Err(Error::Poisoned);
    let error = write(&disk.shared(), &small().0, |_| Ok(()), refusal).unwrap_err();
    assert!(matches!(error, Error::Poisoned));
    assert!(disk.names().is_empty());
}

#[test]
fn a_failing_call_leaves_the_older_snapshot_as_it_was() {
    let disk = MemoryDisk::new();
    let (old, old_model) = small();
    let old_path = write_model(&disk.shared(), &old, &old_model).unwrap().file;
    let new = SnapshotMeta { lsn: Lsn(43), ..old.clone() };
    let count = {
        let disk = MemoryDisk::new();
        write_model(&disk.shared(), &new, &old_model).unwrap();
        disk.calls().len()
    };
    assert!(count > 5, "{count}");
    for (failing, persistent) in (0..count).flat_map(|call| [(call, false), (call, true)]) {
        disk.fail(failing, if persistent { usize::MAX } else { failing + 1 });
        let error = write_model(&disk.shared(), &new, &old_model).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        disk.fail(0, 0);
        assert!(read_all(&disk.shared(), old.lsn).unwrap().1 == old_model);
        let listing = list(&disk.shared()).unwrap();
        // Only the sync of the directory comes after the rename.
        let is_there = listing.snapshots.iter().any(|listed| listed.lsn == new.lsn);
        assert_eq!(is_there, failing == count - 1, "call {failing}");
        if is_there {
            assert!(read_all(&disk.shared(), new.lsn).unwrap().1 == old_model);
            remove(&disk.shared(), new.lsn).unwrap();
        }
        assert_eq!(listing.temps.len(), usize::from(persistent && failing > 0 && !is_there));
        assert_eq!(remove_temps(&disk.shared()).unwrap(), listing.temps.len());
    }
    assert_eq!(disk.names(), [old_path]);
}

#[test]
fn a_stray_temporary_is_written_over() {
    let disk = MemoryDisk::new();
    let (meta, model) = small();
    let stray = Path::new("snapshots/00000000000000000042.snapshot.tmp");
    disk.set(stray, &vec![0xff; 1 << 20]);
    assert_eq!(list(&disk.shared()).unwrap().temps, [stray]);
    write_model(&disk.shared(), &meta, &model).unwrap();
    assert!(read_all(&disk.shared(), meta.lsn).unwrap().1 == model);
    assert!(list(&disk.shared()).unwrap().temps.is_empty());
}

#[test]
fn an_operation_that_writes_no_row_fails_the_snapshot_with_its_own_error() {
    let disk = MemoryDisk::new();
    let sections = |writer: &mut SnapshotWriter<'_>| {
        writer.begin_section(1, 1)?;
        writer.instance(RunId::ROOT, |_| Err(Error::Closed))
    };
    let error = write(&disk.shared(), &small().0, sections, || Ok(())).unwrap_err();
    assert!(matches!(error, Error::Closed));
    assert!(disk.names().is_empty());
}

#[test]
fn pruning_keeps_as_many_valid_ones_as_it_should_and_what_is_newer() {
    let disk = MemoryDisk::new();
    let (meta, model) = small();
    let all = [10, 20, 30, 40, 50];
    for lsn in all {
        write_model(&disk.shared(), &SnapshotMeta { lsn: Lsn(lsn), ..meta.clone() }, &model)
            .unwrap();
    }
    disk.set(&snapshot_path(Lsn(40)), b"no snapshot");
    let valid = |lsn| opens(&disk.shared(), lsn, meta.database);
    assert!(!opens(&disk.shared(), Lsn(50), DatabaseId([7; 16])).unwrap());
    disk.calls();

    let pruned = prune(&disk.shared(), 3, valid).unwrap();
    assert_eq!(pruned.kept, [Lsn(50), Lsn(30), Lsn(20)]);
    assert_eq!(pruned.removed, [Lsn(10)]);
    let calls = disk.calls();
    assert_eq!(
        calls[calls.len() - 2..],
        [
            "remove snapshots/00000000000000000010.snapshot".to_string(),
            "sync snapshots".to_string()
        ]
    );

    // Fewer valid ones than wanted: nothing goes.
    let pruned = prune(&disk.shared(), 9, valid).unwrap();
    assert_eq!(pruned.kept, [Lsn(50), Lsn(30), Lsn(20)]);
    assert!(pruned.removed.is_empty());

    // At least one stays, whatever is asked for.
    let pruned = prune(&disk.shared(), 0, valid).unwrap();
    assert_eq!(pruned.kept, [Lsn(50)]);
    assert_eq!(pruned.removed, [Lsn(20), Lsn(30), Lsn(40)]);
    assert_eq!(list(&disk.shared()).unwrap().snapshots.len(), 1);
}

#[test]
fn a_snapshot_that_cannot_be_read_counts_as_none() {
    let disk = MemoryDisk::new();
    let (meta, model) = small();
    write_model(&disk.shared(), &meta, &model).unwrap();
    disk.fail(1, usize::MAX);
    let pruned = prune(&disk.shared(), 1, |lsn| opens(&disk.shared(), lsn, meta.database)).unwrap();
    assert!(pruned.kept.is_empty() && pruned.removed.is_empty(), "{pruned:?}");
}
