//! Global symbols whose name is a message: a linker that meets one twice prints it.
//!
//! - Assembly, since an exported static is dropped under ThinLTO, and two of them with it.
//! - Beside the slice's element, in no other module: the linker takes object files whole.
//! - Among constants and not among code, where a profiler would take the name for a function's.
//! - Kept by linkers that remove what nobody uses: mold does so before it looks for duplicates.

use proc_macro2::TokenStream;
use quote::quote;

/// What the assembler is given for one symbol, by the format of object files. `tests/collisions`
/// assembles the same text for machines that nobody here has. ELF's section has the primitive's name,
/// since some linkers print it.
const ELF: &str = include_str!("symbols/elf.s");
const MACH_O: &str = include_str!("symbols/macho.s");
const COFF: &str = include_str!("symbols/coff.s");

/// A symbol for each thing that the primitive claims: `type ID 0x80`.
pub(super) fn of_claims(name: &str, claimed: impl Iterator<Item = String>) -> TokenStream {
    let said = claimed.map(|what| format!("{what} is claimed by two primitives"));
    defined(name, said)
}

/// The symbol of freehold itself: two releases of one major would meet in the linked slice.
pub(super) fn of_release() -> TokenStream {
    let said = "this program has two releases of freehold, cargo tree --duplicates shows why";
    defined("freehold", [said.to_owned()].into_iter())
}

/// Where there is no assembly there are no symbols, and the other nets hold.
fn defined(name: &str, said: impl Iterator<Item = String>) -> TokenStream {
    // The number is the format's major: another major's symbols are others.
    let symbols: Vec<String> = said.map(|said| format!("freehold/1: {said}")).collect();
    let text = |form: &str| -> String {
        let form = form.replace("NAME", name);
        symbols.iter().map(|symbol| form.replace("SYMBOL", symbol)).collect()
    };
    let (elf, mach_o, coff) = (text(ELF), text(MACH_O), text(COFF));
    quote! {
        #[cfg(any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "arm64ec",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch32",
            target_arch = "loongarch64",
            target_arch = "powerpc",
            target_arch = "powerpc64",
            target_arch = "s390x",
        ))]
        mod symbols {
            #[cfg(target_vendor = "apple")]
            ::core::arch::global_asm!(#mach_o, options(raw));

            #[cfg(any(windows, target_os = "cygwin", target_os = "uefi"))]
            ::core::arch::global_asm!(#coff, options(raw));

            #[cfg(not(any(
                target_vendor = "apple",
                windows,
                target_os = "aix",
                target_os = "cygwin",
                target_os = "uefi",
            )))]
            ::core::arch::global_asm!(#elf, options(raw));
        }
    }
}
