//! What the user meant, with the user's own tokens for the errors to point at.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{Attribute, Expr, ExprClosure, ItemImpl, LitStr, Member, Signature, Type, Visibility};

/// A byte and the tokens that say it: for a range those of the whole range.
#[derive(Clone, Copy)]
pub(crate) struct Byte {
    pub(crate) value: u8,
    pub(crate) first: Span,
    pub(crate) last: Span,
    /// Where in the list it stands: one for all bytes of a range.
    pub(crate) part: usize,
}

/// What `#[primitive(..)]` and `register!(..)` claim.
pub(crate) struct Claim {
    pub(crate) id: Option<Byte>,
    pub(crate) wal: Vec<Byte>,
    pub(crate) name: Option<LitStr>,
    pub(crate) was: Vec<LitStr>,
    pub(crate) root_only: bool,
    pub(crate) section_version: Option<u32>,
    pub(crate) dropped: Vec<LitStr>,
    /// What says how two states differ, if it is not the fields.
    pub(crate) changes: Option<Expr>,
    pub(crate) locked: bool,
    pub(crate) krate: TokenStream,
}

/// A struct with `#[primitive]`.
pub(crate) struct Primitive {
    pub(crate) claim: Claim,
    /// The struct without our attributes.
    pub(crate) item: TokenStream,
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) fields: Vec<Field>,
}

/// A field of a primitive.
pub(crate) struct Field {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    /// The name that its table's tag is made of.
    pub(crate) table: String,
    /// The field of older sections that it is made of.
    pub(crate) former: Option<Former>,
    /// How it is made of the others, if it is derived.
    pub(crate) index: Option<Index>,
    /// The `#[cfg]`s it stands under.
    pub(crate) cfgs: Vec<Attribute>,
}

/// What `#[index(..)]` says.
pub(crate) enum Index {
    /// What its value is.
    Rebuilt {
        /// From the other fields.
        how: Expr,
        /// From those and a state that this one was made of.
        update: Option<Expr>,
    },
    /// What brings it up to date with a view.
    Deferred(Expr),
}

/// A field that older sections have instead.
pub(crate) struct Former {
    /// Its name.
    pub(crate) table: String,
    pub(crate) at: Span,
    pub(crate) ty: Type,
    /// What makes the new one of it.
    pub(crate) convert: ExprClosure,
}

/// What `#[field(..)]` says.
#[derive(Default)]
pub(crate) struct FieldFacts {
    /// The name that its content has in older sections, and keeps.
    pub(crate) was: Option<LitStr>,
    /// What it is called in the data.
    pub(crate) name: Option<LitStr>,
    pub(crate) from: Option<Former>,
}

/// An impl block with `#[operations]`.
pub(crate) struct Operations {
    pub(crate) krate: TokenStream,
    /// The block without our attributes.
    pub(crate) block: ItemImpl,
    pub(crate) primitive: Ident,
    pub(crate) operations: Vec<Operation>,
    /// The methods that change something and are not called on the handle.
    pub(crate) uncalled: Vec<Uncalled>,
}

/// A method with `&mut self` that the handle does not have.
pub(crate) struct Uncalled {
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) why: Why,
}

/// Why the handle does not have a method.
#[derive(Clone, Copy)]
pub(crate) enum Why {
    /// It is no operation.
    NotLogged,
    /// It is kept for old records.
    ReplayOnly,
    /// It is wrong, and that is said where it stands.
    Wrong,
}

/// A method with `#[wal(..)]`.
pub(crate) struct Operation {
    pub(crate) wal: Wal,
    pub(crate) version: u8,
    /// What it is called in the data: all versions of an operation have the newest one's name.
    pub(crate) name: String,
    /// Is called on the handle; older versions are not, and none that is kept for replay only.
    pub(crate) called: bool,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) docs: Vec<Attribute>,
    /// The attributes that the handle's method has too.
    pub(crate) carried: Vec<Attribute>,
    pub(crate) cfgs: Vec<Attribute>,
    /// Takes `&OpContext`.
    pub(crate) context: bool,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: Output,
    /// What is logged instead of the arguments.
    pub(crate) effect: Option<Effect>,
}

/// The two halves of what an operation in the effect form returns.
pub(crate) struct Effect {
    pub(crate) effect: Type,
    pub(crate) result: Type,
}

/// What `#[wal(..)]` says.
#[derive(Clone)]
pub(crate) struct Wal {
    pub(crate) byte: Byte,
    pub(crate) version: Option<(u8, Span)>,
    /// What the operation is called in the data.
    pub(crate) name: Option<LitStr>,
    pub(crate) effect: bool,
    /// Is the newest version though it says its number: older ones are gone.
    pub(crate) newest: Option<Span>,
    /// Kept for old records only.
    pub(crate) replay_only: Option<Span>,
}

/// An argument of an operation.
pub(crate) struct Argument {
    /// As the handle's method calls it.
    pub(crate) name: Ident,
    /// As the user wrote it.
    pub(crate) written: Type,
    pub(crate) kind: Kind,
}

/// How an argument is logged and comes back.
pub(crate) enum Kind {
    /// As itself, or as a reference into the log.
    Value(Type),
    /// By reference to a value that is decoded first.
    Lent(Type),
    /// What `AsRef` gives.
    AsRef(Type),
    /// What `Into` gives.
    Into(Type),
}

/// What an operation returns.
pub(crate) enum Output {
    /// `Result<..>`: the type, and its first argument if it is written.
    Result(Box<Type>, Option<Box<Type>>),
    /// Anything else.
    Plain(Box<Type>),
}
