//! `Payload`: what an event carries, and `NewEvent`: an event that is still to be appended.

use freehold::prelude::*;

use super::{JsonText, NotJson};

/// What an event carries: JSON text, kept byte for byte, or any bytes.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub enum Payload {
    /// One JSON value, as text.
    Json(JsonText),
    /// Any bytes.
    Bytes(Bytes),
}

/// An event to be appended by [`EventLog::append_all`](super::EventLog::append_all).
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct NewEvent {
    pub(super) event_type: String,
    pub(super) payload: Payload,
}

impl NewEvent {
    /// An event of this type, which may be any text.
    #[must_use]
    pub fn new(event_type: impl Into<String>, payload: Payload) -> NewEvent {
        NewEvent { event_type: event_type.into(), payload }
    }
}

impl Payload {
    /// A payload of JSON text, which is kept byte for byte.
    ///
    /// # Errors
    ///
    /// [`NotJson`] if the text is not exactly one JSON value.
    pub fn json(text: impl Into<String>) -> Result<Payload, NotJson> {
        Ok(Payload::Json(JsonText::new(text)?))
    }

    /// A payload of any bytes.
    #[must_use]
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Payload {
        Payload::Bytes(Bytes::from(bytes.as_ref()))
    }

    /// The JSON text, if that is what it is.
    #[must_use]
    pub fn as_json(&self) -> Option<&str> {
        match self {
            Payload::Json(json) => Some(json.as_str()),
            Payload::Bytes(_) => None,
        }
    }

    /// The bytes of either: of JSON, those of its text in UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Payload::Json(json) => json.as_str().as_bytes(),
            Payload::Bytes(bytes) => bytes,
        }
    }
}
