//! The example of a program in a cargo workspace.

use super::{Sample, named};

const RECIPE: &str = "\
version: 1
package: @NAME@
title: An example of a program
license: MIT
# Whom users tell about defects.
maintainer: Somebody <somebody@example.org>
cargo:
  manifest: ../programs/@NAME@/Cargo.toml
  package: @NAME@
  binary: @NAME@
# A program that another build made, for each architecture, has in place of `cargo:`
#   package-version: \"1.0\"
#   file: { x86_64: ../built/x86_64/@NAME@ }
install: usr/bin/@NAME@
# Bytes; flash on routers is small.
max-installed-size: 2000000
";

const MANIFEST: &str = "\
[package]
name = \"@NAME@\"
version = \"1.0.0\"
edition = \"2021\"

[profile.release]
opt-level = \"s\"
lto = true
panic = \"abort\"
strip = true

# A workspace of its own, wherever the folder lies.
[workspace]
";

const LOCK: &str = "\
version = 3

[[package]]
name = \"@NAME@\"
version = \"1.0.0\"
";

const SOURCE: &str = r#"//! An example of a program for routers.

fn main() {
    match std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => println!("this router runs Linux {}", release.trim()),
        Err(error) => {
            eprintln!("@NAME@: /proc/sys/kernel/osrelease: {error}");
            std::process::exit(1);
        }
    }
}
"#;

const SCENARIO: &str = "\
version: 1
title: @NAME@ installs, does its work, and leaves nothing
steps:
  - manager: update
  - manager: install
    packages: [@NAME@]
    installed: [@NAME@]
  - run: [@NAME@]
    says: [this router runs Linux]
  - manager: remove
    packages: [@NAME@]
    not-installed: [@NAME@]
    root-unchanged: true
";

/// The files of the example.
pub(super) fn samples(name: &str) -> Vec<Sample> {
    vec![
        (format!("recipes/{name}.yaml"), named(RECIPE, name)),
        (format!("programs/{name}/Cargo.toml"), named(MANIFEST, name)),
        (format!("programs/{name}/Cargo.lock"), named(LOCK, name)),
        (format!("programs/{name}/src/main.rs"), named(SOURCE, name)),
        (format!("scenarios/{name}.yaml"), named(SCENARIO, name)),
    ]
}
