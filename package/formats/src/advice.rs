//! The id of every error, and what to do about it.

use crate::Error;

impl Error {
    /// The stable id that tests and users refer to.
    pub fn id(&self) -> &'static str {
        match self {
            Error::Io(_) => "FMT001",
            Error::Plan { .. } => "FMT002",
            Error::NotGzip { .. } => "GZ001",
            Error::GzipTruncated => "GZ002",
            Error::GzipCorrupt => "GZ003",
            Error::GzipChecksum => "GZ004",
            Error::GzipTrailing => "GZ005",
            Error::GzipTooLarge { .. } => "GZ006",
            Error::GzipHeader => "GZ007",
            Error::TarTruncated { .. } => "TAR001",
            Error::TarChecksum { .. } => "TAR002",
            Error::TarNumber { .. } => "TAR003",
            Error::TarPath { .. } => "TAR004",
            Error::TarKind { .. } => "TAR005",
            Error::TarDevice { .. } => "TAR006",
            Error::TarDuplicate { .. } => "TAR007",
            Error::TarThroughLink { .. } => "TAR008",
            Error::TarHardLink { .. } => "TAR009",
            Error::TarLongName => "TAR010",
            Error::TooManyEntries { .. } => "TAR011",
            Error::TarMalformed { .. } => "TAR012",
            Error::TarTrailing => "TAR013",
            Error::TarCannotStore { .. } => "TAR014",
            Error::IpkMissing { .. } => "IPK001",
            Error::IpkMember { .. } => "IPK002",
            Error::IpkVersion => "IPK003",
            Error::IpkControlTooLarge { .. } => "IPK004",
            Error::IpkConffile { .. } => "IPK005",
            Error::ControlSyntax { .. } => "CTL001",
            Error::ControlMissing { .. } => "CTL002",
            Error::ControlValue { .. } => "CTL003",
            Error::Dependency { .. } => "DEP001",
            Error::BadDigest { .. } => "SHA001",
            Error::IndexTooLarge { .. } => "IDX001",
            Error::IndexMissing { .. } => "IDX002",
            Error::IndexFilename { .. } => "IDX003",
            Error::IndexMismatch { .. } => "IDX004",
            Error::UsignFormat { .. } => "SIG001",
            Error::UsignPassphrase => "SIG002",
            Error::UsignChecksum => "SIG003",
            Error::UsignOtherKey { .. } => "SIG004",
            Error::UsignBadSignature { .. } => "SIG005",
            Error::AdbMagic { .. } => "ADB001",
            Error::AdbTruncated => "ADB002",
            Error::AdbBlock { .. } => "ADB003",
            Error::AdbVersion => "ADB004",
            Error::AdbOffset => "ADB005",
            Error::AdbValue { .. } => "ADB006",
            Error::AdbBudget => "ADB007",
            Error::AdbTooLarge => "ADB008",
            Error::AdbUntrusted { .. } => "ADB009",
            Error::ApkField { .. } => "APK001",
            Error::ApkPath { .. } => "APK002",
            Error::ApkOrder { .. } => "APK003",
            Error::ApkContent { .. } => "APK004",
            Error::ApkData { .. } => "APK005",
            Error::ApkDevice { .. } => "APK006",
            Error::EcFormat { .. } => "ECK001",
            Error::ModuleElf { .. } => "MOD001",
            Error::ModuleInfo => "MOD002",
        }
    }

    /// What to do about it, for a person.
    pub fn fix(&self) -> &'static str {
        match self {
            Error::Io(_) => "look at the file or connection that the bytes came from, then run the same command again",
            Error::Plan { .. } | Error::TarCannotStore { .. } => "correct the recipe that the package is made from",
            Error::NotGzip { .. }
            | Error::GzipTruncated
            | Error::GzipCorrupt
            | Error::GzipChecksum
            | Error::TarTruncated { .. }
            | Error::TarChecksum { .. }
            | Error::AdbMagic { .. }
            | Error::AdbTruncated
            | Error::ApkContent { .. } => {
                "fetch the file again; if it stays like this, ask its publisher to upload it anew"
            }
            Error::GzipTooLarge { .. }
            | Error::TooManyEntries { .. }
            | Error::IpkControlTooLarge { .. }
            | Error::IndexTooLarge { .. } => {
                "raise the limit if the file is trusted and really this large; otherwise do not use it"
            }
            Error::UsignOtherKey { .. } | Error::UsignBadSignature { .. } | Error::AdbUntrusted { .. } => {
                "install the feed's public key if you trust its owner; if it is installed, do not use this file"
            }
            Error::UsignFormat { .. } | Error::UsignPassphrase | Error::UsignChecksum => {
                "use a key or signature file as usign writes it"
            }
            Error::BadDigest { .. }
            | Error::IndexMissing { .. }
            | Error::IndexFilename { .. }
            | Error::IndexMismatch { .. } => "ask the feed's publisher to generate the index again from the packages",
            Error::EcFormat { .. } => {
                "make a key with `openssl ecparam -name prime256v1 -genkey -noout`, and its public half with `openssl ec -pubout`"
            }
            Error::AdbVersion => "use a newer version of this program",
            Error::AdbTooLarge => "split the package or index",
            Error::ModuleElf { .. } | Error::ModuleInfo => "give the uncompressed .ko file of a kernel module",
            Error::GzipTrailing
            | Error::GzipHeader
            | Error::AdbBlock { .. }
            | Error::AdbOffset
            | Error::AdbValue { .. }
            | Error::AdbBudget
            | Error::ApkField { .. }
            | Error::ApkPath { .. }
            | Error::ApkOrder { .. }
            | Error::ApkData { .. }
            | Error::ApkDevice { .. }
            | Error::TarNumber { .. }
            | Error::TarPath { .. }
            | Error::TarKind { .. }
            | Error::TarDevice { .. }
            | Error::TarDuplicate { .. }
            | Error::TarThroughLink { .. }
            | Error::TarHardLink { .. }
            | Error::TarLongName
            | Error::TarMalformed { .. }
            | Error::TarTrailing
            | Error::IpkMissing { .. }
            | Error::IpkMember { .. }
            | Error::IpkVersion
            | Error::IpkConffile { .. }
            | Error::ControlSyntax { .. }
            | Error::ControlMissing { .. }
            | Error::ControlValue { .. }
            | Error::Dependency { .. } => {
                "do not install this package; build it again with OpenWrt's tools or with ours"
            }
        }
    }
}
