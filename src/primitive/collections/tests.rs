use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn bytes_are_their_content_at_every_length() {
    for len in 0..64 {
        let content: Vec<u8> = (0..len).collect();
        let bytes = Bytes::from(&content[..]);
        assert_eq!(bytes, content);
        assert_eq!(bytes, Bytes::from(content.clone()));
        assert_eq!(bytes.clone().as_slice(), &content[..]);
        assert_eq!(hash(&bytes), hash(&content[..]), "Borrow<[u8]> needs the same hash");
    }
}

#[test]
fn bytes_order_as_slices_across_the_inline_bound() {
    let contents: Vec<Vec<u8>> = (0..30)
        .flat_map(|len| [vec![7; len], vec![9; len], [vec![7; len], vec![8]].concat()])
        .collect();
    for a in &contents {
        for b in &contents {
            let (left, right) = (Bytes::from(&a[..]), Bytes::from(&b[..]));
            assert_eq!(left.cmp(&right), a.cmp(b));
            assert_eq!(left == right, a == b);
        }
    }
}

#[test]
fn a_clone_keeps_what_it_held() {
    let mut map: OrdMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    let before = map.clone();
    map.retain(|key, _| key % 2 == 0);
    map.insert(0, 5);
    *map.get_mut(&2).unwrap() += 1;
    assert_eq!(before.len(), 1000);
    assert!(before.iter().all(|(key, value)| key == value));
    assert_eq!((map.len(), map[&0], map[&2]), (500, 5, 3));
    assert_eq!(map.range(10..=14).map(|(key, _)| *key).collect::<Vec<_>>(), [10, 12, 14]);
    assert_eq!(map.pop_first(), Some((0, 5)));
    assert_eq!(map.pop_last(), Some((998, 998)));
}

#[test]
fn a_set_says_what_changed() {
    let mut set = OrdSet::new();
    assert!(set.insert(3) && set.insert(1) && !set.insert(3));
    assert!(set.remove(&1) && !set.remove(&1));
    let model: BTreeSet<i32> = set.iter().copied().collect();
    assert_eq!(model, BTreeSet::from([3]));
}

#[test]
fn a_vector_refuses_places_beyond_its_end() {
    let mut vector: Vector<u8> = (0..5).collect();
    assert_eq!(vector.insert(6, 9), Err(9));
    assert_eq!(vector.insert(5, 9), Ok(()));
    assert_eq!((vector.remove(6), vector.remove(0), vector.set(7, 1)), (None, Some(0), None));
    vector.truncate(9);
    assert_eq!(vector.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 9]);
}
