//! Both package managers in one program: called as `apk` it is apk, by any other name it is opkg.
//!
//! They share nearly everything below their commands, and a router has little flash and memory.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is this program's purpose")]

mod apk;
mod front;
mod opkg;
mod options;
mod query;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // An argument that is not UTF-8 is converted lossily; both programs then refuse it as unknown.
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    let arguments = arguments.collect();
    match Path::new(&called).file_name().is_some_and(|name| name == "apk") {
        true => apk::main(arguments),
        false => opkg::main(arguments),
    }
}
