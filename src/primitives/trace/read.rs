//! Values of foreign formats, each as the type that it stands for, or an error that says where it is
//! and what was expected.

use data_encoding::{BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use serde_json::Value;

use super::any::{ANY_VALUE_DEPTH_MAX, AnyValue, Attributes};
use super::format::{Found, Result};
use super::id::{SpanId, TraceId};

pub(super) fn text(found: &Found<'_>) -> Result<String> {
    found.str().map(str::to_owned)
}

pub(super) fn bool(found: &Found<'_>) -> Result<bool> {
    match (found.value.as_bool(), found.value.as_str()) {
        (Some(is), _) => Ok(is),
        (None, Some("true")) => Ok(true),
        (None, Some("false")) => Ok(false),
        _ => found.wrong("true or false"),
    }
}

/// A number or its digits as text.
pub(super) fn u64(found: &Found<'_>) -> Result<u64> {
    let number = match found.value {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_u64(),
    };
    number.map_or_else(|| found.wrong("an integer from 0 to 2^64 - 1"), Ok)
}

pub(super) fn u32(found: &Found<'_>) -> Result<u32> {
    let number = u64(found).ok().and_then(|number| number.try_into().ok());
    number.map_or_else(|| found.wrong("an integer from 0 to 2^32 - 1"), Ok)
}

pub(super) fn i64(found: &Found<'_>) -> Result<i64> {
    let number = match found.value {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_i64(),
    };
    number.map_or_else(|| found.wrong("an integer from -2^63 to 2^63 - 1"), Ok)
}

pub(super) fn f64(found: &Found<'_>) -> Result<f64> {
    let number = match found.value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            digits => digits.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        other => other.as_f64().filter(|number| number.is_finite()),
    };
    number.map_or_else(|| found.wrong("a number"), Ok)
}

/// Base64, of either alphabet, padded or not.
pub(super) fn bytes(found: &Found<'_>) -> Result<Vec<u8>> {
    let text = found
        .value
        .as_str()
        .map(|text| text.trim_end_matches('=').replace('-', "+").replace('_', "/"));
    let bytes = text.and_then(|text| BASE64_NOPAD.decode(text.as_bytes()).ok());
    bytes.map_or_else(|| found.wrong("bytes in base64"), Ok)
}

/// Microseconds, as nanoseconds.
pub(super) fn micros(found: &Found<'_>) -> Result<u64> {
    let nanos = u64(found)?.checked_mul(1_000);
    nanos.map_or_else(|| found.wrong("microseconds whose nanoseconds are below 2^64"), Ok)
}

/// Hexadecimal of at most the ID's length, or base64 of exactly it; zero is none.
fn id<const N: usize>(found: &Found<'_>) -> Result<[u8; N]> {
    let text = found.str()?;
    let digits = N.saturating_mul(2);
    let bytes = if text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        HEXLOWER_PERMISSIVE.decode(format!("{text:0>digits$}").as_bytes()).ok()
    } else {
        bytes(found).ok()
    };
    match bytes.and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => Ok(bytes),
        None => found.wrong(&format!("at most {digits} hexadecimal digits")),
    }
}

pub(super) fn trace_id(found: &Found<'_>) -> Result<Option<TraceId>> {
    id(found).map(TraceId::new)
}

pub(super) fn span_id(found: &Found<'_>) -> Result<Option<SpanId>> {
    id(found).map(SpanId::new)
}

/// A trace ID that is one.
pub(super) fn some_trace_id(found: &Found<'_>) -> Result<TraceId> {
    trace_id(found)?.map_or_else(|| found.wrong("a trace ID that is not zero"), Ok)
}

/// A span ID that is one.
pub(super) fn some_span_id(found: &Found<'_>) -> Result<SpanId> {
    span_id(found)?.map_or_else(|| found.wrong("a span ID that is not zero"), Ok)
}

/// Any JSON value, as the value of an attribute.
pub(super) fn plain_value(found: &Found<'_>, depth: usize) -> Result<AnyValue> {
    Ok(match found.value {
        Value::Null => AnyValue::Empty,
        Value::Bool(is) => AnyValue::Bool(*is),
        Value::Number(number) if number.is_f64() => AnyValue::Double(f64(found)?),
        Value::Number(_) => AnyValue::Int(i64(found)?),
        Value::String(text) => AnyValue::Text(text.clone()),
        Value::Array(_) => {
            let left = found.deeper(depth)?;
            AnyValue::Array(found.list(|element| plain_value(element, left))?)
        }
        Value::Object(_) => {
            let left = found.deeper(depth)?;
            let members = found.map(|member| plain_value(member, left))?;
            AnyValue::KvList(members.into_iter().collect())
        }
    })
}

/// An object of plain values as attributes.
pub(super) fn plain_attributes(found: &Found<'_>) -> Result<Attributes> {
    Ok(found.map(|member| plain_value(member, ANY_VALUE_DEPTH_MAX))?.into_iter().collect())
}
