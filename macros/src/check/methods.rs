//! The methods of an `#[operations]` block.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, ImplItem, ImplItemFn, ItemImpl, PathArguments,
    Receiver, ReturnType, Signature, Type, Visibility,
};

use super::{arguments, arguments_of, peeled, types, versions};
use crate::errors::Errors;
use crate::model::{Effect, Operation, Output, Uncalled, Wal, Why};
use crate::parse;

/// Takes `#[wal(..)]` off the methods and reads those that have it. Also gives those that change
/// something and that the handle does not have.
pub(super) fn operations(
    block: &mut ItemImpl,
    primitive: &Ident,
    errors: &mut Errors,
) -> (Vec<Operation>, Vec<Uncalled>) {
    let mut operations: Vec<Operation> = Vec::new();
    let mut uncalled: Vec<Uncalled> = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let mut own = Errors::default();
        let why = if is_marked(method) {
            let wal = take_wal(method, &mut own);
            let operation = wal.and_then(|wal| operation(method, wal, primitive, &mut own));
            operations.extend(operation.filter(|_| own.is_empty()));
            Why::Wrong
        } else {
            unlogged(method, &mut own);
            Why::NotLogged
        };
        let changes = method.sig.receiver().is_some_and(is_exclusive);
        if !own.is_empty() || changes && matches!(why, Why::NotLogged) {
            let why = if own.is_empty() { why } else { Why::Wrong };
            uncalled.push(self::uncalled(method, why));
        }
        errors.merge(own);
    }
    let taken = versions::number(&mut operations, errors);
    let of = |operation: &Operation, why| Uncalled {
        visibility: operation.visibility.clone(),
        signature: operation.signature.clone(),
        cfgs: operation.cfgs.clone(),
        why,
    };
    uncalled.extend(taken.iter().map(|operation| of(operation, Why::Wrong)));
    let replayed = operations.iter().filter(|operation| !operation.called);
    uncalled.extend(replayed.map(|operation| of(operation, Why::ReplayOnly)));
    (operations, uncalled)
}

fn is_wal(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "wal")
}

fn is_marked(method: &ImplItemFn) -> bool {
    method.attrs.iter().any(is_wal)
}

fn take_wal(method: &mut ImplItemFn, errors: &mut Errors) -> Option<Wal> {
    let mut found = None;
    let mut count = 0;
    method.attrs.retain(|attribute| {
        if !is_wal(attribute) {
            return true;
        }
        count += 1;
        if count > 1 {
            errors.on(
                attribute,
                "an operation has one WAL type: leave this out, or write another method",
            );
        } else {
            found = parse::wal(arguments_of(attribute), attribute, errors);
        }
        false
    });
    found
}

/// A method that changes something and is not logged is for operations to call, and for nobody
/// else.
fn unlogged(method: &ImplItemFn, errors: &mut Errors) {
    let visible = match &method.vis {
        Visibility::Inherited => false,
        Visibility::Restricted(restricted) => !restricted.path.is_ident("self"),
        Visibility::Public(_) => true,
    };
    if visible && method.sig.receiver().is_some_and(is_exclusive) {
        let name = &method.sig.ident;
        let visibility = method.vis.to_token_stream().to_string().replace(' ', "");
        errors.on(
            name,
            format!(
                "`{name}` would change the primitive without being logged: write `#[wal(..)]`, or \
                 leave `{visibility}` out and call it from operations"
            ),
        );
    }
}

/// `&mut self`, or `self: &mut Self`.
fn is_exclusive(receiver: &Receiver) -> bool {
    matches!(peeled(&receiver.ty), Type::Reference(reference) if reference.mutability.is_some())
}

fn uncalled(method: &ImplItemFn, why: Why) -> Uncalled {
    Uncalled {
        visibility: method.vis.clone(),
        signature: method.sig.clone(),
        cfgs: named(method, &["cfg"]),
        why,
    }
}

fn named(method: &ImplItemFn, names: &[&str]) -> Vec<Attribute> {
    let named = |each: &&Attribute| names.iter().any(|name| each.path().is_ident(name));
    method.attrs.iter().filter(named).cloned().collect()
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
    let (context, arguments) = arguments::arguments(signature, primitive, !wal.effect, errors);
    let output = output(&signature.output, primitive, errors)?;
    let effect = if wal.effect { Some(effect(&output, signature, errors)?) } else { None };
    Some(Operation {
        version: wal.version.map_or(0, |(version, _)| version),
        name: match &wal.name {
            Some(name) => name.value(),
            None => syn::ext::IdentExt::unraw(&signature.ident).to_string(),
        },
        called: (wal.version.is_none() || wal.newest.is_some()) && wal.replay_only.is_none(),
        wal,
        visibility: method.vis.clone(),
        signature: signature.clone(),
        docs: named(method, &["doc"]),
        carried: named(method, &["must_use", "deprecated", "allow"]),
        cfgs: named(method, &["cfg"]),
        context,
        arguments,
        output,
        effect,
    })
}

fn keywords(signature: &Signature, errors: &mut Errors) {
    if let Some(word) = &signature.constness {
        errors.on(word, "an operation runs when the program does: leave `const` out");
    }
    if let Some(word) = &signature.asyncness {
        errors.on(word, "an operation runs at once, and again at replay: leave `async` out");
    }
    if let Some(word) = &signature.unsafety {
        errors.on(word, "an operation is called at replay: leave `unsafe` out");
    }
    if let Some(abi) = &signature.abi {
        errors.on(abi, "an operation is called by freehold: leave `extern` out");
    }
    for parameter in &signature.generics.params {
        match parameter {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(_) => errors.on(
                parameter,
                "an operation has no type parameters: replay would not know them. Write the type",
            ),
            GenericParam::Const(_) => errors.on(
                parameter,
                "an operation has no const parameters: replay would not know them. Write the \
                 number",
            ),
        }
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.on(clause, "an operation's types are all known: leave the `where` clause out");
    }
}

fn receiver(signature: &Signature, wal: &Wal, errors: &mut Errors) {
    let receiver = signature.inputs.first().and_then(|input| match input {
        FnArg::Receiver(receiver) => Some(receiver),
        FnArg::Typed(_) => None,
    });
    let Some(receiver) = receiver else {
        let receiver = if wal.effect { "&self" } else { "&mut self" };
        errors.on(&signature.ident, format!("an operation is a method: write `{receiver}` first"));
        return;
    };
    let exclusive = receiver.mutability.is_some();
    if receiver.reference.is_none() || receiver.colon_token.is_some() {
        let written = if wal.effect { "&self" } else { "&mut self" };
        errors
            .on(receiver, format!("an operation is called on a lent primitive: write `{written}`"));
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
    if !types::leaves(&ty, errors) {
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
        types::owned(effect, "an effect", errors);
        types::storable(effect, errors);
        return Some(Effect { effect: effect.clone(), result: result.clone() });
    }
    let message = "the effect form returns the effect and a result: `(Effect, R)` or \
                   `Result<(Effect, R), E>`";
    match &signature.output {
        ReturnType::Default => errors.on(&signature.ident, message),
        ReturnType::Type(_, ty) => errors.on(ty, message),
    }
    None
}
