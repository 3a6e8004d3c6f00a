//! Both package managers in one file: called `apk` it is apk, by any other name it is opkg.
//!
//! They share nearly everything below their commands, and a router's flash and memory are small.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's work is to print")]

mod apk;
mod front;
mod opkg;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // An argument that is no text is nothing that either of them knows, and is refused by name.
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    let arguments = arguments.collect();
    match Path::new(&called).file_name().is_some_and(|name| name == "apk") {
        true => apk::main(arguments),
        false => opkg::main(arguments),
    }
}
