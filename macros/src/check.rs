//! Turns items into the model and says everything that is wrong with them.

mod arguments;
mod claims;
mod methods;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Item, ItemImpl, ItemStruct, Member, Meta, Type};

use crate::errors::Errors;
use crate::model::{Field, FieldFact, Operations, Primitive};
use crate::parse;

pub(crate) use claims::claim;

/// The struct under `#[primitive(..)]`. `None` if it is none.
pub(crate) fn primitive(
    arguments: TokenStream,
    item: TokenStream,
    errors: &mut Errors,
) -> Option<Primitive> {
    let claim = claim(arguments, errors);
    let mut item = structure(item, errors)?;
    if !item.generics.params.is_empty() {
        errors.on(
            &item.generics,
            "a primitive has no type parameters: its state is one type, in every program that \
             reads the data",
        );
        return None;
    }
    let fields = fields(&mut item, errors);
    Some(Primitive { claim, item, fields })
}

fn structure(item: TokenStream, errors: &mut Errors) -> Option<ItemStruct> {
    match errors.keep(syn::parse2(item))? {
        Item::Struct(item) => Some(item),
        other => {
            errors
                .on(first_tokens(&other), "a primitive is a struct: put this into a field of one");
            None
        }
    }
}

/// The item's keyword and name, which is enough to point at.
fn first_tokens(item: &Item) -> TokenStream {
    match item {
        Item::Enum(item) => {
            let (keyword, name) = (&item.enum_token, &item.ident);
            quote::quote!(#keyword #name)
        }
        other => other.to_token_stream(),
    }
}

/// Takes our attributes off the fields.
fn fields(item: &mut ItemStruct, errors: &mut Errors) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (index, field) in item.fields.iter_mut().enumerate() {
        let member = match &field.ident {
            Some(name) => Member::Named(name.clone()),
            None => Member::Unnamed(index.into()),
        };
        let mut rebuild = None;
        let mut was = None;
        let mut former = None;
        field.attrs.retain(|attribute| {
            if attribute.path().is_ident("index") {
                rebuild = errors.keep(parse::index(arguments_of(attribute), attribute));
            } else if attribute.path().is_ident("field") {
                match errors.keep(parse::field(arguments_of(attribute), attribute)) {
                    Some(FieldFact::Was(name)) => was = Some(name),
                    Some(FieldFact::From(field)) => former = Some(field),
                    None => {}
                }
            } else {
                return true;
            }
            false
        });
        if let (Some(was), Some(_)) = (&was, &rebuild) {
            errors.on(was, "an index stands in no snapshot, so it has no former name there");
        }
        let table = match (&was, &member) {
            (Some(was), _) => was.value(),
            (None, Member::Named(name)) => syn::ext::IdentExt::unraw(name).to_string(),
            (None, Member::Unnamed(index)) => index.index.to_string(),
        };
        if rebuild.is_none()
            && let Some(other) = fields.iter().find(|other| {
                other.rebuild.is_none() && other.cfgs.is_empty() && other.table == table
            })
        {
            let other = other.member.to_token_stream();
            errors.on(&was, format!("`{table}` is the table of the field `{other}` already"));
        }
        if rebuild.is_none()
            && let Some(span) = methods::borrow(&field.ty)
        {
            errors.at(
                span,
                "a field owns what it holds: write `String` for `&str`, `Bytes` for `&[u8]`",
            );
            continue;
        }
        let cfgs = field.attrs.iter().filter(|each| each.path().is_ident("cfg")).cloned().collect();
        let ty = peeled(&field.ty).clone();
        fields.push(Field { member, ty, table, former, rebuild, cfgs });
    }
    fields
}

/// The impl block under `#[operations]`. `None` if it is none.
pub(crate) fn operations(
    arguments: TokenStream,
    item: TokenStream,
    errors: &mut Errors,
) -> Option<Operations> {
    let krate = parse::only_crate(arguments, errors);
    let block = match errors.keep(syn::parse2(item))? {
        Item::Impl(block) => block,
        other => {
            errors
                .on(first_tokens(&other), "`#[operations]` belongs on `impl YourPrimitive { .. }`");
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
    if !block.generics.params.is_empty() {
        errors.on(&block.generics, "a primitive has no type parameters");
        return None;
    }
    let primitive = match peeled(&block.self_ty) {
        Type::Path(path) if path.qself.is_none() => path.path.get_ident().cloned(),
        _ => None,
    };
    let Some(primitive) = primitive else {
        errors.on(
            &block.self_ty,
            "write the primitive's plain name: its operations stand in the struct's own module",
        );
        return None;
    };
    let operations = methods::operations(&mut block, &primitive, errors);
    Some(Operations { krate, block, primitive, operations })
}

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
