//! The model itself: each numbered assumption of the fault model, by its number.

use std::collections::BTreeSet;

use super::*;
use crate::disk::{Disk, OpenMode, read_full_at, write_all_at};

const ROOT: &str = "";

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn create(disk: &SimDisk, name: &str) -> crate::disk::FileRef {
    disk.open(path(name), OpenMode::CreateNew).unwrap()
}

/// A file that is there and durable, holding `bytes`.
fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) -> crate::disk::FileRef {
    let file = create(disk, name);
    write_all_at(&*file, bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path(name).parent().unwrap()).unwrap();
    file
}

/// Every state that may be found after a crash now, as names and bytes.
fn states(disk: &SimDisk) -> BTreeSet<Vec<(String, Vec<u8>)>> {
    let point = disk.crash_point();
    let count = point.choice_count();
    assert!(count < 10_000, "too many choices to try all: {count}");
    (0..count).map(|choice| contents(&point.disk(Survival::Choice(choice)))).collect()
}

fn contents(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.files().into_iter();
    files.map(|(path, _)| (path.display().to_string(), disk.bytes(&path).unwrap())).collect()
}

fn one(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), bytes.to_vec())]
}

#[test]
fn a_crash_before_a_call_fails_it_and_all_later_ones_and_they_are_not_counted() {
    let disk = SimDisk::new(1);
    disk.crash_before(1);
    let file = create(&disk, "a");
    for _ in 0..2 {
        let error = file.sync().unwrap_err();
        assert!(MachineOff::is_cause_of(&error), "{error}");
    }
    assert!(disk.is_off());
    assert_eq!(disk.call_count(), 1);
}

#[test]
fn what_was_synced_is_there_after_any_crash() {
    let disk = SimDisk::new(1);
    durable(&disk, "a", b"kept");
    assert_eq!(states(&disk), BTreeSet::from([one("a", b"kept")]));
}

#[test]
fn a_file_without_its_directory_synced_may_be_gone_and_without_its_own_sync_may_be_empty() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    write_all_at(&*file, b"new", 0).unwrap();
    let gone = Vec::new();
    assert_eq!(
        states(&disk),
        BTreeSet::from([gone.clone(), one("a", b""), one("a", &[0; 3]), one("a", b"new")])
    );
    file.sync().unwrap();
    assert_eq!(states(&disk), BTreeSet::from([gone, one("a", b"new")]));
    disk.sync_dir(path(ROOT)).unwrap();
    assert_eq!(states(&disk), BTreeSet::from([one("a", b"new")]));
}

#[test]
fn a_directory_is_durable_only_after_the_one_it_is_in_was_synced() {
    let disk = SimDisk::new(1);
    disk.create_dir(path("wal")).unwrap();
    durable(&disk, "wal/a", b"x");
    assert_eq!(states(&disk), BTreeSet::from([vec![], one("wal/a", b"x")]));
    disk.sync_dir(path(ROOT)).unwrap();
    assert_eq!(states(&disk), BTreeSet::from([one("wal/a", b"x")]));
}

#[test]
fn sectors_survive_each_for_itself_and_never_in_part() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[1; 1024]);
    // Across the border of two sectors.
    write_all_at(&*file, &[2; 200], 412).unwrap();
    let with = |first: u8, second: u8| {
        let mut bytes = vec![1; 1024];
        bytes[412..512].fill(first);
        bytes[512..612].fill(second);
        one("a", &bytes)
    };
    assert_eq!(states(&disk), BTreeSet::from([with(1, 1), with(1, 2), with(2, 1), with(2, 2)]));
}

#[test]
fn of_two_writes_to_one_sector_either_both_or_neither_survives() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"....");
    write_all_at(&*file, b"1", 0).unwrap();
    write_all_at(&*file, b"2", 2).unwrap();
    let all: Vec<_> = [b"....", b"1...", b"..2.", b"1.2."].map(|bytes| one("a", bytes)).into();
    assert_eq!(states(&disk), all.into_iter().collect());
}

#[test]
fn sizes_survive_in_their_order_and_lengthen_with_zeros() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"abcd");
    file.set_size(2).unwrap();
    file.allocate(6).unwrap();
    file.allocate(3).unwrap();
    let all: Vec<_> = [&b"abcd"[..], b"ab", b"ab\0\0\0\0"].map(|bytes| one("a", bytes)).into();
    assert_eq!(states(&disk), all.into_iter().collect());
}

#[test]
fn bytes_behind_a_size_that_did_not_survive_are_gone() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"ab");
    write_all_at(&*file, b"cd", 2).unwrap();
    let all: Vec<_> = [&b"ab"[..], b"ab\0\0", b"abcd"].map(|bytes| one("a", bytes)).into();
    assert_eq!(states(&disk), all.into_iter().collect());
}

#[test]
fn a_rename_shows_the_old_name_or_the_new_one() {
    let disk = SimDisk::new(1);
    durable(&disk, "a", b"old");
    durable(&disk, "a.tmp", b"new");
    disk.rename(path("a.tmp"), path("a")).unwrap();
    let before = vec![("a".into(), b"old".to_vec()), ("a.tmp".into(), b"new".to_vec())];
    assert_eq!(states(&disk), BTreeSet::from([before, one("a", b"new")]));
    disk.sync_dir(path(ROOT)).unwrap();
    assert_eq!(states(&disk), BTreeSet::from([one("a", b"new")]));
}

#[test]
fn a_file_renamed_twice_has_one_name() {
    let disk = SimDisk::new(1);
    durable(&disk, "a", b"x");
    disk.rename(path("a"), path("b")).unwrap();
    disk.rename(path("b"), path("c")).unwrap();
    assert_eq!(states(&disk), BTreeSet::from(["a", "b", "c"].map(|name| one(name, b"x"))));
}

#[test]
fn removed_names_survive_in_any_subset() {
    let disk = SimDisk::new(1);
    durable(&disk, "1", b"");
    durable(&disk, "2", b"");
    disk.remove(path("1")).unwrap();
    disk.remove(path("2")).unwrap();
    let both = vec![("1".into(), vec![]), ("2".into(), vec![])];
    assert_eq!(states(&disk), BTreeSet::from([vec![], one("1", b""), one("2", b""), both]));
}

#[test]
fn a_rename_without_a_sync_of_the_file_may_show_an_empty_file() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a.tmp");
    write_all_at(&*file, b"new", 0).unwrap();
    disk.rename(path("a.tmp"), path("a")).unwrap();
    disk.sync_dir(path(ROOT)).unwrap();
    assert!(states(&disk).contains(&one("a", b"")));
}

#[test]
fn nothing_and_everything_are_the_first_and_the_last_choice_and_seeds_stay_within() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[1; 600]);
    write_all_at(&*file, &[2; 600], 100).unwrap();
    create(&disk, "b");
    let point = disk.crash_point();
    let all = states(&disk);
    let last = Survival::Choice(point.choice_count() - 1);
    assert_eq!(contents(&point.disk(Survival::Nothing)), one("a", &[1; 600]));
    assert_eq!(point.disk(Survival::Choice(0)).fingerprint(), {
        point.disk(Survival::Nothing).fingerprint()
    });
    assert_eq!(contents(&point.disk(last)), contents(&point.disk(Survival::Everything)));
    assert_eq!(contents(&point.disk(last)), contents(&disk));
    let mut met = BTreeSet::new();
    for seed in 0..500 {
        let state = contents(&point.disk(Survival::Seeded(seed)));
        assert_eq!(state, contents(&point.disk(Survival::Seeded(seed))));
        assert!(all.contains(&state), "seed {seed} gives a state that no choice gives");
        met.insert(state);
    }
    assert_eq!(met, all, "500 seeds are to meet every one of {} states", all.len());
}

#[test]
fn a_history_gone_through_again_gives_what_a_crash_at_that_call_gives() {
    let work = |disk: &SimDisk| -> io::Result<()> {
        disk.create_dir(path("wal"))?;
        disk.sync_dir(path(ROOT))?;
        let file = disk.open(path("wal/a"), OpenMode::CreateNew)?;
        file.allocate(2048)?;
        write_all_at(&*file, &[1; 900], 0)?;
        file.size()?;
        file.sync()?;
        disk.rename(path("wal/a"), path("wal/b"))?;
        disk.sync_dir(path("wal"))?;
        write_all_at(&*file, &[2; 900], 300)?;
        file.set_size(10)?;
        disk.remove(path("wal/b"))
    };
    let whole = SimDisk::new(1);
    work(&whole).unwrap();
    let mut points = 0;
    for point in whole.crash_points() {
        points += 1;
        let crashed = SimDisk::new(1);
        crashed.crash_before(point.before());
        assert_eq!(work(&crashed).is_err(), point.before() < whole.call_count());
        for survival in point.survivals(20, 5) {
            assert_eq!(contents(&point.disk(survival)), contents(&crashed.after_crash(survival)));
        }
    }
    assert_eq!(points, whole.change_count() + 1);
    assert_eq!(whole.change_count() + 1, whole.call_count(), "all but `size` change something");
}

#[test]
fn a_failed_sync_loses_for_good_what_can_still_be_read() {
    let mut lost_count = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "a", b"old");
        write_all_at(&*file, b"new", 0).unwrap();
        disk.fail_next(CallKind::Sync, io::ErrorKind::Other);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(disk.bytes(path("a")).unwrap(), b"new");
        assert_eq!(disk.after_kill().bytes(path("a")).unwrap(), b"new");
        let after = disk.after_crash(Survival::Everything).bytes(path("a")).unwrap();
        lost_count += u32::from(after == b"old");
        // Writing it once more and syncing makes it durable.
        write_all_at(&*file, b"new", 0).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.after_crash(Survival::Nothing).bytes(path("a")).unwrap(), b"new");
    }
    assert!((5..50).contains(&lost_count), "lost {lost_count} times of 50");
}

#[test]
fn what_a_failed_sync_lost_is_durable_after_it_was_written_again() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "a", b"");
        write_all_at(&*file, &[5; 2000], 0).unwrap();
        disk.fail_next(CallKind::Sync, io::ErrorKind::Other);
        assert!(file.sync().is_err());
        write_all_at(&*file, &[5; 2000], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.after_crash(Survival::Nothing).bytes(path("a")).unwrap(), [5; 2000]);
    }
}

#[test]
fn calls_fail_by_number_and_by_kind_once_or_always() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    disk.fail_call(1, io::ErrorKind::PermissionDenied);
    assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    file.sync().unwrap();
    disk.fail_every(CallKind::Write, io::ErrorKind::StorageFull);
    for _ in 0..2 {
        assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    assert_eq!(file.size().unwrap(), 0);
    disk.heal();
    disk.fail_calls_from(7, io::ErrorKind::Other);
    file.write_at(b"x", 0).unwrap();
    assert!(file.size().is_err());
    assert!(disk.list(path(ROOT)).is_err());
    assert!(disk.log().contains("    1 Sync /a: permission denied"), "{}", disk.log());
}

#[test]
fn a_short_write_writes_the_front() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    disk.shorten_write(1, 3);
    assert_eq!(file.write_at(b"abcdef", 0).unwrap(), 3);
    assert_eq!(disk.bytes(path("a")).unwrap(), b"abc");
    disk.shorten_write(2, 3);
    write_all_at(&*file, b"abcdef", 0).unwrap();
    assert_eq!(disk.bytes(path("a")).unwrap(), b"abcdef");
}

#[test]
fn a_full_disk_takes_what_fits_and_reserves_wholly_or_not_at_all() {
    let disk = SimDisk::new(1);
    disk.limit_space(10);
    let file = create(&disk, "a");
    assert_eq!(file.allocate(11).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.allocate(4).unwrap();
    file.write_at(b"abcd", 0).unwrap();
    assert_eq!(file.write_at(b"efghijkl", 4).unwrap(), 6);
    assert_eq!(file.write_at(b"kl", 10).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_at(b"ABCD", 0).unwrap();
    disk.remove(path("a")).unwrap();
    create(&disk, "b").allocate(10).unwrap();
}

#[test]
fn rot_is_durable_at_once_and_part_of_the_history() {
    let disk = SimDisk::new(1);
    durable(&disk, "a", b"abc");
    assert!(disk.flip(path("a"), 1, 0x01));
    assert!(!disk.flip(path("a"), 3, 0x01));
    disk.put(path("dir/b"), b"foreign");
    create(&disk, "c");
    disk.lose(path("c"));
    let after = disk.after_crash(Survival::Nothing);
    assert_eq!(after.bytes(path("a")).unwrap(), b"acc");
    assert_eq!(after.bytes(path("dir/b")).unwrap(), b"foreign");
    let last = disk.crash_points().last().unwrap();
    assert_eq!(contents(&last.disk(Survival::Nothing)), contents(&after));
    assert!(!after.files().iter().any(|(path, _)| path == Path::new("c")));
}

#[test]
fn a_spoiled_range_cannot_be_read_until_it_is_written_over() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[7; 1000]);
    disk.spoil(path("a"), 512..600);
    let mut buffer = [0; 512];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 512);
    assert!(read_full_at(&*file, &mut buffer, 100).is_err());
    file.write_at(&[1; 50], 512).unwrap();
    assert!(file.read_at(&mut buffer, 512).is_err());
    file.write_at(&[1; 100], 512).unwrap();
    assert_eq!(file.read_at(&mut buffer, 512).unwrap(), 488);
}

#[test]
fn a_killed_process_loses_its_lock_and_what_it_did_not_sync_stays_unsynced() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    assert!(file.try_lock().unwrap());
    assert!(file.try_lock().unwrap());
    let second = disk.open(path("a"), OpenMode::Write).unwrap();
    assert!(!second.try_lock().unwrap());
    write_all_at(&*file, b"x", 0).unwrap();

    let next = disk.after_kill();
    let reopened = next.open(path("a"), OpenMode::Write).unwrap();
    assert!(reopened.try_lock().unwrap());
    assert_eq!(next.bytes(path("a")).unwrap(), b"x");
    assert!(next.after_crash(Survival::Nothing).files().is_empty());

    drop(file);
    assert!(second.try_lock().unwrap());
}

#[test]
fn calls_are_refused_as_the_operating_system_refuses_them() {
    let disk = SimDisk::new(1);
    create(&disk, "a");
    disk.create_dir(path("d")).unwrap();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let open = |name: &str, mode| disk.open(path(name), mode).map(drop);
    assert_eq!(kind(open("b", OpenMode::Read)), io::ErrorKind::NotFound);
    assert_eq!(kind(open("a", OpenMode::CreateNew)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(open("x/b", OpenMode::CreateNew)), io::ErrorKind::NotFound);
    assert_eq!(kind(open("a/b", OpenMode::CreateNew)), io::ErrorKind::NotADirectory);
    assert_eq!(kind(disk.create_dir(path("d"))), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.create_dir(path(ROOT))), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.remove(path("b"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(path("b"), path("c"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(path("a"), path("d"))), io::ErrorKind::IsADirectory);
    assert_eq!(kind(disk.sync_dir(path("b"))), io::ErrorKind::NotFound);
    let reader = disk.open(path("a"), OpenMode::Read).unwrap();
    assert!(reader.write_at(b"x", 0).is_err());
    disk.sync_dir(path("..")).unwrap();
    let listed = disk.list(path(ROOT)).unwrap();
    assert_eq!(
        listed.iter().map(|it| (it.name.as_str(), it.is_dir)).collect::<Vec<_>>(),
        [("a", false), ("d", true)]
    );
}

#[test]
fn an_ignored_sync_is_one_left_out() {
    let disk = SimDisk::new(1);
    disk.ignore(CallKind::SyncDir);
    durable(&disk, "a", b"x");
    assert!(states(&disk).contains(&vec![]));
}

#[test]
fn an_observer_sees_each_call_before_it_is_made() {
    let disk = SimDisk::new(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, looks_at) = (Arc::clone(&seen), disk.clone());
    disk.observe(move |number, kind| {
        log.lock().unwrap().push((number, kind, looks_at.files().len()));
    });
    durable(&disk, "a", b"x");
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (0, CallKind::Open, 0),
            (1, CallKind::Write, 1),
            (2, CallKind::Sync, 1),
            (3, CallKind::SyncDir, 1)
        ]
    );
}
