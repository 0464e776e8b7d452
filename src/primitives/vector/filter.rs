//! Which vectors count, by what their metadata say.
//!
//! - A filter never fails: where there is no such value, or one of another kind, it does not accept.
//! - Numbers are compared by their values: 1 and 1.0 are equal here. An integer is compared with a
//!   number that has a fraction as the nearest binary64.

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

use serde_json::Value;

use super::Json;

/// A condition on a vector's metadata.
///
/// A value is named by its place: a member's name, or an RFC 6901 pointer such as `/author/name` or
/// `/tags/0`. A vector without metadata has no values, so nothing but [`Filter::not`] accepts it.
///
/// ```
/// use freehold::primitives::Filter;
///
/// let filter = Filter::equals("kind", "step")
///     .and(Filter::range("/usage/tokens", 100..1000))
///     .and(Filter::contains("tags", "done").or(Filter::exists("reward").not()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Condition);

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Exists(Place),
    Equals(Place, Value),
    Contains(Place, Value),
    Range(Place, Bound<Value>, Bound<Value>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// Names of members and indexes of elements, from the top.
#[derive(Clone, Debug, PartialEq)]
struct Place(Vec<String>);

impl Filter {
    /// The value is there, also if it is `null`.
    #[must_use]
    pub fn exists(place: &str) -> Filter {
        Filter(Condition::Exists(Place::new(place)))
    }

    /// The value is equal to this one, whole.
    #[must_use]
    pub fn equals(place: &str, value: impl Into<Value>) -> Filter {
        Filter(Condition::Equals(Place::new(place), value.into()))
    }

    /// The value is an array with an element that is equal to this one.
    #[must_use]
    pub fn contains(place: &str, value: impl Into<Value>) -> Filter {
        Filter(Condition::Contains(Place::new(place), value.into()))
    }

    /// The value is in the range: a number among numbers, or a text among texts, which are ordered by
    /// their bytes.
    #[must_use]
    pub fn range<V: Into<Value> + Clone>(place: &str, range: impl RangeBounds<V>) -> Filter {
        let own = |bound: Bound<&V>| bound.map(|value| value.clone().into());
        let (start, end) = (own(range.start_bound()), own(range.end_bound()));
        Filter(Condition::Range(Place::new(place), start, end))
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Filter) -> Filter {
        Filter(match self.0 {
            Condition::All(mut all) => {
                all.push(other.0);
                Condition::All(all)
            }
            one => Condition::All(vec![one, other.0]),
        })
    }

    /// Either.
    #[must_use]
    pub fn or(self, other: Filter) -> Filter {
        Filter(match self.0 {
            Condition::Any(mut any) => {
                any.push(other.0);
                Condition::Any(any)
            }
            one => Condition::Any(vec![one, other.0]),
        })
    }

    /// What this one does not accept.
    #[expect(clippy::should_implement_trait, reason = "a word, as `and` and `or` are")]
    #[must_use]
    pub fn not(self) -> Filter {
        Filter(Condition::Not(Box::new(self.0)))
    }

    /// Whether a vector with these metadata counts.
    #[must_use]
    pub fn accepts(&self, metadata: Option<&Json>) -> bool {
        self.0.accepts(metadata)
    }
}

impl Condition {
    fn accepts(&self, metadata: Option<&Json>) -> bool {
        let at = |place: &Place| metadata.and_then(|json| place.of(json));
        match self {
            Condition::Exists(place) => at(place).is_some(),
            Condition::Equals(place, value) => at(place).is_some_and(|json| equal(json, value)),
            Condition::Contains(place, value) => at(place)
                .and_then(Json::as_array)
                .is_some_and(|elements| elements.iter().any(|json| equal(json, value))),
            Condition::Range(place, start, end) => at(place).is_some_and(|json| {
                let from = match start {
                    Bound::Included(least) => order(json, least).is_some_and(Ordering::is_ge),
                    Bound::Excluded(least) => order(json, least).is_some_and(Ordering::is_gt),
                    Bound::Unbounded => true,
                };
                let to = match end {
                    Bound::Included(most) => order(json, most).is_some_and(Ordering::is_le),
                    Bound::Excluded(most) => order(json, most).is_some_and(Ordering::is_lt),
                    Bound::Unbounded => true,
                };
                from && to
            }),
            Condition::All(all) => all.iter().all(|one| one.accepts(metadata)),
            Condition::Any(any) => any.iter().any(|one| one.accepts(metadata)),
            Condition::Not(one) => !one.accepts(metadata),
        }
    }
}

impl Place {
    fn new(place: &str) -> Place {
        if place.is_empty() {
            return Place(Vec::new());
        }
        match place.strip_prefix('/') {
            Some(pointer) => {
                let name = |part: &str| part.replace("~1", "/").replace("~0", "~");
                Place(pointer.split('/').map(name).collect())
            }
            None => Place(vec![place.to_owned()]),
        }
    }

    fn of<'j>(&self, json: &'j Json) -> Option<&'j Json> {
        self.0.iter().try_fold(json, |json, part| match json.as_array() {
            // As RFC 6901 has it: no sign, and no zero before other digits.
            Some(_) if part.len() > 1 && part.starts_with('0') => None,
            Some(_) if !part.bytes().all(|byte| byte.is_ascii_digit()) => None,
            Some(elements) => elements.get(part.parse().ok()?),
            None => json.get(part),
        })
    }
}

fn equal(json: &Json, value: &Value) -> bool {
    match value {
        Value::Null => json.is_null(),
        Value::Bool(is) => json.as_bool() == Some(*is),
        Value::Number(_) | Value::String(_) => order(json, value) == Some(Ordering::Equal),
        Value::Array(values) => json.as_array().is_some_and(|elements| {
            elements.len() == values.len()
                && elements.iter().zip(values).all(|(json, value)| equal(json, value))
        }),
        Value::Object(values) => json.as_object().is_some_and(|members| {
            members.len() == values.len()
                && values.iter().all(|(name, value)| {
                    members.get(name.as_str()).is_some_and(|json| equal(json, value))
                })
        }),
    }
}

/// How two numbers or two texts stand to each other.
fn order(json: &Json, value: &Value) -> Option<Ordering> {
    match value {
        Value::String(text) => Some(json.as_str()?.cmp(text)),
        Value::Number(number) => {
            let integer = |natural: Option<u64>, negative: Option<i64>| {
                natural.map(i128::from).or(negative.map(i128::from))
            };
            let found = integer(json.as_u64(), json.as_i64());
            let wanted = integer(number.as_u64(), number.as_i64());
            match (found, wanted) {
                (Some(found), Some(wanted)) => Some(found.cmp(&wanted)),
                _ => json.as_f64()?.partial_cmp(&number.as_f64()?),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepts(filter: &Filter, value: Value) -> bool {
        filter.accepts(Some(&Json::try_from(value).unwrap()))
    }

    #[test]
    fn a_condition_accepts_what_it_says() {
        let step =
            || json!({"kind": "step", "usage": {"tokens": 120}, "tags": ["a", "b"], "x": null});
        for (filter, accepted) in [
            (Filter::exists("x"), true),
            (Filter::exists("y"), false),
            (Filter::exists(""), true),
            (Filter::equals("kind", "step"), true),
            (Filter::equals("/kind", "step"), true),
            (Filter::equals("kind", "steps"), false),
            (Filter::equals("x", Value::Null), true),
            (Filter::equals("/usage/tokens", 120), true),
            (Filter::equals("/usage/tokens", 120.0), true),
            (Filter::equals("/usage/tokens", "120"), false),
            (Filter::equals("/usage/tokens/more", 120), false),
            (Filter::equals("usage", json!({"tokens": 120.0})), true),
            (Filter::equals("usage", json!({})), false),
            (Filter::equals("/tags/1", "b"), true),
            (Filter::equals("/tags/01", "b"), false),
            (Filter::equals("/tags/+1", "b"), false),
            (Filter::equals("/tags/2", "b"), false),
            (Filter::equals("tags", json!(["a", "b"])), true),
            (Filter::equals("tags", json!(["b", "a"])), false),
            (Filter::contains("tags", "a"), true),
            (Filter::contains("tags", "c"), false),
            (Filter::contains("kind", "step"), false),
            (Filter::range("/usage/tokens", 100..120), false),
            (Filter::range("/usage/tokens", 100..=120), true),
            (Filter::range("/usage/tokens", 119.5..), true),
            (Filter::range("/usage/tokens", ..=-1), false),
            (Filter::range("kind", "s".."t"), true),
            (Filter::range("kind", "t"..), false),
            (Filter::range("kind", 1..), false),
            (Filter::range::<i64>("x", ..), true),
        ] {
            assert_eq!(accepts(&filter, step()), accepted, "{filter:?}");
            assert_eq!(accepts(&filter.clone().not(), step()), !accepted, "not {filter:?}");
            let both = filter.clone().and(Filter::exists("kind")).and(Filter::exists("x"));
            assert_eq!(accepts(&both, step()), accepted, "{both:?}");
            let either = filter.or(Filter::exists("y")).or(Filter::equals("kind", 1));
            assert_eq!(accepts(&either, step()), accepted, "{either:?}");
        }
    }

    #[test]
    fn integers_are_compared_exactly() {
        let most = || json!(u64::MAX);
        assert!(accepts(&Filter::equals("", u64::MAX), most()));
        assert!(!accepts(&Filter::equals("", u64::MAX - 1), most()));
        assert!(accepts(&Filter::range("", i64::MIN..0), json!(i64::MIN)));
    }

    #[test]
    fn a_vector_without_metadata_has_no_values() {
        assert!(!Filter::exists("").accepts(None));
        assert!(Filter::exists("a").not().accepts(None));
    }

    #[test]
    fn a_pointer_names_what_rfc_6901_says() {
        let json = || json!({"a/b": {"m~n": {"": 7}}});
        assert!(accepts(&Filter::equals("/a~1b/m~0n/", 7), json()));
    }
}
