//! How a structure is changed: its fields by their layout, its lists by their elements, its bytes.
//!
//! - Numbers become what breaks decoders: 0, 1, the largest, one more, one less, a little more, twice.
//! - Where fields stand comes from the tables of the format, so that none is forgotten.

use crate::format::layout::Field;
use crate::testing::Random;

/// The fields of a structure, and where they start in what is given to [`field`].
pub(super) type Layout = (usize, &'static [Field]);

/// A table of the format by its title.
pub(super) fn layout(
    layouts: &[(&str, &str, &'static [Field])],
    title: &str,
    start: usize,
) -> Layout {
    let found = layouts.iter().find(|(found, _, _)| *found == title);
    (start, found.unwrap_or_else(|| panic!("no layout {title}")).2)
}

fn pick<T: Copy>(of: &[T], random: &mut Random) -> T {
    of[random.below(of.len() as u64) as usize]
}

/// A number near `value`, or near the ends of what `width` bytes hold.
pub(super) fn number(value: u64, width: usize, random: &mut Random) -> u64 {
    let most = if width >= 8 { u64::MAX } else { (1 << (width * 8)) - 1 };
    let step = pick(&[1, 1, 1, 4, 7, 8, 24, 64, 4096], random);
    let changed = match random.below(11) {
        0 => 0,
        1 => 1,
        2 => most,
        3 => most.wrapping_sub(step),
        4 => value.wrapping_add(step),
        5 => value.wrapping_sub(step),
        6 => value.wrapping_mul(2),
        7 => most / 2 + random.below(2),
        8 => 1 << random.below(width as u64 * 8),
        9 => random.below(16),
        _ => value ^ (1 << random.below(width as u64 * 8)),
    };
    changed & most
}

/// Changes the number of `width` bytes that stands at `at`.
pub(super) fn number_at(bytes: &mut [u8], at: usize, width: usize, random: &mut Random) {
    let Some(found) = bytes.get_mut(at..at + width) else { return };
    let mut value = [0; 8];
    value[..width].copy_from_slice(found);
    let changed = number(u64::from_le_bytes(value), width, random);
    found.copy_from_slice(&changed.to_le_bytes()[..width]);
}

/// Changes one field of a structure.
pub(super) fn field(bytes: &mut [u8], (start, fields): Layout, random: &mut Random) {
    let fixed = fields.iter().take_while(|(_, width)| *width > 0).count();
    let chosen = random.below(fixed as u64) as usize;
    let at = start + fields[..chosen].iter().map(|(_, width)| width).sum::<usize>();
    match fields[chosen].1 {
        width @ (1 | 2 | 4 | 8) => number_at(bytes, at, width, random),
        width => {
            // Words, an identity, reserved bytes: one byte of them.
            let at = at + random.below(width as u64) as usize;
            number_at(bytes, at, 1, random);
        }
    }
}

/// Changes bytes of which only the owner knows what they mean: archives, texts, names.
pub(super) fn bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let len = bytes.len();
    let at = random.below(len as u64) as usize;
    let end = at + random.below((len - at) as u64 + 1).min(32) as usize;
    match random.below(10) {
        _ if len == 0 => bytes.extend(random.next_u64().to_le_bytes()),
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        // Relative pointers, lengths and discriminants.
        2..=4 => number_at(bytes, at / 4 * 4, 4, random),
        5 => number_at(bytes, at / 8 * 8, 8, random),
        6 => number_at(bytes, at, 1, random),
        7 => bytes.truncate(at),
        8 => {
            let part = bytes[at..end].to_vec();
            let to = random.below(len as u64 + 1) as usize;
            bytes.splice(to..to, part);
        }
        _ => drop(bytes.drain(at..end)),
    }
}

/// Loses, doubles, swaps or cuts off elements; says whether there was one.
pub(super) fn list<T: Clone>(list: &mut Vec<T>, random: &mut Random) -> bool {
    let len = list.len() as u64;
    if len == 0 {
        return false;
    }
    let (one, other) = (random.below(len) as usize, random.below(len) as usize);
    match random.below(5) {
        0 => drop(list.remove(one)),
        1 => list.insert(other, list[one].clone()),
        2 => list.swap(one, other),
        3 => list[other] = list[one].clone(),
        _ => list.truncate(one),
    }
    true
}

/// One element, to be changed.
pub(super) fn one<'a, T>(list: &'a mut [T], random: &mut Random) -> Option<&'a mut T> {
    let at = random.below(list.len() as u64) as usize;
    list.get_mut(at)
}
