//! What `#[operations]` writes: the block itself, a logging method on the handle for each newest
//! operation, and the `match` that replay goes through.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{GenericArgument, Ident, ItemImpl, PathArguments, Type};

use super::{handle, handle_name, itself, no_fault, placed, shape_of, uncalled};
use crate::model::{Argument, Effect, Kind, Operation, Operations, Output};

/// `sound`: nothing was wrong with the block.
pub(super) fn expand(operations: &Operations, sound: bool) -> TokenStream {
    let Operations { krate, block, primitive, operations, uncalled } = operations;
    let private = quote!(#krate::__private);
    let handle = handle_name(primitive);
    let called = operations.iter().filter(|operation| operation.called);
    let methods = called.map(|operation| method(krate, primitive, operation));
    let uncalled = uncalled.iter().filter_map(|method| uncalled::method(krate, primitive, method));
    let shapes = operations.iter().map(|operation| shape(krate, operation));
    let arms = operations.iter().map(|operation| arm(krate, primitive, operation));
    let claimed = operations.iter().map(|operation| claimed(krate, primitive, operation));
    let locked =
        operations.iter().filter(|_| sound).map(|operation| locked(krate, primitive, operation));
    let guards = operations.iter().filter_map(|operation| guard(&private, operation));
    let stand_in = handle::stand_in(primitive);
    let required = handle::required(krate, primitive);
    let body = quote! {
        const OPERATIONS: &'static [#krate::OperationShape] = &[#(#shapes),*];
        const SOUND: bool = #sound;

        #[inline]
        fn apply(
            &mut self,
            entry: &#krate::WalEntry<'_>,
            context: &#krate::OpContext,
        ) -> ::core::result::Result<(), #krate::Reason> {
            let _ = context;
            match (entry.wal_type, entry.version) {
                #(#arms)*
                _ => ::core::result::Result::Err(#private::unknown_operation(entry)),
            }
        }
    };
    // Where two blocks of one primitive conflict, the compiler points at its name in both.
    let header = placed(quote!(impl #krate::Operations for #primitive), primitive.span());
    let mut body = Group::new(Delimiter::Brace, body);
    body.set_span(primitive.span());
    quote! {
        #block

        #stand_in
        #required

        #[automatically_derived]
        impl #handle<'_> {
            #(#methods)*
        }

        #[automatically_derived]
        impl<'freehold> #handle<'freehold> {
            #(#uncalled)*
        }

        #[automatically_derived]
        #header #body

        const _: () = {
            #(#claimed)*
            #(#locked)*
            #(#guards)*
        };
    }
}

/// For a block that is none of a primitive's. `silent`: nothing was said of it yet.
pub(super) fn none(krate: &TokenStream, item: &TokenStream, silent: bool) -> Option<TokenStream> {
    let block = syn::parse2::<ItemImpl>(item.clone()).ok()?;
    let Type::Path(path) = &*block.self_ty else { return None };
    let last = path.path.segments.last()?;
    if block.trait_.is_some() {
        return None;
    }
    if silent {
        // Its struct says what is wrong, if it is meant to be a primitive.
        let stand_in = handle::stand_in(&last.ident);
        let required = handle::required(krate, &last.ident);
        return Some(quote!(#stand_in #required));
    }
    let (generics, _, clause) = block.generics.split_for_impl();
    Some(quote! {
        #[automatically_derived]
        impl #generics #krate::Operations for #path #clause {
            const OPERATIONS: &'static [#krate::OperationShape] = &[];

            fn apply(
                &mut self,
                _: &#krate::WalEntry<'_>,
                _: &#krate::OpContext,
            ) -> ::core::result::Result<(), #krate::Reason> {
                ::core::unreachable!()
            }
        }
    })
}

/// The method on the handle: logs, applies, and returns freehold's `Result`.
fn method(krate: &TokenStream, primitive: &Ident, operation: &Operation) -> TokenStream {
    let Operation { visibility, signature, docs, carried, cfgs, arguments, .. } = operation;
    let name = &signature.ident;
    let generics = &signature.generics;
    let parameters = arguments.iter().map(|argument| {
        let Argument { name, written, .. } = argument;
        quote!(#name: #written)
    });
    let returned = returned(krate, operation);
    let errors = errors_section(operation);
    let body = match &operation.effect {
        Some(effect) => effect_body(krate, primitive, operation, effect),
        None => body(krate, primitive, operation),
    };
    let private = quote!(#krate::__private);
    quote! {
        #(#docs)*
        #errors
        #(#carried)*
        #(#cfgs)*
        #visibility fn #name #generics (&mut self, #(#parameters),*) -> #krate::Result<#returned> {
            use #private::WithoutHandle as _;

            #body
        }
    }
}

/// `# Errors`, unless the method's own documentation has it.
fn errors_section(operation: &Operation) -> TokenStream {
    let has_section =
        operation.docs.iter().any(|attribute| quote!(#attribute).to_string().contains("# Errors"));
    if has_section {
        return TokenStream::new();
    }
    let rejects = match operation.output {
        Output::Result(..) => "what the operation returns as its error",
        Output::Plain(_) => "arguments that are too large for an entry of the log",
    };
    let section =
        format!("\n\n# Errors\n\n`Error::Rejected` with {rejects}; then nothing changed.");
    quote!(#[doc = #section])
}

fn returned(krate: &TokenStream, operation: &Operation) -> TokenStream {
    if let Some(effect) = &operation.effect {
        let result = &effect.result;
        return quote!(#result);
    }
    match &operation.output {
        Output::Result(_, Some(success)) => quote!(#success),
        Output::Result(written, None) => quote!(<#written as #krate::__private::ResultOf>::Success),
        Output::Plain(ty) => quote!(#ty),
    }
}

fn body(krate: &TokenStream, primitive: &Ident, operation: &Operation) -> TokenStream {
    let private = quote!(#krate::__private);
    let Operation { wal, version, arguments, .. } = operation;
    let byte = wal.byte.value;
    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let converted = arguments.iter().filter_map(|Argument { name, kind, .. }| match kind {
        Kind::Into(ty) => Some(quote!(let #name: #ty = ::core::convert::Into::into(#name);)),
        _ => None,
    });
    let wires = arguments.iter().map(|argument| wire(&private, argument));
    let state = Ident::new("state", Span::mixed_site());
    let context = Ident::new("context", Span::mixed_site());
    let payload = Ident::new("payload", Span::mixed_site());
    let call = call(
        &private,
        primitive,
        operation,
        &quote!(#state),
        &quote!(#context),
        quote!(#(#names),*),
    );
    quote! {
        #(#converted)*
        self.0.operate_with(
            #byte,
            #version,
            (#(#names,)*),
            |(#(#names,)*), #payload| #payload.encode(&(#(#wires,)*)),
            |#state, #context, (#(#names,)*)| {
                let _ = #context;
                #call
            },
        )
    }
}

/// Finds the effect, then logs it and makes the change.
fn effect_body(
    krate: &TokenStream,
    primitive: &Ident,
    operation: &Operation,
    effect: &Effect,
) -> TokenStream {
    let private = quote!(#krate::__private);
    let Operation { wal, version, arguments, .. } = operation;
    let byte = wal.byte.value;
    let names = arguments.iter().map(|argument| &argument.name);
    let context = Ident::new("context", Span::mixed_site());
    let found = Ident::new("found", Span::mixed_site());
    let ty = &effect.effect;
    let logged = super::wire(&private, ty, quote!(effect));
    let call = call(
        &private,
        primitive,
        operation,
        &quote!(self.0.lent()),
        &quote!(&#context),
        quote!(#(#names),*),
    );
    quote! {
        let #context = self.0.next_context();
        let #found: ::core::result::Result<_, #krate::Reason> = #call;
        let (effect, value) = #found.map_err(#krate::Error::Rejected)?;
        self.0.operate_with(
            #byte,
            #version,
            effect,
            |effect: &#ty, payload| payload.encode(&#logged),
            |state, _, effect| {
                <#primitive as #krate::Apply<#ty>>::apply(state, &effect);
                ::core::result::Result::Ok(())
            },
        )?;
        ::core::result::Result::Ok(value)
    }
}

/// Calls the user's method; gives a `Result<_, Reason>` whatever it returns.
fn call(
    private: &TokenStream,
    primitive: &Ident,
    operation: &Operation,
    state: &TokenStream,
    context: &TokenStream,
    arguments: TokenStream,
) -> TokenStream {
    let name = &operation.signature.ident;
    let context = operation.context.then(|| quote!(#context,));
    let called = quote!(#primitive::#name(#state, #context #arguments));
    match &operation.output {
        Output::Result(written, _) => {
            let span = error_type(written).span();
            let reason = placed(quote!(#private::reason(error)), span);
            quote! {
                match #called {
                    ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
                    ::core::result::Result::Err(error) => ::core::result::Result::Err(#reason),
                }
            }
        }
        Output::Plain(_) => quote!(::core::result::Result::Ok(#called)),
    }
}

/// `E` of `Result<T, E>`, or the whole type where that is not written.
fn error_type(written: &Type) -> &Type {
    if let Type::Path(path) = written
        && let Some(last) = path.path.segments.last()
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(error)) = arguments.args.last()
        && arguments.args.len() > 1
    {
        return error;
    }
    written
}

/// How an argument, at hand as a reference to it, is encoded.
fn wire(private: &TokenStream, argument: &Argument) -> TokenStream {
    let Argument { name, kind, .. } = argument;
    match kind {
        Kind::Value(ty) | Kind::Into(ty) => super::wire(private, ty, quote!(#name)),
        Kind::Lent(ty) => super::wire(private, ty, quote!(*#name)),
        Kind::AsRef(ty) => quote! {
            #private::Wire(&{ let lent: #ty = ::core::convert::AsRef::as_ref(#name); lent })
        },
    }
}

/// What stands in the payload.
fn logged(operation: &Operation) -> Vec<&Type> {
    match &operation.effect {
        Some(effect) => vec![&effect.effect],
        None => operation
            .arguments
            .iter()
            .map(|argument| match &argument.kind {
                Kind::Value(ty) | Kind::Lent(ty) | Kind::AsRef(ty) | Kind::Into(ty) => ty,
            })
            .collect(),
    }
}

fn arm(krate: &TokenStream, primitive: &Ident, operation: &Operation) -> TokenStream {
    let Operation { wal, version, cfgs, arguments, .. } = operation;
    let byte = wal.byte.value;
    let private = quote!(#krate::__private);
    let types: Vec<TokenStream> =
        logged(operation).into_iter().map(|ty| itself(&private, ty)).collect();
    let done = match &operation.effect {
        Some(effect) => {
            let ty = &effect.effect;
            quote! {
                let effect = entry.load::<#(#types)*>()?;
                <#primitive as #krate::Apply<#ty>>::apply(self, &effect);
            }
        }
        None => {
            // Not the user's names, which could be `self`'s or each other's neighbours here.
            let names: Vec<Ident> = (0..arguments.len())
                .map(|index| Ident::new(&format!("argument_{index}"), Span::mixed_site()))
                .collect();
            let passed = names.iter().zip(arguments).map(|(name, argument)| match argument.kind {
                Kind::Lent(_) => quote!(&#name),
                _ => quote!(#name),
            });
            let context = quote!(context);
            let called =
                call(&private, primitive, operation, &quote!(self), &context, quote!(#(#passed),*));
            quote! {
                let (#(#names,)*) = entry.load::<(#(#types,)*)>()?;
                let outcome: ::core::result::Result<_, #krate::Reason> = #called;
                let _ = outcome?;
            }
        }
    };
    quote! {
        #(#cfgs)*
        (#byte, #version) => {
            #done
            ::core::result::Result::Ok(())
        }
    }
}

fn shape(krate: &TokenStream, operation: &Operation) -> TokenStream {
    let private = quote!(#krate::__private);
    let Operation { wal, version, name, cfgs, arguments, .. } = operation;
    let byte = wal.byte.value;
    let only_replayed = !operation.called;
    let labels: Vec<String> = match &operation.effect {
        Some(_) => vec!["effect".to_owned()],
        None => arguments
            .iter()
            .map(|argument| syn::ext::IdentExt::unraw(&argument.name).to_string())
            .collect(),
    };
    let parts = labels.iter().zip(logged(operation)).map(|(label, ty)| {
        let label = format!("{label}: ");
        let shape = shape_of(&private, ty);
        quote!(.text(#label).shape(&#shape).text(", "))
    });
    quote! {
        #(#cfgs)*
        {
            const SHAPE: &#private::Shape = &#private::Shape::of("(")#(#parts)*.text(")");
            #krate::OperationShape {
                wal_type: #byte,
                version: #version,
                name: #name,
                shape: SHAPE.as_str(),
                fingerprint: SHAPE.fingerprint(),
                only_replayed: #only_replayed,
            }
        }
    }
}

/// The byte is one that `#[primitive]` claims.
fn claimed(krate: &TokenStream, primitive: &Ident, operation: &Operation) -> TokenStream {
    let byte = operation.wal.byte;
    let value = byte.value;
    let cfgs = &operation.cfgs;
    let private = quote!(#krate::__private);
    let check = quote! {
        ::core::assert!(
            #private::claims(#private::Claims::<#primitive>::WAL_TYPES, #value),
            "`#[primitive(wal = ..)]` does not claim this WAL type: add it there, or take one of \
             those"
        )
    };
    let check = placed(check, byte.first);
    quote! {
        #(#cfgs)*
        const _: () = {
            use #private::Unregistered as _;
            #check
        };
    }
}

/// The operation is what the lock says it is.
fn locked(krate: &TokenStream, primitive: &Ident, operation: &Operation) -> TokenStream {
    let Operation { wal, version, cfgs, .. } = operation;
    let byte = wal.byte.value;
    let private = quote!(#krate::__private);
    let fault = quote!(#private::lock::operation(
        &#private::Claims::<#primitive>::SUBJECT,
        <#primitive as #krate::Operations>::OPERATIONS,
        #byte,
        #version,
    ));
    let check = no_fault(&private, &fault, wal.byte.first);
    quote! {
        #(#cfgs)*
        const _: () = {
            use #private::Unregistered as _;
            #check
        };
    }
}

/// An alias of `Result` under another name would log what was rejected.
fn guard(private: &TokenStream, operation: &Operation) -> Option<TokenStream> {
    let Output::Plain(ty) = &operation.output else { return None };
    let cfgs = &operation.cfgs;
    let check = quote_spanned! {ty.span()=>
        ::core::assert!(
            !#private::Probe::<#ty>::IS_RESULT,
            "write `Result<..>` so that a rejected operation is not logged"
        )
    };
    Some(quote! {
        #(#cfgs)*
        const _: () = {
            use #private::NotResult as _;
            #check
        };
    })
}
