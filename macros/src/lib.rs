//! The attributes of freehold: `#[primitive]`, `#[operations]`, `#[derive(Stored)]`, `register!`,
//! `conformance!`.
//!
//! Documented where they are exported, in `freehold`. From tokens to tokens in four steps: `parse`
//! reads, `model` holds what was meant together with the user's own tokens, `check` gathers every
//! error, `expand` writes.

mod check;
mod errors;
mod expand;
mod lock;
mod model;
mod parse;

use proc_macro::TokenStream;

/// Makes a struct a primitive: claims its type ID and WAL types, and writes its codec.
///
/// ```text
/// #[primitive(id = 0x80, wal = 0x80..=0x81)]
/// ```
///
/// - `id`: the type ID. 1 to 7 go with the WAL types from `id` × 16, 8 to 255 with any from 0x80.
/// - `wal`: the WAL types of its operations: one, a range, or a list of both.
/// - `name = "..."`: the name by which databases know it. Default: the struct's.
/// - `was = ["..."]`: names it had before.
/// - `scope = root`: one instance in the root, none in runs.
/// - `section_version = 2`: the version of its section's layout. Default: 1.
/// - `dropped = ["..."]`: fields that older sections have, and whose content is given up.
/// - `changes = Notes::changes_since`: what tells how two states differ, if the fields say too little.
/// - `locked`: everything it writes stands in `freehold.lock`, or it does not compile.
/// - `crate = fh`: where freehold is found, if it was renamed.
///
/// The struct is `Clone` and `Default`. Each field is [`Stored`](macro@Stored), or derived:
/// `#[index(rebuild = |this| ..)]`, or `#[index(deferred = |this, index| ..)]` for one that only views
/// read. `#[index(rebuild = |this| .., update = |this, base| ..)]` also says how the index comes of that
/// of a state which this one was made of. A renamed field says `#[field(was = "old")]`; one that is made of
/// another which older sections have, `#[field(from = |old: OldType| ..)]`.
#[proc_macro_attribute]
pub fn primitive(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::primitive(arguments.into(), item.into()).into()
}

/// Makes methods the operations of a primitive: logged when they run, called again at replay.
///
/// On the primitive's own `impl` block, in the struct's module, all in one. Each method with
/// `#[wal(b)]` becomes an operation; on the handle that `tx.on::<P>()` returns it is logged and
/// returns `freehold::Result`. Methods without are ordinary: reads with `&self`, and what operations
/// call with `&mut self`, which is private, since it would change the state without being logged.
///
/// - `#[wal(0x80)]`: the newest version of the operation.
/// - `#[wal(0x80, version = 1)]`: an older one, kept with its signature and meaning so that old
///   records replay. It has no method on the handle. Versions count from 1, without a gap; the
///   newest has the next number.
/// - `#[wal(0x80, version = 3, newest)]`: the newest version, where older ones are retired and gone.
/// - `#[wal(0x80, replay_only)]`: retired. Nobody calls it any more, and its old records replay. So
///   on the newest version, which keeps its number; the older ones stay as they are.
/// - `#[wal(0x80, name = "add")]`: what the operation is called in the data, if not like its method.
/// - `#[wal(0x80, effect)]`: a method with `&self` that returns the effect and a result, or
///   `Result<(Effect, R), E>`. Only the effect is logged, and `freehold::Apply<Effect>` makes the
///   change.
///
/// A method may take `&OpContext` first. One that returns `Result<..>` may reject: then nothing has
/// changed and nothing is logged.
#[proc_macro_attribute]
pub fn operations(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::operations(arguments.into(), item.into()).into()
}

/// Marks an operation, inside an `impl` block with `#[operations]`.
#[proc_macro_attribute]
pub fn wal(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_wal(item.into()).into()
}

/// Lets a struct or an enum be an argument of operations and a field of primitives. All its fields
/// are `Stored` themselves.
///
/// - `#[stored(name = "Step")]`: what fingerprints call the type, if it was renamed. An older version
///   of a type that stays for old records keeps the name that it had.
/// - `#[stored(via = String)]`: the type is stored as a `String` that stands for it, so its own fields
///   need not be `Stored`: for recursive types, and for foreign ones inside a struct of yours.
///   `String: From<&Type>` makes it and `Type: TryFrom<String>` reads it; both must mean the same for
///   ever, since the bytes do not tell.
/// - `#[stored(crate = fh)]`: where freehold is found, if it was renamed.
#[proc_macro_derive(Stored, attributes(stored))]
pub fn derive_stored(item: TokenStream) -> TokenStream {
    expand::stored(item.into()).into()
}

/// Registers a primitive that implements `PrimitiveStorageExt` by hand:
/// `freehold::register!(VectorStore, id = 7, wal = 0x70..=0x72)`. In the module of the type; also
/// `name = ".."` and `crate = ..`.
#[proc_macro]
pub fn register(arguments: TokenStream) -> TokenStream {
    expand::register(arguments.into()).into()
}

/// The conformance kit for a primitive: a module of tests, one for each rule.
///
/// ```text
/// freehold::conformance!(Counters, strategy);
/// ```
///
/// `strategy` is an expression that makes calls of the primitive's operations, as a
/// [proptest](https://docs.rs/proptest) strategy; in it proptest's prelude and `call!` are at hand.
/// Needs freehold's feature `testing`.
#[proc_macro]
pub fn conformance(arguments: TokenStream) -> TokenStream {
    expand::conformance(arguments.into()).into()
}

/// What `#[primitive]` implements for a type ID or a WAL type. For freehold itself.
#[doc(hidden)]
#[proc_macro]
pub fn slots(_: TokenStream) -> TokenStream {
    expand::slots().into()
}

/// A symbol that two releases of freehold cannot both define. For freehold itself.
#[doc(hidden)]
#[proc_macro]
pub fn one_release(_: TokenStream) -> TokenStream {
    expand::one_release().into()
}

/// `freehold::assert_no_collisions!()` by the path of freehold.
#[doc(hidden)]
#[proc_macro]
pub fn assert_no_collisions(krate: TokenStream) -> TokenStream {
    expand::assert_no_collisions(krate.into()).into()
}
