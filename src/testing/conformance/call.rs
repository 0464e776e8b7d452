//! One call of an operation, as a strategy makes it.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::primitive::PrimitiveStorageExt;

/// What is done: it gets the handle, and tells the returned value as text.
type Run<P> = dyn Fn(&mut <P as PrimitiveStorageExt>::Handle<'_>) -> Result<String> + Send + Sync;

/// A call of one of `P`'s operations, to be made as often as one likes.
/// [`call!`](crate::testing::conformance::call) makes one.
pub struct Call<P: PrimitiveStorageExt> {
    label: Arc<str>,
    run: Arc<Run<P>>,
}

impl<P: PrimitiveStorageExt> Call<P> {
    /// A call that prints as `label`. By hand, for what [`call!`](crate::testing::conformance::call) cannot say:
    ///
    /// ```
    /// # #[cfg(feature = "kv")] {
    /// use freehold::primitives::KvStore;
    /// use freehold::testing::conformance::Call;
    ///
    /// let twice = Call::<KvStore>::new("put twice", |kv| {
    ///     kv.put(b"a", b"1")?;
    ///     kv.put(b"a", b"2")
    /// });
    /// assert_eq!(format!("{twice:?}"), "put twice");
    /// # }
    /// ```
    pub fn new<T: fmt::Debug>(
        label: impl Into<Arc<str>>,
        run: impl Fn(&mut P::Handle<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Call<P> {
        Call {
            label: label.into(),
            run: Arc::new(move |handle| run(handle).map(|value| format!("{value:?}"))),
        }
    }

    /// Makes the call.
    pub(super) fn run(&self, handle: &mut P::Handle<'_>) -> Result<String> {
        (self.run)(handle)
    }
}

impl<P: PrimitiveStorageExt> Clone for Call<P> {
    fn clone(&self) -> Call<P> {
        Call { label: Arc::clone(&self.label), run: Arc::clone(&self.run) }
    }
}

impl<P: PrimitiveStorageExt> fmt::Debug for Call<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// A [`Call`] of an operation with these arguments: `call!(Counters, add(&name, by))`. It can be made
/// many times, so an argument that is given away is cloned.
#[doc(hidden)]
#[macro_export]
macro_rules! __call {
    ($primitive:ty, $operation:ident($($argument:expr),* $(,)?)) => {
        $crate::testing::conformance::Call::<$primitive>::new(
            ::std::format!(
                ::std::concat!(::std::stringify!($operation), "{:?}"),
                ($(&$argument,)*)
            ),
            move |handle: &mut <$primitive as $crate::PrimitiveStorageExt>::Handle<'_>| {
                handle.$operation($($argument),*)
            },
        )
    };
}
