//! A router in QEMU.

pub mod accel;
pub mod console;
pub mod digest;
pub mod image;
pub mod lab;
pub mod machine;
pub mod process;
pub mod qmp;
pub mod session;
mod sockets;
pub mod splat;
pub mod state;
