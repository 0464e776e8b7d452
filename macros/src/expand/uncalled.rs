//! Stands on the handle for a method that is none of its: a call of it is refused in words, where
//! it would else go through to the primitive and be refused there because that is lent.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::visit::Visit;
use syn::visit_mut::VisitMut;
use syn::{FnArg, GenericArgument, PathArguments, ReturnType, Signature, Type};

use super::{handle_name, placed};
use crate::model::{Uncalled, Why};

/// `None` if a method that does nothing cannot have its signature.
pub(super) fn method(
    krate: &TokenStream,
    primitive: &Ident,
    uncalled: &Uncalled,
) -> Option<TokenStream> {
    let Uncalled { visibility, signature, cfgs, why } = uncalled;
    let private = quote!(#krate::__private);
    let mut signature = signature.clone();
    let opaque = Opaque::is_in(&signature.output);
    if signature.receiver().is_none() || signature.variadic.is_some() || opaque {
        return None;
    }
    Named(primitive).visit_signature_mut(&mut signature);
    let Signature { ident, generics, inputs, output, .. } = &signature;
    let types = inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(&typed.ty),
        FnArg::Receiver(_) => None,
    });
    let receiver = match signature.receiver() {
        Some(receiver) if receiver.colon_token.is_none() && receiver.reference.is_some() => {
            let lifetime = receiver.lifetime();
            quote!(& #lifetime mut self)
        }
        _ => quote!(&mut self),
    };
    let handle = handle_name(primitive);
    let bound = match why {
        Why::NotLogged => Some(quote!(#private::Logged)),
        Why::ReplayOnly => Some(quote!(#private::Called)),
        Why::Wrong => None,
    };
    let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let predicates: Vec<_> = predicates.collect();
    // On the method's name, which is where the compiler says that the bound is.
    let bound = bound.map(|bound| placed(quote!(#handle<'freehold>: #bound,), ident.span()));
    let output = match why {
        Why::NotLogged => quote!(#output),
        Why::ReplayOnly | Why::Wrong => {
            let success = success(output);
            quote!(-> #krate::Result<#success>)
        }
    };
    Some(quote! {
        #[doc(hidden)]
        #(#cfgs)*
        #visibility fn #ident #generics (#receiver, #(_: #types),*) #output
        where
            #(#predicates,)*
            #bound
        {
            ::core::unreachable!()
        }
    })
}

/// `T` of `Result<T, E>`, or the type itself.
fn success(output: &ReturnType) -> TokenStream {
    let ReturnType::Type(_, ty) = output else { return quote!(()) };
    if let Type::Path(path) = &**ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(success)) = arguments.args.first()
    {
        return quote!(#success);
    }
    quote!(#ty)
}

/// Finds `impl Trait`, of which nothing is no value.
struct Opaque(bool);

impl Opaque {
    fn is_in(output: &ReturnType) -> bool {
        let mut opaque = Opaque(false);
        opaque.visit_return_type(output);
        opaque.0
    }
}

impl Visit<'_> for Opaque {
    fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
        self.0 = true;
    }
}

/// Writes the primitive's name for `Self`, which on the handle is another.
struct Named<'a>(&'a Ident);

impl VisitMut for Named<'_> {
    fn visit_path_mut(&mut self, path: &mut syn::Path) {
        if let Some(first) = path.segments.first_mut()
            && first.ident == "Self"
        {
            first.ident = Ident::new(&self.0.to_string(), first.ident.span());
        }
        syn::visit_mut::visit_path_mut(self, path);
    }
}
