//! Turns items into the model and says everything that is wrong with them.

mod arguments;
mod claims;
mod methods;
mod types;
mod versions;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{
    Attribute, GenericParam, Generics, Item, ItemImpl, ItemStruct, LitStr, Member, Meta,
    PathArguments, Type,
};

use crate::errors::Errors;
use crate::model::{Claim, Field, FieldFacts, Index, Operations, Primitive};
use crate::parse;

pub(crate) use claims::claim;
pub(crate) use types::{owned, storable};

/// The struct under `#[primitive(..)]`. `None` if not much can be made of it.
pub(crate) fn primitive(claim: Claim, item: TokenStream, errors: &mut Errors) -> Option<Primitive> {
    let mut item = match errors.keep(syn::parse2(item))? {
        Item::Struct(item) => item,
        other => {
            let remedy = match other {
                Item::Enum(_) | Item::Union(_) => "put this into a field of one",
                Item::Impl(_) => "on its `impl` write `#[operations]`",
                _ => "write `#[primitive(..)]` on one",
            };
            errors.on(keyword_and_name(&other), format!("a primitive is a struct: {remedy}"));
            // An enum may be all that else is asked for; nothing else is `Default`.
            let Item::Enum(item) = other else { return None };
            if !item.generics.params.is_empty() {
                return None;
            }
            let (name, visibility) = (item.ident.clone(), item.vis.clone());
            let item = item.into_token_stream();
            return Some(Primitive { claim, item, name, visibility, fields: Vec::new() });
        }
    };
    claims::former_names(&claim, &item.ident, errors);
    if !item.generics.params.is_empty() {
        errors.on(
            &item.generics,
            match item.generics.params.first() {
                Some(GenericParam::Lifetime(_)) => {
                    "a primitive owns what it holds: leave out the lifetime, and write `String` for \
                     `&str`, `Bytes` for `&[u8]`"
                }
                Some(GenericParam::Const(_)) => {
                    "the state of a primitive is one type, in every program that reads the data: \
                     write the number"
                }
                _ => {
                    "the state of a primitive is one type, in every program that reads the data: \
                     write the type"
                }
            },
        );
        return None;
    }
    let fields = fields(&mut item, errors);
    let (name, visibility) = (item.ident.clone(), item.vis.clone());
    Some(Primitive { claim, item: item.into_token_stream(), name, visibility, fields })
}

/// What the parameters are called.
fn parameters(generics: &Generics) -> &'static str {
    match generics.params.first() {
        Some(GenericParam::Lifetime(_)) => "lifetimes",
        Some(GenericParam::Const(_)) => "const parameters",
        _ => "type parameters",
    }
}

/// What is enough to point at.
fn keyword_and_name(item: &Item) -> TokenStream {
    fn two(keyword: impl ToTokens, name: impl ToTokens) -> TokenStream {
        quote!(#keyword #name)
    }
    match item {
        Item::Enum(item) => two(item.enum_token, &item.ident),
        Item::Struct(item) => two(item.struct_token, &item.ident),
        Item::Union(item) => two(item.union_token, &item.ident),
        Item::Fn(item) => two(item.sig.fn_token, &item.sig.ident),
        Item::Mod(item) => two(item.mod_token, &item.ident),
        Item::Trait(item) => two(item.trait_token, &item.ident),
        Item::Type(item) => two(item.type_token, &item.ident),
        Item::Impl(item) => two(item.impl_token, &item.self_ty),
        other => other.to_token_stream(),
    }
}

/// What our attributes say of a field.
#[derive(Default)]
struct Said {
    index: Option<Index>,
    facts: FieldFacts,
}

/// Takes our attributes off the fields.
fn fields(item: &mut ItemStruct, errors: &mut Errors) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (index, field) in item.fields.iter_mut().enumerate() {
        let member = match &field.ident {
            Some(name) => Member::Named(name.clone()),
            None => Member::Unnamed(index.into()),
        };
        let mut own = Errors::default();
        let Said { index: derived, facts: FieldFacts { was, name, from } } =
            said(&mut field.attrs, &mut own);
        let table = was.as_ref().or(name.as_ref()).map_or_else(|| label(&member), LitStr::value);
        if let Some(was) = &was {
            former_name(was, &member, &mut own);
        }
        if let Some(former) = from.as_ref().filter(|former| former.table == table) {
            own.at(
                former.at,
                format!(
                    "`{table}` is what the old field is called in the data, and the new one needs \
                     another name there: rename the field, or write \
                     `#[field(name = \"{table}_2\", from = ..)]`"
                ),
            );
        }
        if own.is_empty()
            && derived.is_none()
            && let Some(other) = fields.iter().find(|other| {
                other.index.is_none() && other.cfgs.is_empty() && other.table == table
            })
        {
            let other = other.member.to_token_stream();
            let message = format!("`{table}` is the table of the field `{other}` already");
            match &was {
                Some(was) => own.on(was, message),
                None => own.on(&member, message),
            }
        }
        if own.is_empty() && derived.is_none() {
            owned(&field.ty, "a field", &mut own);
            storable(&field.ty, &mut own);
        }
        if !own.is_empty() {
            errors.merge(own);
            continue;
        }
        let cfgs = field.attrs.iter().filter(|each| each.path().is_ident("cfg")).cloned().collect();
        let ty = peeled(&field.ty).clone();
        fields.push(Field { member, ty, table, former: from, index: derived, cfgs });
    }
    fields
}

fn label(member: &Member) -> String {
    match member {
        Member::Named(name) => name.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

fn said(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Said {
    let mut said = Said::default();
    let (mut index, mut field) = (false, false);
    attributes.retain(|attribute| {
        let twice = if attribute.path().is_ident("index") {
            std::mem::replace(&mut index, true)
        } else if attribute.path().is_ident("field") {
            std::mem::replace(&mut field, true)
        } else {
            return true;
        };
        if twice {
            let path = attribute.path().to_token_stream();
            errors.on(attribute, format!("`#[{path}(..)]` is said twice"));
        } else if attribute.path().is_ident("index") {
            said.index = parse::index(arguments_of(attribute), attribute, errors);
        } else {
            said.facts = parse::field(arguments_of(attribute), attribute, errors).unwrap_or_default();
            if index {
                errors.on(
                    attribute,
                    "an index stands in no snapshot, so it has no former name there: leave this out",
                );
            }
        }
        false
    });
    said
}

fn former_name(was: &LitStr, member: &Member, errors: &mut Errors) {
    let written = was.value();
    if written.is_empty() {
        errors.on(was, "the name is empty: write the one that the field had before");
    } else if written == label(member) {
        errors.on(was, format!("`{written}` is the name that the field has now: leave this out"));
    }
}

/// The impl block under `#[operations]`. `None` if it is none.
pub(crate) fn operations(
    krate: TokenStream,
    item: TokenStream,
    errors: &mut Errors,
) -> Option<Operations> {
    let block = match errors.keep(syn::parse2(item))? {
        Item::Impl(block) => block,
        other => {
            errors.on(
                keyword_and_name(&other),
                "`#[operations]` belongs on `impl YourPrimitive { .. }`",
            );
            return None;
        }
    };
    operations_of(krate, block, errors)
}

fn operations_of(
    krate: TokenStream,
    mut block: ItemImpl,
    errors: &mut Errors,
) -> Option<Operations> {
    if let Some((_, of, _)) = &block.trait_ {
        errors.on(of, "operations are the primitive's own methods: write `impl YourPrimitive`");
        return None;
    }
    let path = match peeled(&block.self_ty) {
        Type::Path(path) if path.qself.is_none() => path.path.clone(),
        other => {
            errors.on(other, PLAIN_NAME);
            return None;
        }
    };
    let last = path.segments.last()?;
    let primitive = last.ident.clone();
    if path.get_ident().is_none() {
        // The struct's parameters are refused where it stands.
        if path.segments.len() > 1 || matches!(last.arguments, PathArguments::None) {
            errors.on(&path, PLAIN_NAME);
        }
        return None;
    }
    if !block.generics.params.is_empty() {
        let called = parameters(&block.generics);
        errors
            .on(&block.generics, format!("operations have no {called}: write `impl {primitive}`"));
        block.generics = Generics::default();
    }
    let (operations, uncalled) = methods::operations(&mut block, &primitive, errors);
    Some(Operations { krate, block, primitive, operations, uncalled })
}

const PLAIN_NAME: &str =
    "write the primitive's plain name: its operations stand in the struct's own module";

/// What stands in an attribute's parentheses.
fn arguments_of(attribute: &Attribute) -> TokenStream {
    match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    }
}

/// Captures of `macro_rules!` arrive in invisible groups.
fn peeled(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}
