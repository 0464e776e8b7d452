//! The methods of an `#[operations]` block.

use proc_macro2::Ident;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, ImplItem, ImplItemFn, ItemImpl, PathArguments,
    ReturnType, Signature, Type, TypeReference,
};

use super::{arguments, arguments_of, peeled};
use crate::errors::Errors;
use crate::model::{Effect, Operation, Output, Wal};
use crate::parse;

/// Takes `#[wal(..)]` off the methods and reads those that have it.
pub(super) fn operations(
    block: &mut ItemImpl,
    primitive: &Ident,
    errors: &mut Errors,
) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let Some(wal) = take_wal(method, errors) else { continue };
        let mut own = Errors::default();
        let operation = operation(method, wal, primitive, &mut own);
        if own.is_empty() {
            operations.extend(operation);
        } else {
            merge(errors, own);
        }
    }
    number(&mut operations, errors);
    operations
}

fn merge(errors: &mut Errors, more: Errors) {
    if let Some(error) = more.into_error() {
        errors.push(error);
    }
}

fn take_wal(method: &mut ImplItemFn, errors: &mut Errors) -> Option<Wal> {
    let mut found = None;
    let mut count = 0;
    method.attrs.retain(|attribute| {
        let last = attribute.path().segments.last();
        if last.is_none_or(|segment| segment.ident != "wal") {
            return true;
        }
        count += 1;
        if count > 1 {
            errors.on(attribute, "an operation has one WAL type");
        } else {
            found = errors.keep(parse::wal(arguments_of(attribute), attribute));
        }
        false
    });
    found
}

fn operation(
    method: &ImplItemFn,
    wal: Wal,
    primitive: &Ident,
    errors: &mut Errors,
) -> Option<Operation> {
    let signature = &method.sig;
    keywords(signature, errors);
    receiver(signature, &wal, errors);
    let (context, arguments) = arguments::arguments(signature, primitive, errors);
    let output = output(&signature.output, primitive, errors)?;
    let effect = if wal.effect { Some(effect(&output, signature, errors)?) } else { None };
    let of = |names: &[&str]| -> Vec<Attribute> {
        let named = |each: &&Attribute| names.iter().any(|name| each.path().is_ident(name));
        method.attrs.iter().filter(named).cloned().collect()
    };
    Some(Operation {
        version: wal.version.map_or(0, |(version, _)| version),
        name: match &wal.name {
            Some(name) => name.value(),
            None => syn::ext::IdentExt::unraw(&signature.ident).to_string(),
        },
        newest: wal.version.is_none(),
        wal,
        visibility: method.vis.clone(),
        signature: signature.clone(),
        docs: of(&["doc"]),
        carried: of(&["must_use", "deprecated", "allow"]),
        cfgs: of(&["cfg"]),
        context,
        arguments,
        output,
        effect,
    })
}

fn keywords(signature: &Signature, errors: &mut Errors) {
    if let Some(word) = &signature.asyncness {
        errors.on(word, "an operation runs at once, and again at replay: it cannot be `async`");
    }
    if let Some(word) = &signature.unsafety {
        errors.on(word, "an operation is called at replay: it cannot be `unsafe`");
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            errors.on(
                parameter,
                "an operation has no type parameters: replay would not know them. Write the type",
            );
        }
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.on(clause, "an operation has no `where` clause");
    }
}

fn receiver(signature: &Signature, wal: &Wal, errors: &mut Errors) {
    let receiver = signature.inputs.first().and_then(|input| match input {
        FnArg::Receiver(receiver) => Some(receiver),
        FnArg::Typed(_) => None,
    });
    let Some(receiver) = receiver else {
        errors.on(&signature.ident, "an operation takes `&mut self`");
        return;
    };
    let exclusive = receiver.mutability.is_some();
    if receiver.reference.is_none() || receiver.colon_token.is_some() {
        errors.on(receiver, "an operation takes `&mut self`");
    } else if wal.effect && exclusive {
        errors.on(
            receiver,
            "an operation in the effect form takes `&self`: `Apply` makes the change",
        );
    } else if !wal.effect && !exclusive {
        errors.on(
            receiver,
            "an operation changes something: write `&mut self`, or leave `#[wal]` off a read",
        );
    }
}

fn output(written: &ReturnType, primitive: &Ident, errors: &mut Errors) -> Option<Output> {
    let ReturnType::Type(_, written) = written else {
        return Some(Output::Plain(Box::new(syn::parse_quote!(()))));
    };
    let ty = arguments::plain(peeled(written), primitive);
    let mut leaving = Leaving(None);
    leaving.visit_type(&ty);
    if let Some(span) = leaving.0 {
        errors.at(
            span,
            "a reference cannot leave the operation: return an owned value, such as `String` or \
             `Bytes`",
        );
        return None;
    }
    let Type::Path(path) = &ty else { return Some(Output::Plain(Box::new(ty))) };
    let last = path.path.segments.last()?;
    if last.ident != "Result" {
        return Some(Output::Plain(Box::new(ty)));
    }
    let success = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty.clone()),
                _ => None,
            })
        }
        _ => None,
    };
    Some(Output::Result(Box::new(ty.clone()), success.map(Box::new)))
}

/// `(Effect, R)` or `Result<(Effect, R), E>`.
fn effect(output: &Output, signature: &Signature, errors: &mut Errors) -> Option<Effect> {
    let success = match output {
        Output::Result(_, success) => success.as_deref(),
        Output::Plain(ty) => Some(&**ty),
    };
    if let Some(Type::Tuple(pair)) = success.map(peeled)
        && let (2, Some(effect), Some(result)) =
            (pair.elems.len(), pair.elems.first(), pair.elems.last())
    {
        return Some(Effect { effect: effect.clone(), result: result.clone() });
    }
    errors.on(
        &signature.output,
        "the effect form returns the effect and a result: `(Effect, R)` or \
         `Result<(Effect, R), E>`",
    );
    None
}

/// Where the type borrows, if it does.
pub(super) fn borrow(ty: &Type) -> Option<proc_macro2::Span> {
    struct Borrow(Option<proc_macro2::Span>);

    impl Visit<'_> for Borrow {
        fn visit_type_reference(&mut self, reference: &TypeReference) {
            self.0.get_or_insert(reference.span());
        }

        fn visit_lifetime(&mut self, lifetime: &syn::Lifetime) {
            self.0.get_or_insert(lifetime.span());
        }
    }

    let mut borrow = Borrow(None);
    borrow.visit_type(ty);
    borrow.0
}

/// Finds what a result cannot carry out of a transaction.
struct Leaving(Option<proc_macro2::Span>);

impl Visit<'_> for Leaving {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        let lasting = reference.lifetime.as_ref().is_some_and(|name| name.ident == "static");
        if lasting {
            syn::visit::visit_type_reference(self, reference);
        } else {
            self.0.get_or_insert(reference.span());
        }
    }

    fn visit_lifetime(&mut self, lifetime: &syn::Lifetime) {
        if lifetime.ident != "static" {
            self.0.get_or_insert(lifetime.span());
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &syn::TypeImplTrait) {
        self.0.get_or_insert(ty.span());
    }
}

/// Gives the newest version of each operation its number, one more than the highest that is written
/// out, and finds two methods for the same.
fn number(operations: &mut Vec<Operation>, errors: &mut Errors) {
    for index in 0..operations.len() {
        if operations[index].newest {
            let byte = operations[index].wal.byte.value;
            let older = operations
                .iter()
                .filter(|other| other.wal.byte.value == byte)
                .filter_map(|other| other.wal.version.map(|(version, _)| version))
                .max();
            operations[index].version = older.unwrap_or(0).saturating_add(1);
        }
    }
    let mut kept: Vec<Operation> = Vec::new();
    for operation in operations.drain(..) {
        let same = |other: &&Operation| {
            other.wal.byte.value == operation.wal.byte.value && other.version == operation.version
        };
        match kept.iter().find(same) {
            // Under `#[cfg]`s, only one of the two may be there: the compiler finds out.
            Some(other) if operation.cfgs.is_empty() && other.cfgs.is_empty() => {
                let byte = operation.wal.byte;
                let name = &other.signature.ident;
                match operation.wal.version {
                    Some((version, span)) => errors.at(
                        span,
                        format!("version {version} of {:#04x} is `{name}` already", byte.value),
                    ),
                    None => errors.at(
                        byte.first,
                        format!(
                            "WAL type {:#04x} is `{name}` already: take another byte; for an older \
                             version of it write `#[wal({:#04x}, version = 1)]`",
                            byte.value, byte.value
                        ),
                    ),
                }
            }
            _ => kept.push(operation),
        }
    }
    *operations = kept;
    rename_older_versions(operations);
}

/// An older version is a method of another name, and yet the same operation.
fn rename_older_versions(operations: &mut [Operation]) {
    let newest: Vec<(u8, String)> = operations
        .iter()
        .filter(|operation| operation.newest)
        .map(|operation| (operation.wal.byte.value, operation.name.clone()))
        .collect();
    for operation in operations.iter_mut().filter(|operation| operation.wal.name.is_none()) {
        let byte = operation.wal.byte.value;
        if let Some((_, name)) = newest.iter().find(|(newest, _)| *newest == byte) {
            operation.name.clone_from(name);
        }
    }
}
