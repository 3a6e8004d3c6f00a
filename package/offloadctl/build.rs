//! Leaves out of the program for routers what would unwind it: with `panic = "abort"` nothing does, and it is a tenth of the
//! file.

fn main() {
    println!("cargo::rerun-if-changed=unwind.ld");
    let variable = |name| std::env::var(name).unwrap_or_default();
    // Of a profile a build script sees this only; `router` alone has it, and aborts.
    if variable("CARGO_CFG_TARGET_ENV") == "musl" && variable("OPT_LEVEL") == "z" {
        let script = format!("{}/unwind.ld", variable("CARGO_MANIFEST_DIR"));
        // Rust's linker is called by itself, the host's by the compiler.
        let is_called_itself = variable("CARGO_ENCODED_RUSTFLAGS").contains("rust-lld");
        let option = if is_called_itself { "" } else { "-Wl,-T," };
        println!("cargo::rustc-link-arg-bins={option}{script}");
    }
}
