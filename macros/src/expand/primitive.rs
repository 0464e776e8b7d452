//! What `#[primitive]` writes: the struct, its handle, its section, its claim.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Type;

use super::{as_itself, claims, handle_name, itself, located, placed, shape_of, spot};
use crate::model::{Field, Former, Index, Primitive};

pub(super) fn expand(primitive: &Primitive, sound: bool) -> TokenStream {
    let Primitive { claim, item, name, fields, .. } = primitive;
    let krate = &claim.krate;
    let private = quote!(#krate::__private);
    let handle = handle(primitive);
    let handle_name = handle_name(name);

    let known_as = claims::name(claim, name);
    let registration = claims::expand(claim, name.to_token_stream(), &known_as, sound);
    let was = &claim.was;
    let dropped: Vec<String> = claim.dropped.iter().map(syn::LitStr::value).collect();
    let root_only = claim.root_only;
    let section_version = match &claim.section_version {
        Some(version) => quote!(#version),
        None => quote!(1),
    };

    let stored: Vec<&Field> = fields.iter().filter(|field| field.index.is_none()).collect();
    let shapes = stored.iter().map(|field| {
        let Field { ty, table, cfgs, .. } = field;
        let label = format!("{table}: ");
        let nested = shape_of(&private, ty);
        quote! {
            #(#cfgs)*
            let shape = shape.text(#label).shape(&#nested).text(", ");
        }
    });
    let saves = stored.iter().map(|field| {
        let Field { member, table, ty, cfgs, .. } = field;
        let value = as_itself(&private, ty, quote!(&self.#member));
        let write = placed(quote!(::field), spot(ty));
        let section_writer = placed(quote!(#krate::SectionWriter), spot(ty));
        quote! {
            #(#cfgs)*
            #section_writer #write(writer, const { #private::table_tag(#table) }, #value)?;
        }
    });
    let loads = stored.iter().map(|field| {
        let Field { member, table, ty, cfgs, .. } = field;
        let ty = itself(&private, ty);
        quote! {
            #(#cfgs)*
            if let ::core::option::Option::Some(value) =
                reader.field::<#ty>(const { #private::table_tag(#table) })?
            {
                loaded.#member = value;
            }
        }
    });
    let change_saves = stored.iter().map(|field| {
        let Field { member, table, ty, cfgs, .. } = field;
        let value = as_itself(&private, ty, quote!(&self.#member));
        let before = as_itself(&private, ty, quote!(&base.#member));
        let write = placed(quote!(::changes), spot(ty));
        let section_writer = placed(quote!(#krate::SectionWriter), spot(ty));
        quote! {
            #(#cfgs)*
            #section_writer #write(
                writer,
                const { #private::table_tag(#table) },
                #value,
                #before,
            )?;
        }
    });
    let change_loads = stored.iter().map(|field| {
        let Field { member, table, ty, cfgs, .. } = field;
        let ty = itself(&private, ty);
        quote! {
            #(#cfgs)*
            reader.changes::<#ty>(const { #private::table_tag(#table) }, &mut loaded.#member)?;
        }
    });
    let field_changes = stored.iter().map(|field| {
        let Field { member, table, ty, cfgs, .. } = field;
        let value = as_itself(&private, ty, quote!(&self.#member));
        let before = as_itself(&private, ty, quote!(&since.#member));
        let of = placed(quote!(#private::Stored::changes), spot(ty));
        quote! {
            #(#cfgs)*
            let changes = changes.and(#of(#value, #before, #table));
        }
    });
    let changes = match &claim.changes {
        Some(how) => quote!(#private::changes_by::<Self>(#how, self, since)),
        None => quote! {
            let changes = #krate::Changes::none();
            #(#field_changes)*
            changes
        },
    };
    let formers: Vec<(&Field, &Former)> =
        stored.iter().filter_map(|field| Some((*field, field.former.as_ref()?))).collect();
    let conversions = formers.iter().map(|(field, former)| {
        let Field { member, ty, cfgs, .. } = field;
        let Former { table, ty: former_ty, convert, .. } = former;
        quote! {
            #(#cfgs)*
            if let ::core::option::Option::Some(value) =
                reader.former_field::<#former_ty>(const { #private::table_tag(#table) })?
            {
                loaded.#member = #private::convert::<#former_ty, #ty>(#convert, value);
            }
        }
    });
    let former_shapes = formers.iter().map(|(field, former)| {
        let (cfgs, Former { table, ty, .. }) = (&field.cfgs, former);
        let label = format!("{table}: ");
        let nested = shape_of(&private, ty);
        quote! {
            #(#cfgs)*
            let shape = shape.text(#label).shape(&#nested).text(", ");
        }
    });
    let former_tags = formers.iter().map(|(field, former)| {
        let (cfgs, table) = (&field.cfgs, &former.table);
        quote!(#(#cfgs)* #private::table_tag(#table))
    });
    let tags = stored.iter().map(|field| {
        let Field { table, cfgs, .. } = field;
        quote!(#(#cfgs)* #private::table_tag(#table))
    });
    let private = &private;
    let rebuilt = |updated: bool| {
        fields.iter().filter_map(move |field| {
            let Field { member, ty, cfgs, .. } = field;
            let Some(Index::Rebuilt { how, update }) = &field.index else { return None };
            let index = match update.as_ref().filter(|_| updated) {
                Some(update) => quote!(#private::update::<Self, #ty>(#update, self, base)),
                None => quote!(#private::rebuild::<Self, #ty>(#how, self)),
            };
            Some(quote! {
                #(#cfgs)*
                {
                    self.#member = #index;
                }
            })
        })
    };
    let (rebuilds, updates) = (rebuilt(false), rebuilt(true));

    let deferred = || {
        fields.iter().filter_map(|field| match &field.index {
            Some(Index::Deferred(how)) => Some((field, how)),
            _ => None,
        })
    };
    // Both at one place and in the same words, so that a field of another type is one error.
    let as_deferred = |ty: &Type, method: TokenStream| {
        let open = placed(quote!(<), spot(ty));
        let rest = placed(quote!(as #private::DeferredField>::#method), spot(ty));
        let ty = located(ty.to_token_stream(), spot(ty));
        quote!(#open #ty #rest)
    };
    let deferred_cells = deferred().map(|(Field { member, ty, cfgs, .. }, _)| {
        let cell = as_deferred(ty, quote!(cell));
        quote!(#(#cfgs)* each(#cell(&mut self.#member));)
    });
    let deferred_builds = deferred().map(|(Field { member, ty, cfgs, .. }, how)| {
        let index = as_deferred(ty, quote!(index));
        let found = placed(quote!(freehold_index), spot(ty));
        let some = placed(quote!(::core::option::Option::Some(#found)), spot(ty));
        let build = placed(quote!(#private::build_deferred), spot(ty));
        quote! {
            #(#cfgs)*
            if let #some = #index(&self.#member) {
                #build(#how, self, #found);
            }
        }
    });

    let distinct = sound
        .then(|| quote!(const _: () = #private::assert_distinct(&[#(#tags,)* #(#former_tags),*]);));
    let operations = {
        let of = placed(quote!(as #private::HasOperations>), name.span());
        let open = placed(quote!(<), name.span());
        quote!(#open #name #of)
    };
    let mutable = (!stored.is_empty()).then(|| quote!(mut));

    quote! {
        #item

        #handle

        #registration

        #distinct

        #[automatically_derived]
        impl #krate::PrimitiveStorageExt for #name {
            const FORMER_NAMES: &'static [&'static str] = &[#(#was),*];
            const DROPPED_FIELDS: &'static [&'static str] = &[#(#dropped),*];
            const FORMER_FIELDS: #private::Shape = {
                let shape = #private::Shape::new();
                #(#former_shapes)*
                shape
            };
            const ROOT_ONLY: bool = #root_only;
            const SECTION_VERSION: u32 = #section_version;
            const SECTION_SHAPE: #private::Shape = {
                let shape = #private::Shape::new();
                #(#shapes)*
                shape
            };
            const OPERATIONS: &'static [#krate::OperationShape] =
                #operations::OPERATIONS;
            const SOUND: bool = #operations::SOUND;

            type Handle<'tx> = #handle_name<'tx>;
            type Operation<'op> = #krate::WalEntry<'op>;

            #[inline]
            fn apply_wal_entry(
                &mut self,
                entry: &#krate::WalEntry<'_>,
                context: &#krate::OpContext,
            ) -> ::core::result::Result<(), #krate::Reason> {
                #operations::apply(self, entry, context)
            }

            fn snapshot_serialize(
                &self,
                writer: &mut #krate::SectionWriter<'_>,
            ) -> #krate::Result<()> {
                #(#saves)*
                ::core::result::Result::Ok(())
            }

            fn snapshot_deserialize(
                reader: &mut #krate::SectionReader<'_>,
            ) -> ::core::result::Result<Self, #krate::Reason> {
                let #mutable loaded: Self = #private::fresh();
                #(#loads)*
                #(#conversions)*
                #(reader.drop_table(const { #private::table_tag(#dropped) });)*
                reader.finish()?;
                ::core::result::Result::Ok(loaded)
            }

            fn snapshot_serialize_changes(
                &self,
                base: &Self,
                writer: &mut #krate::SectionWriter<'_>,
            ) -> #krate::Result<bool> {
                #(#change_saves)*
                ::core::result::Result::Ok(true)
            }

            fn snapshot_deserialize_changes(
                base: &Self,
                reader: &mut #krate::SectionReader<'_>,
            ) -> ::core::result::Result<Self, #krate::Reason> {
                let #mutable loaded: Self = #private::copy_of(base);
                #(#change_loads)*
                reader.finish()?;
                ::core::result::Result::Ok(loaded)
            }

            fn changes<'a>(&'a self, since: &'a Self) -> #krate::Changes<'a> {
                #changes
            }

            fn rebuild_indexes(&mut self) -> ::core::result::Result<(), #krate::Reason> {
                #(#rebuilds)*
                ::core::result::Result::Ok(())
            }

            fn update_indexes(
                &mut self,
                base: &Self,
            ) -> ::core::result::Result<(), #krate::Reason> {
                #(#updates)*
                ::core::result::Result::Ok(())
            }

            fn each_deferred(
                &mut self,
                each: &mut dyn ::core::ops::FnMut(&mut dyn #krate::DeferredCell),
            ) {
                #(#deferred_cells)*
                let _ = each;
            }

            fn build_deferred(&self) {
                #(#deferred_builds)*
            }

            fn to_wal_entry(
                operation: &#krate::WalEntry<'_>,
                payload: &mut #krate::PayloadWriter<'_>,
            ) -> #krate::Result<u8> {
                payload.set_version(operation.version);
                payload.bytes(operation.payload)?;
                ::core::result::Result::Ok(operation.wal_type)
            }
        }
    }
}

/// The handle is written here and not by `#[operations]`, since it has the struct's visibility.
fn handle(primitive: &Primitive) -> TokenStream {
    let krate = &primitive.claim.krate;
    let Primitive { name, visibility, .. } = primitive;
    let handle_name = handle_name(name);
    let docs = format!(
        "[`{name}`] inside a transaction: its operations are logged, and reads go through to it."
    );
    quote! {
        #[doc = #docs]
        #visibility struct #handle_name<'tx>(#krate::Handle<'tx, #name>);

        #[automatically_derived]
        impl<'tx> ::core::convert::From<#krate::Handle<'tx, #name>> for #handle_name<'tx> {
            fn from(handle: #krate::Handle<'tx, #name>) -> Self {
                Self(handle)
            }
        }

        #[automatically_derived]
        impl #krate::__private::IsHandle for #handle_name<'_> {}

        #[automatically_derived]
        impl ::core::ops::Deref for #handle_name<'_> {
            type Target = #name;

            fn deref(&self) -> &#name {
                ::core::ops::Deref::deref(&self.0)
            }
        }
    }
}
