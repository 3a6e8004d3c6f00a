//! Starts the command line; see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main(std::env::args_os()).code().into()
}
