//! What group commit synchronises with, in one place: `tests/interleavings` puts a model of it here and
//! tries every order in which threads can meet.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};
pub(super) use std::thread::{self, Thread};
pub(super) use std::thread_local;
