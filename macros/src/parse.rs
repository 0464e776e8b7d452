//! Reads the attributes' arguments.
//!
//! ```text
//! primitive   = fact ("," fact)* [","]
//! register    = Path "," primitive
//! conformance = Path "," Expr ["," "crate" "=" Path] [","]
//! fact        = "id" "=" byte | "wal" "=" bytes | "name" "=" string | "was" "=" "[" strings "]"
//!             | "scope" "=" "root" | "section_version" "=" number | "dropped" "=" "[" strings "]"
//!             | "changes" "=" Expr | "locked" | "crate" "=" Path
//! bytes       = some | "[" some ("," some)* [","] "]"
//! some        = byte | byte "..=" byte
//! operations  = [ "crate" "=" Path ]
//! stored      = ("crate" "=" Path | "name" "=" string)*
//! wal         = byte ("," "version" "=" number | "," "name" "=" string | "," "effect"
//!             | "," "newest" | "," "replay_only")*
//! index       = "rebuild" "=" Expr ["," "update" "=" Expr] | "deferred" "=" Expr
//! field       = ("was" "=" string | "name" "=" string | "from" "=" "|" Ident ":" Type "|" Expr)*
//! ```

mod facts;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, LitInt, LitStr, Pat, Path, RangeLimits, Token, Type};

use self::facts::{Fact, Value, Word, wanting};
use crate::errors::Errors;
use crate::model::{Byte, Claim, FieldFacts, Former, Index, Wal};

/// What `#[primitive(..)]` knows.
const CLAIM: &[Word] = &[
    ("id", "id = 0x80"),
    ("wal", "wal = 0x80..=0x8f"),
    ("name", "name = \"notes\""),
    ("was", "was = [\"old_notes\"]"),
    ("scope", "scope = root"),
    ("section_version", "section_version = 2"),
    ("dropped", "dropped = [\"old_field\"]"),
    ("changes", "changes = Notes::changes_since"),
    ("locked", "locked"),
    ("crate", "crate = fh"),
];

/// What a primitive that is written by hand says in its trait, and not where it registers.
const IN_THE_TRAIT: &[Word] = &[
    ("was", "const FORMER_NAMES"),
    ("scope", "const ROOT_ONLY"),
    ("section_version", "const SECTION_VERSION"),
    ("dropped", "const DROPPED_FIELDS"),
    ("changes", "fn changes"),
];

/// Reads what a primitive claims. What is missing or wrong is noted and left out.
pub(crate) fn claim(arguments: TokenStream, by_hand: bool, errors: &mut Errors) -> Claim {
    let mut claim = Claim {
        id: None,
        wal: Vec::new(),
        name: None,
        was: Vec::new(),
        root_only: false,
        section_version: None,
        dropped: Vec::new(),
        changes: None,
        locked: false,
        krate: quote!(::freehold),
    };
    let at = arguments.clone();
    let facts = facts::facts(arguments, CLAIM, errors);
    let (no_id, no_wal) = (facts.lacks("id"), facts.lacks("wal"));
    for Fact { name, word, written, value } in facts.facts {
        if by_hand && let Some((_, written)) = IN_THE_TRAIT.iter().find(|(other, _)| *other == word)
        {
            errors.on(&name, format!("`{word}` is said in the trait: write `{written}` there"));
            continue;
        }
        match (word, value) {
            ("id", Value::Expr(value)) => claim.id = errors.keep(byte(&value, &TYPE_ID)),
            ("wal", Value::Expr(value)) => claim.wal = bytes(&value, errors),
            ("name", Value::Expr(value)) => claim.name = errors.keep(text(&value)),
            ("was", Value::Expr(value)) => claim.was = texts(&value, errors),
            ("scope", Value::Expr(value)) => {
                if value.to_token_stream().to_string() == "root" {
                    claim.root_only = true;
                } else {
                    errors.on(
                        value,
                        "the only scope that is said is `scope = root`; without it, \
                                      every run has an instance",
                    );
                }
            }
            ("section_version", Value::Expr(value)) => {
                claim.section_version = errors.keep(section_version(&value));
            }
            ("dropped", Value::Expr(value)) => claim.dropped = texts(&value, errors),
            ("changes", Value::Expr(value)) => claim.changes = Some(value),
            ("locked", Value::Nothing) => claim.locked = true,
            ("crate", Value::Path(path)) => claim.krate = crate_path(&path),
            _ => errors.on(&name, wanting(word, written)),
        }
    }
    match (no_id, no_wal) {
        (true, true) => errors.at(
            Span::call_site(),
            "which type ID and WAL types? write `id = 0x80, wal = 0x80..=0x8f`, with a number \
             from 8 to 255 and bytes from 0x80 that no other primitive of the program has",
        ),
        (true, false) => errors.on(
            at,
            "the type ID is missing: write `id = 0x80`, with a number from 8 to 255 that no \
             other primitive of the program has",
        ),
        (false, true) => errors.on(
            at,
            "the WAL types are missing: write `wal = 0x80..=0x8f`, with bytes from 0x80 that no \
             other primitive of the program has",
        ),
        (false, false) => {}
    }
    claim
}

/// `register!`'s type and the rest.
pub(crate) struct Registration {
    pub(crate) primitive: Path,
    pub(crate) claim: TokenStream,
}

impl Parse for Registration {
    fn parse(input: ParseStream<'_>) -> syn::Result<Registration> {
        let primitive = input.call(Path::parse_mod_style)?;
        if input.is_empty() {
            return Ok(Registration { primitive, claim: TokenStream::new() });
        }
        input.parse::<Token![,]>()?;
        Ok(Registration { primitive, claim: input.parse()? })
    }
}

/// `conformance!`'s primitive, its strategy, and where freehold is found.
pub(crate) struct Conformance {
    pub(crate) primitive: Path,
    pub(crate) strategy: Expr,
    pub(crate) rest: TokenStream,
}

impl Parse for Conformance {
    fn parse(input: ParseStream<'_>) -> syn::Result<Conformance> {
        let primitive = input.call(Path::parse_mod_style)?;
        if input.is_empty() {
            return Err(syn::Error::new_spanned(
                &primitive,
                "write a strategy behind this: how its operations are called, such as \
                 `\"[a-c]\".prop_map(|name| call!(Counters, add(&name, 1)))`",
            ));
        }
        input.parse::<Token![,]>()?;
        let strategy = input.parse()?;
        let _: Option<Token![,]> = input.parse()?;
        Ok(Conformance { primitive, strategy, rest: input.parse()? })
    }
}

/// What `#[stored(..)]` says.
pub(crate) struct StoredFacts {
    /// Where freehold is found.
    pub(crate) krate: TokenStream,
    /// What the type is called in fingerprints.
    pub(crate) called: Option<LitStr>,
    /// The type that stands for it in the bytes.
    pub(crate) via: Option<Type>,
}

/// What `#[stored(..)]` says.
pub(crate) fn stored(arguments: TokenStream, errors: &mut Errors) -> StoredFacts {
    const STORED: &[Word] =
        &[("name", "name = \"Step\""), ("via", "via = String"), ("crate", "crate = fh")];
    let mut krate = quote!(::freehold);
    let (mut called, mut via) = (None, None);
    for Fact { name, word, written, value } in facts::facts(arguments, STORED, errors).facts {
        match (word, value) {
            ("crate", Value::Path(path)) => krate = crate_path(&path),
            ("name", Value::Expr(value)) => called = errors.keep(text(&value)),
            ("via", Value::Type(ty)) => via = Some(ty),
            _ => errors.on(name, wanting(word, written)),
        }
    }
    StoredFacts { krate, called, via }
}

/// `#[operations(..)]` and `conformance!`: at most `crate = path`.
pub(crate) fn only_crate(arguments: TokenStream, errors: &mut Errors) -> TokenStream {
    let mut krate = quote!(::freehold);
    for Fact { name, word, written, value } in
        facts::facts(arguments, &[("crate", "crate = fh")], errors).facts
    {
        match value {
            Value::Path(path) => krate = crate_path(&path),
            _ => errors.on(name, wanting(word, written)),
        }
    }
    krate
}

/// A path that resolves from any module: `fh` is the crate `::fh`.
fn crate_path(path: &Path) -> TokenStream {
    let first = path.segments.first().map(|segment| segment.ident.to_string());
    match first.as_deref() {
        Some("crate" | "self" | "super") => quote!(#path),
        _ if path.leading_colon.is_some() => quote!(#path),
        _ => quote!(::#path),
    }
}

/// What `#[wal(..)]` knows.
const WAL: &[Word] = &[
    ("version", "version = 1"),
    ("name", "name = \"add\""),
    ("effect", "effect"),
    ("newest", "newest"),
    ("replay_only", "replay_only"),
];

/// What `#[wal(..)]` says.
pub(crate) fn wal(tokens: TokenStream, at: &impl ToTokens, errors: &mut Errors) -> Option<Wal> {
    let read = |input: ParseStream<'_>| {
        if input.is_empty() {
            return Err(syn::Error::new_spanned(at, "which WAL type? write `#[wal(0x80)]`"));
        }
        let first = input.fork().parse::<Ident>().map(|word| word.to_string());
        if first.is_ok_and(|first| WAL.iter().any(|(word, _)| *word == first)) {
            return Err(input.error("the WAL type comes first: write `#[wal(0x80, ..)]`"));
        }
        let byte: Expr = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok((byte, input.parse::<TokenStream>()?))
    };
    let (byte, rest) = errors.keep(read.parse2(tokens))?;
    let byte = match peeled(&byte) {
        Expr::Range(_) | Expr::Array(_) | Expr::Tuple(_) => {
            errors.on(byte, "an operation has one WAL type: write `#[wal(0x80)]`");
            None
        }
        byte => errors.keep(self::byte(byte, &WAL_TYPE)),
    };
    let (mut version, mut called, mut effect) = (None, None, false);
    let (mut newest, mut replay_only) = (None, None);
    for Fact { name, word, written, value } in facts::facts(rest, WAL, errors).facts {
        match (word, value) {
            ("version", Value::Expr(value)) => {
                version = errors.keep(self::version(&value)).map(|read| (read, value.span()));
            }
            ("name", Value::Expr(value)) => called = errors.keep(text(&value)),
            ("effect", Value::Nothing) => effect = true,
            ("newest", Value::Nothing) => newest = Some(name.span()),
            ("replay_only", Value::Nothing) => replay_only = Some(name.span()),
            _ => errors.on(&name, wanting(word, written)),
        }
    }
    byte.map(|byte| Wal { byte, version, name: called, effect, newest, replay_only })
}

fn version(expr: &Expr) -> syn::Result<u8> {
    let written = peeled(expr);
    match number(written) {
        Some(number) if number.base10_digits() == "0" => Err(syn::Error::new_spanned(
            written,
            "versions count from 1: take the next number, and none for the newest",
        )),
        Some(number) => number
            .base10_parse()
            .map_err(|_| syn::Error::new_spanned(written, "a version is a number from 1 to 255")),
        None => {
            Err(syn::Error::new_spanned(written, "a version is written as a number, such as `1`"))
        }
    }
}

fn section_version(expr: &Expr) -> syn::Result<u32> {
    let written = peeled(expr);
    match number(written).map(LitInt::base10_parse) {
        Some(Ok(0)) => Err(syn::Error::new_spanned(
            written,
            "a section's versions count from 1, and the first is not said: leave this out",
        )),
        Some(read) => read,
        None => Err(syn::Error::new_spanned(
            written,
            "a section's version is written as a number, such as `2`",
        )),
    }
}

/// `#[index(rebuild = ..)]`, `#[index(rebuild = .., update = ..)]`, `#[index(deferred = ..)]`.
pub(crate) fn index(tokens: TokenStream, at: &impl ToTokens, errors: &mut Errors) -> Option<Index> {
    const INDEX: &[Word] = &[
        ("rebuild", "rebuild = |this| .."),
        ("deferred", "deferred = |this, index| .."),
        ("update", "update = |this, base| .."),
    ];
    const REMEDY: &str = "write how the index is rebuilt from the other fields: \
                          `#[index(rebuild = |this| ..)]`";
    const DEFERRED: &str = "write what brings the index up to date with a view: \
                            `#[index(deferred = |this, index| ..)]`, or the path of a function \
                            `fn(&Self, &Index)`";
    let facts = facts::facts(tokens, INDEX, errors);
    if facts.lacks("rebuild") && facts.lacks("deferred") {
        errors.on(at, REMEDY);
    }
    let (mut said, mut updated) = (None, None);
    for Fact { name, word, written, value } in facts.facts {
        let index = match (word, value) {
            ("rebuild", Value::Expr(how)) => Index::Rebuilt { how, update: None },
            ("deferred", Value::Expr(value)) => Index::Deferred(value),
            ("update", Value::Expr(value)) => {
                updated = Some((name, value));
                continue;
            }
            ("update", _) => {
                errors.on(&name, wanting(word, written));
                continue;
            }
            ("deferred", _) => {
                errors.on(&name, DEFERRED);
                continue;
            }
            _ => {
                errors.on(at, REMEDY);
                continue;
            }
        };
        if said.is_some() {
            errors.on(
                &name,
                "an index is rebuilt when a snapshot is loaded, or deferred until a view asks: \
                 leave one out",
            );
        }
        said = Some(index);
    }
    match (&mut said, updated) {
        (Some(Index::Rebuilt { update, .. }), Some((_, value))) => *update = Some(value),
        (Some(Index::Deferred(_)), Some((name, _))) => {
            errors.on(name, "an index that is deferred is built by the views: leave this out");
        }
        _ => {}
    }
    said
}

/// `#[field(was = "..")]`, `#[field(from = |old: Type| ..)]`.
pub(crate) fn field(
    tokens: TokenStream,
    at: &impl ToTokens,
    errors: &mut Errors,
) -> Option<FieldFacts> {
    const FIELD: &[Word] = &[
        ("was", "was = \"old\""),
        ("name", "name = \"new\""),
        ("from", "from = |old: OldType| .."),
    ];
    const REMEDY: &str = "which field was it before? write `#[field(was = \"old\")]`, or \
                          `#[field(from = |old: OldType| ..)]` if it had another type";
    let facts = facts::facts(tokens, FIELD, errors);
    if facts.lacks("was") && facts.lacks("from") && facts.lacks("name") {
        errors.on(at, REMEDY);
    }
    let mut said = FieldFacts::default();
    for Fact { name, word, written, value } in facts.facts {
        match (word, value) {
            ("was", Value::Expr(value)) => said.was = errors.keep(text(&value)),
            ("name", Value::Expr(value)) => said.name = errors.keep(text(&value)),
            ("from", Value::Expr(value)) => said.from = errors.keep(former(&value)),
            _ => errors.on(&name, wanting(word, written)),
        }
    }
    if let Some(was) = &said.was
        && (said.name.is_some() || said.from.is_some())
    {
        errors.on(was, "`was` is for the same content under another name: leave it out");
    }
    Some(said)
}

/// `|old_name: OldType| ..`
fn former(expr: &Expr) -> syn::Result<Former> {
    if let Expr::Closure(closure) = peeled(expr)
        && let (1, Some(Pat::Type(typed))) = (closure.inputs.len(), closure.inputs.first())
        && let Pat::Ident(name) = &*typed.pat
    {
        return Ok(Former {
            table: name.ident.unraw().to_string(),
            at: name.ident.span(),
            ty: (*typed.ty).clone(),
            convert: closure.clone(),
        });
    }
    Err(syn::Error::new_spanned(
        expr,
        "write the old field with its type, and what becomes of it: `|old_name: OldType| ..`",
    ))
}

/// Captures of `macro_rules!` arrive in invisible groups.
fn peeled(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

/// What a byte is, for what is said of a wrong one.
struct Meaning {
    called: &'static str,
    remedy: &'static str,
}

const TYPE_ID: Meaning = Meaning { called: "type ID", remedy: "take one from 8 to 255" };
const WAL_TYPE: Meaning = Meaning { called: "WAL type", remedy: "take one from 0x80 to 0xff" };

fn number(expr: &Expr) -> Option<&LitInt> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Some(number),
        _ => None,
    }
}

fn byte(expr: &Expr, meaning: &Meaning) -> syn::Result<Byte> {
    let written = peeled(expr);
    let Meaning { called, remedy } = meaning;
    let Some(number) = number(written) else {
        return Err(syn::Error::new_spanned(
            written,
            format!(
                "a {called} is written as a number, such as `0x80`, since the linker must see it"
            ),
        ));
    };
    let value = number.base10_parse::<u8>().map_err(|_| {
        syn::Error::new_spanned(written, format!("a {called} is one byte: {remedy}"))
    })?;
    Ok(Byte { value, first: number.span(), last: number.span(), part: 0 })
}

/// WAL types: one, a range, a list of both.
fn bytes(expr: &Expr, errors: &mut Errors) -> Vec<Byte> {
    let Expr::Array(array) = peeled(expr) else { return some(expr, errors) };
    if array.elems.is_empty() {
        errors.on(array, "the list is empty: write `wal = 0x80..=0x8f`");
    }
    let mut bytes = Vec::new();
    for (part, element) in array.elems.iter().enumerate() {
        bytes.extend(some(element, errors).into_iter().map(|byte| Byte { part, ..byte }));
    }
    bytes
}

/// One WAL type, or a range of them.
fn some(expr: &Expr, errors: &mut Errors) -> Vec<Byte> {
    let Expr::Range(range) = peeled(expr) else {
        return errors.keep(byte(expr, &WAL_TYPE)).into_iter().collect();
    };
    let (Some(start), Some(end)) = (&range.start, &range.end) else {
        errors.on(range, "a range of WAL types has two ends: `0x80..=0x8f`");
        return Vec::new();
    };
    let start_read = errors.keep(byte(start, &WAL_TYPE));
    let end_read = errors.keep(byte(end, &WAL_TYPE));
    let (Some(from), Some(to)) = (start_read, end_read) else { return Vec::new() };
    if let RangeLimits::HalfOpen(_) = range.limits {
        let last = to.value.saturating_sub(1).max(from.value);
        errors
            .on(range, format!("write the last WAL type too: `{:#04x}..={last:#04x}`", from.value));
        return Vec::new();
    }
    if from.value > to.value {
        errors.on(
            range,
            format!("this range is empty: write `{:#04x}..={:#04x}`", to.value, from.value),
        );
        return Vec::new();
    }
    (from.value..=to.value)
        .map(|value| Byte { value, first: from.first, last: to.last, part: 0 })
        .collect()
}

fn text(expr: &Expr) -> syn::Result<LitStr> {
    match peeled(expr) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(syn::Error::new_spanned(other, "expected a string, such as `\"notes\"`")),
    }
}

fn texts(expr: &Expr, errors: &mut Errors) -> Vec<LitStr> {
    match peeled(expr) {
        Expr::Array(array) => {
            array.elems.iter().filter_map(|element| errors.keep(text(element))).collect()
        }
        one => errors.keep(text(one)).into_iter().collect(),
    }
}
