//! What `#[derive(Stored)]` writes: a struct is archived as the tuple of its fields, an enum as one
//! of its variants' tuples. No archived type of its own, so no `unsafe` and nothing to document.
//! With `via` it is archived as the value of another type that stands for it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Fields, GenericParam, Meta, Type};

use super::{itself, shape_of, wire};
use crate::errors::Errors;
use crate::parse::StoredFacts;
use crate::{check, parse};

/// How many elements a tuple has at most.
const TUPLE_MAX: usize = 12;
/// How many variants a sum has at most.
const SUM_MAX: usize = 8;

pub(super) fn expand(item: TokenStream, errors: &mut Errors) -> TokenStream {
    let Some(item) = errors.keep(syn::parse2::<DeriveInput>(item)) else {
        return TokenStream::new();
    };
    let StoredFacts { krate, called, via } = facts(&item.attrs, errors);
    let private = quote!(#krate::__private);
    for parameter in &item.generics.params {
        if let GenericParam::Lifetime(lifetime) = parameter {
            errors.on(lifetime, "a stored type owns what it holds: write `String` for `&str`");
            return TokenStream::new();
        }
    }
    let label = match called {
        Some(name) => name.value(),
        None => syn::ext::IdentExt::unraw(&item.ident).to_string(),
    };
    if let Some(via) = via {
        return stands_for(&private, &item, &label, &via);
    }
    let mut own = Errors::default();
    for field in fields(&item.data) {
        check::owned(&field.ty, "a stored type", &mut own);
        check::storable(&field.ty, &mut own);
    }
    if !own.is_empty() {
        errors.merge(own);
        return TokenStream::new();
    }
    let names = Names { private: private.clone(), generic: !item.generics.params.is_empty() };
    let forms = match &item.data {
        Data::Struct(data) => structure(&names, &item.ident, &data.fields),
        Data::Enum(data) if data.variants.is_empty() => {
            errors.on(&item.ident, "an enum without variants has no value that could be stored");
            return TokenStream::new();
        }
        Data::Enum(data) => enumeration(&names, &item.ident, data),
        Data::Union(_) => {
            errors.on(&item.ident, "a union does not say what it holds: write an enum");
            return TokenStream::new();
        }
    };
    implementation(&private, &item, &label, &forms)
}

fn fields(data: &Data) -> Vec<&syn::Field> {
    match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// How the expansion names things.
struct Names {
    private: TokenStream,
    /// The item has type parameters, of which nobody knows that they are themselves.
    generic: bool,
}

impl Names {
    fn ty(&self, ty: &Type) -> TokenStream {
        if self.generic { quote!(#ty) } else { itself(&self.private, ty) }
    }

    fn wire(&self, ty: &Type, value: TokenStream) -> TokenStream {
        let private = &self.private;
        if self.generic { quote!(#private::Wire(#value)) } else { wire(private, ty, value) }
    }
}

/// A type in its three forms.
struct Forms {
    /// Owned: the tuple or sum that has the archive.
    owned: TokenStream,
    /// Borrowed: of the same shape, out of references.
    lent: TokenStream,
    /// From `value` to the borrowed form.
    lend: TokenStream,
    /// From `loaded`, the owned form, to a value.
    build: TokenStream,
    json: Json,
    /// The text that its fingerprint is made of.
    shape: TokenStream,
}

/// A type in JSON.
struct Json {
    /// From `value` into `out`.
    write: TokenStream,
    /// From `json` to a value.
    read: TokenStream,
    /// Whether some value is `null`.
    may_be_null: TokenStream,
}

fn implementation(
    private: &TokenStream,
    item: &DeriveInput,
    label: &str,
    forms: &Forms,
) -> TokenStream {
    let name = &item.ident;
    let mut generics = item.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#private::StoredOwned));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let Forms { owned, lent, lend, build, shape, json: Json { write, read, may_be_null } } = forms;
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #impl_generics #private::Stored for #name #type_generics #where_clause {
                type Archived = <#owned as #private::Stored>::Archived;
                type Resolver = <#owned as #private::Stored>::Resolver;
                type Loaded<'a> = Self;
                type Itself = Self;
                const SHAPE: #private::Shape = #shape.named(#label);

                fn encode(
                    &self,
                    encoder: &mut #private::Encoder<'_>,
                ) -> ::core::result::Result<Self::Resolver, #private::Failure> {
                    let value = self;
                    let lent: #lent = #lend;
                    #private::Stored::encode(&lent, encoder)
                }

                fn resolve(
                    &self,
                    resolver: Self::Resolver,
                    out: #private::Place<Self::Archived>,
                ) {
                    let value = self;
                    let lent: #lent = #lend;
                    #private::Stored::resolve(&lent, resolver, out)
                }

                fn load<'a>(
                    archived: &'a Self::Archived,
                ) -> ::core::result::Result<Self, #private::Undecodable> {
                    let loaded = <#owned as #private::Stored>::load(archived)?;
                    #build
                }

                const MAY_BE_NULL: bool = #may_be_null;

                fn to_json(&self, out: &mut #private::JsonWriter) {
                    let value = self;
                    #write
                }

                fn from_json<'a>(
                    json: &#private::Json<'_>,
                ) -> ::core::result::Result<Self::Loaded<'a>, #private::Misfit> {
                    #read
                }

                fn is_same(&self, other: &Self) -> bool {
                    let value = self;
                    let lent: #lent = #lend;
                    let value = other;
                    let other: #lent = #lend;
                    #private::Stored::is_same(&lent, &other)
                }
            }
        };
    }
}

/// A type that another one stands for in the bytes. The other value lives from the first half of
/// encoding to the second.
fn stands_for(private: &TokenStream, item: &DeriveInput, label: &str, via: &Type) -> TokenStream {
    let name = &item.ident;
    let (impl_generics, type_generics, where_clause) = item.generics.split_for_impl();
    let via_shape = shape_of(private, via);
    let expected = format!("one that {label} takes");
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #impl_generics #private::Stored for #name #type_generics #where_clause {
                type Archived = <#via as #private::Stored>::Archived;
                type Resolver = (#via, <#via as #private::Stored>::Resolver);
                type Loaded<'a> = Self;
                type Itself = Self;
                const SHAPE: #private::Shape =
                    #private::Shape::of("via ").shape(&#via_shape).named(#label);

                fn encode(
                    &self,
                    encoder: &mut #private::Encoder<'_>,
                ) -> ::core::result::Result<Self::Resolver, #private::Failure> {
                    let via = <#via as ::core::convert::From<&Self>>::from(self);
                    let resolver = #private::Stored::encode(&via, encoder)?;
                    ::core::result::Result::Ok((via, resolver))
                }

                fn resolve(
                    &self,
                    (via, resolver): Self::Resolver,
                    out: #private::Place<Self::Archived>,
                ) {
                    #private::Stored::resolve(&via, resolver, out)
                }

                fn load<'a>(
                    archived: &'a Self::Archived,
                ) -> ::core::result::Result<Self, #private::Undecodable> {
                    let via = #private::load_owned::<#via>(archived)?;
                    <Self as ::core::convert::TryFrom<#via>>::try_from(via)
                        .map_err(|_| #private::Undecodable)
                }

                const MAY_BE_NULL: bool = <#via as #private::Stored>::MAY_BE_NULL;

                fn to_json(&self, out: &mut #private::JsonWriter) {
                    let via = <#via as ::core::convert::From<&Self>>::from(self);
                    #private::Stored::to_json(&via, out)
                }

                fn from_json<'a>(
                    json: &#private::Json<'_>,
                ) -> ::core::result::Result<Self::Loaded<'a>, #private::Misfit> {
                    let via = #private::Json::read::<#via>(json)?;
                    <Self as ::core::convert::TryFrom<#via>>::try_from(via)
                        .map_err(|_| #private::Json::misfit(json, #expected))
                }

                fn is_same(&self, other: &Self) -> bool {
                    let via = <#via as ::core::convert::From<&Self>>::from(self);
                    let other = <#via as ::core::convert::From<&Self>>::from(other);
                    #private::Stored::is_same(&via, &other)
                }
            }
        };
    }
}

fn structure(names: &Names, name: &Ident, fields: &Fields) -> Forms {
    let private = &names.private;
    let types: Vec<Type> = fields.iter().map(|field| field.ty.clone()).collect();
    let locals = locals(types.len());
    let members = fields.members();
    let lent: Vec<TokenStream> = fields
        .members()
        .zip(&types)
        .map(|(member, ty)| names.wire(ty, quote!(&value.#member)))
        .collect();
    let pattern = nested(&locals.iter().map(|local| quote!(#local)).collect::<Vec<_>>());
    Forms {
        owned: owned(names, &types),
        lent: lent_types(names, &types),
        lend: nested(&lent),
        build: quote! {
            let #pattern = loaded;
            ::core::result::Result::Ok(#name { #(#members: #locals),* })
        },
        shape: fields_shape(private, quote!(#private::Shape::of("")), fields),
        json: Json {
            write: write_fields(names, fields, &lent),
            read: read_fields(names, &quote!(#name), fields),
            may_be_null: match &types[..] {
                [only] if is_transparent(fields) => {
                    let ty = names.ty(only);
                    quote!(<#ty as #private::Stored>::MAY_BE_NULL)
                }
                _ => quote!(false),
            },
        },
    }
}

/// Whether the JSON form is that of the one field.
fn is_transparent(fields: &Fields) -> bool {
    matches!(fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1)
}

/// The names of fields, as JSON has them.
fn labels(fields: &Fields) -> Vec<String> {
    fields
        .members()
        .map(|member| match member {
            syn::Member::Named(name) => syn::ext::IdentExt::unraw(&name).to_string(),
            syn::Member::Unnamed(index) => index.index.to_string(),
        })
        .collect()
}

/// Writes fields into `out`; `wires` are their values. Without any, an object all the same.
fn write_fields(names: &Names, fields: &Fields, wires: &[TokenStream]) -> TokenStream {
    let private = &names.private;
    match fields {
        Fields::Unnamed(_) if is_transparent(fields) => {
            quote!(#(#private::Stored::to_json(&#wires, out);)*)
        }
        Fields::Unnamed(_) if !wires.is_empty() => quote! {
            let mut list = #private::JsonWriter::list(out);
            #(#private::ListWriter::item(&mut list, &#wires);)*
            #private::ListWriter::end(list);
        },
        _ => {
            let labels = labels(fields);
            let mutable = (!labels.is_empty()).then(|| quote!(mut));
            quote! {
                let #mutable object = #private::JsonWriter::object(out);
                #(#private::ObjectWriter::field(&mut object, #labels, &#wires);)*
                #private::ObjectWriter::end(object);
            }
        }
    }
}

/// Reads what [`write_fields`] wrote from `json`, and builds `path` of it.
fn read_fields(names: &Names, path: &TokenStream, fields: &Fields) -> TokenStream {
    let private = &names.private;
    let locals = locals(fields.len());
    let members = fields.members();
    let reads = fields.iter().zip(&locals).map(|(field, local)| {
        let ty = names.ty(&field.ty);
        quote!(<#ty as #private::Stored>::from_json(#local)?)
    });
    let open = match fields {
        Fields::Unnamed(_) if is_transparent(fields) => quote!(let [#(#locals),*] = [json];),
        Fields::Unnamed(_) if !fields.is_empty() => {
            quote!(let [#(#locals),*] = #private::Json::list_of(json)?;)
        }
        _ => {
            let labels = labels(fields);
            quote!(let [#(#locals),*] = #private::Json::fields(json, [#(#labels),*])?;)
        }
    };
    quote! {
        #open
        ::core::result::Result::Ok(#path { #(#members: #reads),* })
    }
}

fn enumeration(names: &Names, name: &Ident, data: &syn::DataEnum) -> Forms {
    let private = &names.private;
    let mut owned_variants = Vec::new();
    let mut lent_variants = Vec::new();
    let mut lends = Vec::new();
    let mut builds = Vec::new();
    let mut writes = Vec::new();
    let mut reads = Vec::new();
    let mut known = Vec::new();
    let mut shape = quote!(#private::Shape::of("enum"));
    let count = data.variants.len();
    for (index, variant) in data.variants.iter().enumerate() {
        let ident = &variant.ident;
        let types: Vec<Type> = variant.fields.iter().map(|field| field.ty.clone()).collect();
        let locals = locals(types.len());
        let members: Vec<_> = variant.fields.members().collect();
        let wires: Vec<TokenStream> =
            locals.iter().zip(&types).map(|(local, ty)| names.wire(ty, quote!(#local))).collect();
        let lent = in_sum(private, index, count, nested(&wires));
        lends.push(quote!(#name::#ident { #(#members: #locals),* } => #lent));
        let pattern = nested(&locals.iter().map(|local| quote!(#local)).collect::<Vec<_>>());
        let pattern = in_sum(private, index, count, pattern);
        builds.push(quote! {
            #pattern => ::core::result::Result::Ok(#name::#ident { #(#members: #locals),* })
        });
        owned_variants.push(owned(names, &types));
        lent_variants.push(lent_types(names, &types));
        let label = syn::ext::IdentExt::unraw(ident).to_string();
        if types.is_empty() {
            writes.push(quote!(#name::#ident { .. } => #private::JsonWriter::text(out, #label)));
            reads.push(quote! {
                (#label, ::core::option::Option::None) => {
                    ::core::result::Result::Ok(#name::#ident {})
                }
            });
        } else {
            let write = write_fields(names, &variant.fields, &wires);
            let members = variant.fields.members();
            writes.push(quote! {
                #name::#ident { #(#members: #locals),* } => {
                    #private::JsonWriter::variant(out, #label, |out| { #write })
                }
            });
            let read = read_fields(names, &quote!(#name::#ident), &variant.fields);
            reads.push(quote!((#label, ::core::option::Option::Some(json)) => { #read }));
        }
        known.push(label.clone());
        let label = format!(" {label}");
        shape = fields_shape(private, quote!(#shape.text(#label)), &variant.fields);
    }
    let rest = (!fills_its_sum(count))
        .then(|| quote!(_ => ::core::result::Result::Err(#private::Undecodable),));
    Forms {
        owned: sum(private, &owned_variants),
        lent: sum(private, &lent_variants),
        lend: quote!(match value { #(#lends,)* }),
        build: quote! {
            match loaded {
                #(#builds,)*
                #rest
            }
        },
        shape,
        json: Json {
            write: quote!(match value { #(#writes,)* }),
            read: quote! {
                match #private::Json::variant(json)? {
                    #(#reads)*
                    _ => ::core::result::Result::Err(
                        #private::Json::no_variant(json, &[#(#known),*]),
                    ),
                }
            },
            may_be_null: quote!(false),
        },
    }
}

fn locals(count: usize) -> Vec<Ident> {
    (0..count).map(|index| Ident::new(&format!("field_{index}"), Span::mixed_site())).collect()
}

/// The names and shapes of the fields behind `shape`.
fn fields_shape(private: &TokenStream, shape: TokenStream, fields: &Fields) -> TokenStream {
    let parts = fields.iter().zip(fields.members()).map(|(field, member)| {
        let label = match member {
            syn::Member::Named(name) => syn::ext::IdentExt::unraw(&name).to_string(),
            syn::Member::Unnamed(index) => index.index.to_string(),
        };
        let label = format!("{label}: ");
        let ty = &field.ty;
        let nested = shape_of(private, ty);
        quote!(.text(#label).shape(&#nested).text(", "))
    });
    quote!(#shape.text("{")#(#parts)*.text("}"))
}

fn owned(names: &Names, types: &[Type]) -> TokenStream {
    nested(&types.iter().map(|ty| names.ty(ty)).collect::<Vec<_>>())
}

fn lent_types(names: &Names, types: &[Type]) -> TokenStream {
    let private = &names.private;
    let wires = types.iter().map(|ty| {
        let ty = names.ty(ty);
        quote!(#private::Wire<'_, #ty>)
    });
    nested(&wires.collect::<Vec<_>>())
}

/// A tuple of the elements; of tuples of them, where they are more than a tuple takes.
fn nested(elements: &[TokenStream]) -> TokenStream {
    if elements.len() <= TUPLE_MAX {
        return quote!((#(#elements,)*));
    }
    let groups: Vec<TokenStream> =
        elements.chunks(elements.len().div_ceil(TUPLE_MAX).max(TUPLE_MAX)).map(nested).collect();
    nested(&groups)
}

/// The sum of the variants; what is beyond the seventh of many is a sum in the eighth place.
fn sum(private: &TokenStream, variants: &[TokenStream]) -> TokenStream {
    let mut places: Vec<TokenStream> = if variants.len() > SUM_MAX {
        let (first, rest) = variants.split_at(SUM_MAX - 1);
        let rest = sum(private, rest);
        first.iter().cloned().chain([rest]).collect()
    } else {
        variants.to_vec()
    };
    places.resize(SUM_MAX, quote!(()));
    quote!(#private::Sum<#(#places),*>)
}

/// Whether as many variants leave no place of their sum empty.
fn fills_its_sum(count: usize) -> bool {
    if count > SUM_MAX { fills_its_sum(count - (SUM_MAX - 1)) } else { count == SUM_MAX }
}

/// The variant at `index` of `count`, around what it holds.
fn in_sum(private: &TokenStream, index: usize, count: usize, inner: TokenStream) -> TokenStream {
    if count > SUM_MAX && index >= SUM_MAX - 1 {
        let rest = in_sum(private, index - (SUM_MAX - 1), count - (SUM_MAX - 1), inner);
        let last = format_ident!("V{}", SUM_MAX - 1);
        return quote!(#private::Sum::#last(#rest));
    }
    let variant = format_ident!("V{index}");
    quote!(#private::Sum::#variant(#inner))
}

/// What `#[stored(..)]` says.
fn facts(attributes: &[Attribute], errors: &mut Errors) -> StoredFacts {
    let ours = attributes.iter().find(|attribute| attribute.path().is_ident("stored"));
    let arguments = match ours.map(|attribute| &attribute.meta) {
        Some(Meta::List(list)) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    parse::stored(arguments, errors)
}
