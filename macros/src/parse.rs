//! Reads the attributes' arguments.
//!
//! ```text
//! primitive   = fact ("," fact)* [","]
//! register    = Path "," primitive
//! conformance = Path "," Expr ["," "crate" "=" Path] [","]
//! fact        = "id" "=" byte | "wal" "=" bytes | "name" "=" string | "was" "=" "[" strings "]"
//!             | "scope" "=" "root" | "section_version" "=" number | "dropped" "=" "[" strings "]"
//!             | "locked" | "crate" "=" Path
//! bytes       = some | "[" some ("," some)* [","] "]"
//! some        = byte | byte "..=" byte
//! operations  = [ "crate" "=" Path ]
//! stored      = ("crate" "=" Path | "name" "=" string)*
//! wal         = byte ("," "version" "=" number | "," "name" "=" string | "," "effect")*
//! index       = "rebuild" "=" Expr
//! field       = "was" "=" string | "from" "=" "|" Ident ":" Type "|" Expr
//! ```

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, LitStr, Pat, Path, RangeLimits, Token};

use crate::errors::Errors;
use crate::model::{Byte, Claim, FieldFact, Former, Wal};

/// Reads what a primitive claims. What is missing or wrong is noted and left out.
pub(crate) fn claim(arguments: TokenStream, errors: &mut Errors) -> Claim {
    let mut claim = Claim {
        id: None,
        wal: Vec::new(),
        name: None,
        was: Vec::new(),
        root_only: false,
        section_version: None,
        dropped: Vec::new(),
        locked: false,
        krate: quote!(::freehold),
    };
    let facts =
        syn::parse::Parser::parse2(Punctuated::<Fact, Token![,]>::parse_terminated, arguments);
    let Some(facts) = errors.keep(facts) else { return claim };
    let mut seen: Vec<String> = Vec::new();
    let (mut id_seen, mut wal_seen) = (false, false);
    for Fact { name, value } in facts {
        let word = name.unraw().to_string();
        if seen.contains(&word) {
            errors.on(&name, format!("`{word}` is said twice"));
            continue;
        }
        match (word.as_str(), value) {
            ("id", Value::Expr(value)) => {
                id_seen = true;
                claim.id = errors.keep(byte(&value, "type ID"));
            }
            ("wal", Value::Expr(value)) => {
                wal_seen = true;
                claim.wal = bytes(&value, errors);
            }
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
            ("section_version", Value::Expr(value)) => claim.section_version = Some(value),
            ("dropped", Value::Expr(value)) => claim.dropped = texts(&value, errors),
            ("locked", Value::None) => claim.locked = true,
            ("crate", Value::Path(path)) => claim.krate = crate_path(&path),
            _ => errors.on(
                &name,
                "expected `id = ..`, `wal = ..`, `name = ..`, `was = ..`, `scope = root`, \
                 `section_version = ..`, `dropped = ..`, `locked` or `crate = ..`",
            ),
        }
        seen.push(word);
    }
    if !id_seen {
        errors.at(
            Span::call_site(),
            "the type ID is missing: write `id = 0x80`, with a number \
                                      from 8 to 255 that no other primitive of the program has",
        );
    }
    if !wal_seen {
        errors.at(
            Span::call_site(),
            "the WAL types are missing: write `wal = 0x80..=0x8f`, with \
                                      bytes that no other primitive of the program has",
        );
    }
    claim
}

/// `name = value`, where only `crate` has a path and only `locked` has nothing.
struct Fact {
    name: Ident,
    value: Value,
}

enum Value {
    Expr(Expr),
    Path(Path),
    None,
}

impl Parse for Fact {
    fn parse(input: ParseStream<'_>) -> syn::Result<Fact> {
        let name = input.call(Ident::parse_any)?;
        if name == "locked" && !input.peek(Token![=]) {
            return Ok(Fact { name, value: Value::None });
        }
        input.parse::<Token![=]>()?;
        let value = if name == "crate" {
            Value::Path(input.call(Path::parse_mod_style)?)
        } else {
            Value::Expr(input.parse()?)
        };
        Ok(Fact { name, value })
    }
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
            return Err(input.error(
                "write a strategy behind the primitive: how its operations are called, such as \
                 `\"[a-c]\".prop_map(|name| call!(Counters, add(&name, 1)))`",
            ));
        }
        input.parse::<Token![,]>()?;
        let strategy = input.parse()?;
        let _: Option<Token![,]> = input.parse()?;
        Ok(Conformance { primitive, strategy, rest: input.parse()? })
    }
}

/// `#[stored(..)]`: where freehold is found, and what the type is called in fingerprints.
pub(crate) fn stored(arguments: TokenStream, errors: &mut Errors) -> (TokenStream, Option<LitStr>) {
    let mut krate = quote!(::freehold);
    let mut called = None;
    let facts =
        syn::parse::Parser::parse2(Punctuated::<Fact, Token![,]>::parse_terminated, arguments);
    for Fact { name, value } in errors.keep(facts).unwrap_or_default() {
        match value {
            Value::Path(path) => krate = crate_path(&path),
            Value::Expr(value) if name == "name" => called = errors.keep(text(&value)),
            _ => errors.on(name, "expected `name = \"..\"` or `crate = ..`"),
        }
    }
    (krate, called)
}

/// `#[operations(..)]` and `conformance!`: at most `crate = path`.
pub(crate) fn only_crate(arguments: TokenStream, errors: &mut Errors) -> TokenStream {
    let mut krate = quote!(::freehold);
    let facts =
        syn::parse::Parser::parse2(Punctuated::<Fact, Token![,]>::parse_terminated, arguments);
    for Fact { name, value } in errors.keep(facts).unwrap_or_default() {
        match value {
            Value::Path(path) => krate = crate_path(&path),
            Value::Expr(_) | Value::None => errors.on(name, "expected `crate = ..` or nothing"),
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

/// What `#[wal(..)]` says.
pub(crate) fn wal(tokens: TokenStream, at: &impl ToTokens) -> syn::Result<Wal> {
    if tokens.is_empty() {
        return Err(syn::Error::new_spanned(at, "which WAL type? write `#[wal(0x80)]`"));
    }
    syn::parse::Parser::parse2(
        |input: ParseStream<'_>| {
            let byte = byte(&input.parse()?, "WAL type")?;
            let mut wal = Wal { byte, version: None, name: None, effect: false };
            while !input.is_empty() {
                input.parse::<Token![,]>()?;
                if input.is_empty() {
                    break;
                }
                let word: Ident = input.call(Ident::parse_any)?;
                if word == "version" {
                    input.parse::<Token![=]>()?;
                    let version: Expr = input.parse()?;
                    let read = self::byte(&version, "version")?;
                    if read.value == 0 {
                        return Err(syn::Error::new_spanned(version, "versions count from 1"));
                    }
                    wal.version = Some((read.value, version.span()));
                } else if word == "name" {
                    input.parse::<Token![=]>()?;
                    wal.name = Some(text(&input.parse()?)?);
                } else if word == "effect" {
                    wal.effect = true;
                } else {
                    return Err(syn::Error::new(
                        word.span(),
                        "expected `version = ..`, `name = ..` or `effect`",
                    ));
                }
            }
            Ok(wal)
        },
        tokens,
    )
}

/// `#[index(rebuild = ..)]`.
pub(crate) fn index(tokens: TokenStream, at: &impl ToTokens) -> syn::Result<Expr> {
    const REMEDY: &str = "write how the index is rebuilt from the other fields: \
                          `#[index(rebuild = |this| ..)]`";
    let facts = syn::parse::Parser::parse2(Punctuated::<Fact, Token![,]>::parse_terminated, tokens)
        .map_err(|_| syn::Error::new_spanned(at, REMEDY))?;
    match facts.into_iter().next() {
        Some(Fact { name, value: Value::Expr(value) }) if name == "rebuild" => Ok(value),
        _ => Err(syn::Error::new_spanned(at, REMEDY)),
    }
}

/// `#[field(was = "..")]`, `#[field(from = |old: Type| ..)]`.
pub(crate) fn field(tokens: TokenStream, at: &impl ToTokens) -> syn::Result<FieldFact> {
    let facts =
        syn::parse::Parser::parse2(Punctuated::<Fact, Token![,]>::parse_terminated, tokens)?;
    match facts.into_iter().next() {
        Some(Fact { name, value: Value::Expr(value) }) if name == "was" => {
            Ok(FieldFact::Was(text(&value)?))
        }
        Some(Fact { name, value: Value::Expr(value) }) if name == "from" => {
            former(&value).map(FieldFact::From)
        }
        _ => Err(syn::Error::new_spanned(
            at,
            "expected `#[field(was = \"old_name\")]` or `#[field(from = |old_name: OldType| ..)]`",
        )),
    }
}

/// `|old_name: OldType| ..`
fn former(expr: &Expr) -> syn::Result<Former> {
    if let Expr::Closure(closure) = peeled(expr)
        && let (1, Some(Pat::Type(typed))) = (closure.inputs.len(), closure.inputs.first())
        && let Pat::Ident(name) = &*typed.pat
    {
        return Ok(Former {
            table: name.ident.unraw().to_string(),
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

fn byte(expr: &Expr, of: &str) -> syn::Result<Byte> {
    let written = peeled(expr);
    let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = written else {
        return Err(syn::Error::new_spanned(
            written,
            format!("a {of} is written as a number, such as `0x80`, since the linker must see it"),
        ));
    };
    let value = number.base10_parse::<u8>().map_err(|_| {
        syn::Error::new_spanned(written, format!("a {of} is one byte, 0x00 to 0xff"))
    })?;
    Ok(Byte { value, first: number.span(), last: number.span() })
}

fn bytes(expr: &Expr, errors: &mut Errors) -> Vec<Byte> {
    match peeled(expr) {
        Expr::Array(array) => array.elems.iter().flat_map(|some| bytes(some, errors)).collect(),
        Expr::Range(range) => {
            let (Some(start), Some(end)) = (&range.start, &range.end) else {
                errors.on(range, "a range of WAL types has two ends: `0x80..=0x8f`");
                return Vec::new();
            };
            let start_read = errors.keep(byte(start, "WAL type"));
            let end_read = errors.keep(byte(end, "WAL type"));
            let (Some(from), Some(to)) = (start_read, end_read) else { return Vec::new() };
            if let RangeLimits::HalfOpen(_) = range.limits {
                let last = to.value.saturating_sub(1).max(from.value);
                errors.on(
                    range,
                    format!("write the last WAL type too: `{:#04x}..={last:#04x}`", from.value),
                );
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
                .map(|value| Byte { value, first: from.first, last: to.last })
                .collect()
        }
        one => errors.keep(byte(one, "WAL type")).into_iter().collect(),
    }
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
