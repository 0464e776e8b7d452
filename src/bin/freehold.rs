//! The tool `freehold`; all of it stands in [`freehold::cli`].

fn main() -> std::process::ExitCode {
    freehold::cli::main()
}
