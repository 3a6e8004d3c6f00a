//! A router in QEMU.

pub mod accel;
pub mod console;
pub mod digest;
pub mod machine;
pub mod process;
pub mod splat;
