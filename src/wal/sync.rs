//! What group commit and those who wait for a view synchronise with, in one place:
//! `tests/interleavings` puts a model of it here and tries every order in which threads can meet.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::thread::{self, Thread};
pub(crate) use std::thread_local;
