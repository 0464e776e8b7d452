//! Torn or rotten: what the end of a segment's records means. An exhaustive table, so that no
//! combination is decided by accident; `docs/recovery.md` has the same letters.
//!
//! What is asked:
//! - *place*: is the segment sealed by a valid footer, is it followed by another, or is it the last
//!   and unsealed one?
//! - *stop*: where did reading records stop: exactly at the footer, at zeros that reach to the end
//!   of the file, or at bytes that are no record?
//! - *proved*: is the record that should come next at or below the highest LSN that something else
//!   proves synced (the synced mark, a record's `durable`, a footer, a successor's header)?

use std::fmt;

/// Where the segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A valid footer ends it.
    Sealed,
    /// No valid footer, and a later segment is there.
    Followed,
    /// No valid footer, and it is the last one.
    Last,
}

/// Where reading its records stopped.
#[expect(clippy::enum_variant_names, reason = "each names a place, and reads as one")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Where the footer says that records end, with the count and the chain it says.
    AtFooter,
    /// At zeros, and only zeros follow.
    AtZeros,
    /// At bytes that are not a valid record.
    AtBadRecord,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every record is there.
    Whole,
    /// The rest was never synced: cut it, keep a copy, report it.
    Torn,
    /// Something synced is not there any more: refuse.
    Corrupt,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Sealed, and the records end where the footer says: the normal sealed segment.
    A,
    /// Sealed, and they do not: a footer is written only after every record was synced, so one of
    /// them has changed since.
    B,
    /// Followed without a footer: a successor is made only after the footer was synced.
    C,
    /// The last one, only zeros follow, nothing proves more: the normal end of the log.
    D,
    /// The last one, only zeros follow, but a further record is proved synced: it was lost.
    E,
    /// The last one, bad bytes follow, nothing proves that they were synced: a torn tail.
    F,
    /// The last one, bad bytes follow where a proved record must be: rotten.
    G,
}

impl Case {
    /// The row that applies.
    pub(crate) fn of(place: Place, stop: Stop, next_is_proved: bool) -> Case {
        match (place, stop, next_is_proved) {
            (Place::Sealed, Stop::AtFooter, _) => Case::A,
            (Place::Sealed, Stop::AtZeros | Stop::AtBadRecord, _) => Case::B,
            (Place::Followed, _, _) => Case::C,
            (Place::Last, Stop::AtZeros | Stop::AtFooter, false) => Case::D,
            (Place::Last, Stop::AtZeros | Stop::AtFooter, true) => Case::E,
            (Place::Last, Stop::AtBadRecord, false) => Case::F,
            (Place::Last, Stop::AtBadRecord, true) => Case::G,
        }
    }

    /// What it means.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Case::A | Case::D => Verdict::Whole,
            Case::F => Verdict::Torn,
            Case::B | Case::C | Case::E | Case::G => Verdict::Corrupt,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: [Place; 3] = [Place::Sealed, Place::Followed, Place::Last];
    const STOPS: [Stop; 3] = [Stop::AtFooter, Stop::AtZeros, Stop::AtBadRecord];

    #[test]
    fn nothing_proved_is_ever_cut_and_only_the_last_segment_can_be_torn() {
        for place in PLACES {
            for stop in STOPS {
                for proved in [false, true] {
                    let verdict = Case::of(place, stop, proved).verdict();
                    if verdict == Verdict::Torn {
                        assert_eq!((place, stop, proved), (Place::Last, Stop::AtBadRecord, false));
                    }
                    if place == Place::Last && proved {
                        assert_eq!(verdict, Verdict::Corrupt, "{place:?} {stop:?}");
                    }
                    if place == Place::Followed {
                        assert_eq!(verdict, Verdict::Corrupt, "{stop:?} {proved}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_letter_is_reached() {
        let mut seen = Vec::new();
        for place in PLACES {
            for stop in STOPS {
                for proved in [false, true] {
                    let case = Case::of(place, stop, proved);
                    if !seen.contains(&case) {
                        seen.push(case);
                    }
                }
            }
        }
        assert_eq!(seen.len(), 7);
    }

    #[test]
    fn the_document_has_the_same_letters() {
        let document = include_str!("../../docs/recovery.md");
        for case in [Case::A, Case::B, Case::C, Case::D, Case::E, Case::F, Case::G] {
            let verdict = match case.verdict() {
                Verdict::Whole => "whole",
                Verdict::Torn => "torn",
                Verdict::Corrupt => "corrupt",
            };
            let row = document.lines().find(|line| line.starts_with(&format!("| {case} |")));
            assert!(
                row.is_some_and(|row| row.trim_end().ends_with(&format!("| {verdict} |"))),
                "docs/recovery.md: case {case} must be {verdict}"
            );
        }
    }
}
