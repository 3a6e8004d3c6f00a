//! What can be wrong with untrusted bytes, or with a plan that cannot be written.
//!
//! One list for the whole crate keeps the ids unique, and lets a caller show any of them. `Display` says what is wrong,
//! and why that matters.

use std::{fmt, io};

const RECIPE: &str = "correct the recipe that the package is made from";
const FETCH_AGAIN: &str = "fetch the file again; if that does not help, ask its publisher to upload it again";
const RAISE_LIMIT: &str = "raise the limit if the file is trusted and really this large; otherwise do not use it";
const TRUST: &str = "install the feed's public key if you trust its owner; if it is installed, do not use this file";
const USIGN_FILE: &str = "use a key or signature file as usign writes it";
const INDEX_AGAIN: &str = "ask the feed's publisher to generate the index again from the packages";
const MODULE_FILE: &str = "give the uncompressed .ko file of a kernel module";
const BUILD_AGAIN: &str = "do not install this package; build it again with OpenWrt's tools or with ours";

model::errors! {
    /// Why bytes were refused, or could not be written. The texts explain the fields.
    #[derive(Debug)]
    #[non_exhaustive]
    #[allow(missing_docs)]
    pub enum Error {
        /// Reading or writing failed in the layer below.
        Io { source: io::Error } => {
            id: "FMT001",
            what: "reading or writing failed",
            why: "{source}",
            fix: "look at the file or connection that the bytes came from, then run the same command again",
        }

        // gzip
        /// The magic number of gzip is missing.
        NotGzip { found: &'static str } => {
            id: "GZ001",
            what: "this is not gzip data, but {found}",
            why: "the package manager would find nothing in it",
            fix: "{FETCH_AGAIN}",
        }
        /// The stream ends before its end marker and checksum.
        GzipTruncated => {
            id: "GZ002",
            what: "compressed data ends too early",
            why: "the file was cut off",
            fix: "{FETCH_AGAIN}",
        }
        /// The deflate stream cannot be decoded.
        GzipCorrupt => {
            id: "GZ003",
            what: "compressed data is damaged",
            why: "the deflate stream is invalid",
            fix: "{FETCH_AGAIN}",
        }
        /// CRC or length at the end do not match the decompressed bytes.
        GzipChecksum => {
            id: "GZ004",
            what: "compressed data is damaged",
            why: "its checksum does not match (opkg would install it unnoticed)",
            fix: "{FETCH_AGAIN}",
        }
        /// Bytes follow the end of the compressed data.
        GzipTrailing => {
            id: "GZ005",
            what: "there are bytes after the end of the compressed data, which belong to nothing",
            fix: "{BUILD_AGAIN}",
        }
        /// Decompression exceeds the limit.
        GzipTooLarge { limit: u64 } => {
            id: "GZ006",
            what: "compressed data unpacks to more than {limit} bytes, the limit",
            fix: "{RAISE_LIMIT}",
        }
        /// A header flag or method that gzip reserves.
        GzipHeader => {
            id: "GZ007",
            what: "the gzip header uses a method or flag that is not defined",
            fix: "{BUILD_AGAIN}",
        }

        // tar
        /// The archive ends within a header, a file or before its end marker.
        TarTruncated { place: String } => {
            id: "TAR001",
            what: "archive ends too early, in {place}",
            fix: "{FETCH_AGAIN}",
        }
        /// A header's checksum is wrong.
        TarChecksum { member: usize } => {
            id: "TAR002",
            what: "the header of member {member} has a wrong checksum",
            fix: "{FETCH_AGAIN}",
        }
        /// A number field that is not octal.
        TarNumber { field: &'static str, path: String } => {
            id: "TAR003",
            what: "{field} of {path} is not an octal number",
            why: "base-256 and negative numbers derail opkg",
            fix: "{BUILD_AGAIN}",
        }
        /// A path that leaves the root, or that is ambiguous.
        TarPath { path: String, why: &'static str } => {
            id: "TAR004",
            what: "path {path} is refused",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// A member type that opkg does not know, such as pax headers.
        TarKind { path: String, kind: char } => {
            id: "TAR005",
            what: "member {path} has type {kind:?}, which opkg does not understand",
            why: "it would lose the rest of the archive",
            fix: "{BUILD_AGAIN}",
        }
        /// A device node or fifo.
        TarDevice { path: String } => {
            id: "TAR006",
            what: "{path} is a device node or fifo, which packages do not ship",
            fix: "{BUILD_AGAIN}",
        }
        /// The same path twice.
        TarDuplicate { path: String } => {
            id: "TAR007",
            what: "{path} is in the archive twice",
            why: "the last one would silently win",
            fix: "{BUILD_AGAIN}",
        }
        /// A path below something that is not a directory.
        TarThroughLink { path: String, link: String } => {
            id: "TAR008",
            what: "{path} lies below {link}, which the same archive makes a link or file",
            why: "it would be written elsewhere",
            fix: "{BUILD_AGAIN}",
        }
        /// A hard link whose target is not an earlier file of the archive.
        TarHardLink { path: String, target: String } => {
            id: "TAR009",
            what: "hard link {path} points to {target}, which is not an earlier file of this archive",
            fix: "{BUILD_AGAIN}",
        }
        /// A long-name header that is too long, or that no member follows.
        TarLongName => {
            id: "TAR010",
            what: "a long-name header is too long or belongs to no member",
            fix: "{BUILD_AGAIN}",
        }
        /// More members, or more bytes of paths, than the limit allows.
        TooManyEntries { limit: usize } => {
            id: "TAR011",
            what: "archive has more than {limit} members, or too many long paths",
            fix: "{RAISE_LIMIT}",
        }
        /// A link or directory with content, or a symlink without target.
        TarMalformed { path: String, why: &'static str } => {
            id: "TAR012",
            what: "{path} is malformed",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// Something other than zeros after the end marker.
        TarTrailing => {
            id: "TAR013",
            what: "there are bytes after the end of the archive, which belong to nothing",
            fix: "{BUILD_AGAIN}",
        }
        /// A value that does not fit into a tar header.
        TarCannotStore { path: String, why: &'static str } => {
            id: "TAR014",
            what: "{path} cannot be stored in a tar archive",
            why: "{why}",
            fix: "{RECIPE}",
        }

        // ipk
        /// A member of the outer archive is missing.
        IpkMissing { member: &'static str } => {
            id: "IPK001",
            what: "the package has no {member}",
            fix: "{BUILD_AGAIN}",
        }
        /// An unexpected member of the outer archive, or one out of order.
        IpkMember { member: String, why: &'static str } => {
            id: "IPK002",
            what: "the package has the unexpected member {member} ({why})",
            fix: "{BUILD_AGAIN}",
        }
        /// `debian-binary` is not `2.0`.
        IpkVersion => {
            id: "IPK003",
            what: "the package format version is not 2.0",
            fix: "{BUILD_AGAIN}",
        }
        /// A control file or script is larger than the limit.
        IpkControlTooLarge { name: String, limit: u64 } => {
            id: "IPK004",
            what: "control file {name} is larger than {limit} bytes, the limit",
            fix: "{RAISE_LIMIT}",
        }
        /// A conffile that is not an absolute, plain path.
        IpkConffile { path: String, why: &'static str } => {
            id: "IPK005",
            what: "conffile {path} is refused",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }

        // control
        /// A line that is neither a field nor a continuation.
        ControlSyntax { line: usize, why: &'static str } => {
            id: "CTL001",
            what: "line {line} of the control data is malformed",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// A required field is missing.
        ControlMissing { field: &'static str } => {
            id: "CTL002",
            what: "the control data has no {field}",
            fix: "{BUILD_AGAIN}",
        }
        /// A value that its field does not allow.
        ControlValue { field: &'static str, value: String, why: &'static str } => {
            id: "CTL003",
            what: "field {field} has the value {value:?}",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// A dependency that cannot be parsed.
        Dependency { text: String, why: &'static str } => {
            id: "DEP001",
            what: "dependency {text:?} is malformed",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }

        // digests and index
        /// Not exactly 64 hex digits.
        BadDigest { text: String } => {
            id: "SHA001",
            what: "{text:?} is not a SHA-256 digest of 64 hex digits (opkg would check nothing)",
            fix: "{INDEX_AGAIN}",
        }
        /// An index is larger than the limit.
        IndexTooLarge { limit: u64 } => {
            id: "IDX001",
            what: "the index is larger than {limit} bytes, the limit",
            fix: "{RAISE_LIMIT}",
        }
        /// An index entry lacks a field without which the package cannot be verified.
        IndexMissing { package: String, field: &'static str } => {
            id: "IDX002",
            what: "the index entry of {package} has no {field}",
            why: "its package could not be verified",
            fix: "{INDEX_AGAIN}",
        }
        /// A file name that leaves the feed's directory.
        IndexFilename { package: String, filename: String, why: &'static str } => {
            id: "IDX003",
            what: "the index entry of {package} names the file {filename:?}",
            why: "{why}",
            fix: "{INDEX_AGAIN}",
        }
        /// The package file differs from its index entry.
        IndexMismatch { package: String, field: &'static str, index: String, file: String } => {
            id: "IDX004",
            what: "{package}: the index says {field} {index}, the package file says {file}",
            fix: "{INDEX_AGAIN}",
        }

        // usign
        /// A key or signature file that does not consist of the two expected lines.
        UsignFormat { expected: &'static str, why: &'static str } => {
            id: "SIG001",
            what: "this is not a usign {expected}",
            why: "{why}",
            fix: "{USIGN_FILE}",
        }
        /// A secret key with a passphrase.
        UsignPassphrase => {
            id: "SIG002",
            what: "the secret key is protected by a passphrase, which usign does not support",
            fix: "{USIGN_FILE}",
        }
        /// A secret key whose checksum is wrong.
        UsignChecksum => {
            id: "SIG003",
            what: "the secret key is damaged",
            why: "its checksum does not match",
            fix: "{USIGN_FILE}",
        }
        /// Another key made the signature.
        UsignOtherKey { signed_by: String, key: String } => {
            id: "SIG004",
            what: "the signature was made by key {signed_by}, not by {key}",
            fix: "{TRUST}",
        }
        /// The signature does not belong to these bytes.
        UsignBadSignature { key: String } => {
            id: "SIG005",
            what: "the signature by key {key} does not match",
            why: "the data was changed after signing, or somebody else made a key with the same id",
            fix: "{TRUST}",
        }

        // apk v3
        /// Not an ADB file.
        AdbMagic { found: &'static str } => {
            id: "ADB001",
            what: "this is not an apk v3 file, but {found}",
            fix: "{FETCH_AGAIN}",
        }
        /// The file ends within a block.
        AdbTruncated => {
            id: "ADB002",
            what: "the apk file ends too early",
            why: "it was cut off",
            fix: "{FETCH_AGAIN}",
        }
        /// Blocks that are malformed or out of order.
        AdbBlock { why: &'static str } => {
            id: "ADB003",
            what: "the blocks of the apk file are malformed",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// The file needs a newer reader.
        AdbVersion => {
            id: "ADB004",
            what: "the apk file needs a newer reader",
            why: "its compatibility version is not 0",
            fix: "use a newer version of this program",
        }
        /// An offset that leaves the metadata or is not aligned.
        AdbOffset => {
            id: "ADB005",
            what: "an offset in the apk metadata leads outside of it, or is not aligned",
            fix: "{BUILD_AGAIN}",
        }
        /// A value of the wrong type or form.
        AdbValue { what: &'static str } => {
            id: "ADB006",
            what: "the apk metadata is malformed",
            why: "{what}",
            fix: "{BUILD_AGAIN}",
        }
        /// Shared values that would expand to far more than is stored.
        AdbBudget => {
            id: "ADB007",
            what: "the apk metadata expands to more values than any package has",
            fix: "{BUILD_AGAIN}",
        }
        /// Metadata of 256 MiB or more.
        AdbTooLarge => {
            id: "ADB008",
            what: "the metadata is larger than an apk file can hold",
            fix: "split the package or index",
        }
        /// No trusted key made any of the signatures.
        AdbUntrusted { signatures: usize, keys: usize } => {
            id: "ADB009",
            what: "none of the {signatures} signatures was made by one of the {keys} trusted keys",
            fix: "{TRUST}",
        }
        /// A required field is missing, or a value is invalid.
        ApkField { field: &'static str, why: &'static str } => {
            id: "APK001",
            what: "the apk metadata has a bad {field}",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// A path that leaves the root, is duplicated, or lies below a link.
        ApkPath { path: String, why: &'static str } => {
            id: "APK002",
            what: "path {path:?} of the package is refused",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// Entries that are not sorted as apk needs them.
        ApkOrder { list: &'static str } => {
            id: "APK003",
            what: "{list} of the apk metadata is not sorted, or has duplicates",
            why: "apk would not find its entries",
            fix: "{BUILD_AGAIN}",
        }
        /// The content of a file does not match the metadata.
        ApkContent { path: String } => {
            id: "APK004",
            what: "the content of {path} does not match its SHA-256 in the metadata",
            fix: "{FETCH_AGAIN}",
        }
        /// File data is missing, out of order or superfluous.
        ApkData { why: &'static str } => {
            id: "APK005",
            what: "the file data of the package does not fit its list of files",
            why: "{why}",
            fix: "{BUILD_AGAIN}",
        }
        /// A device node or fifo.
        ApkDevice { path: String } => {
            id: "APK006",
            what: "{path} is a device node or fifo, which packages do not ship",
            fix: "{BUILD_AGAIN}",
        }

        // keys of apk
        /// Not a PEM file with an EC key on P-256.
        EcFormat { expected: &'static str, why: &'static str } => {
            id: "ECK001",
            what: "this is not an EC {expected} for apk",
            why: "{why}",
            fix: "make a key with `openssl ecparam -name prime256v1 -genkey -noout`, and its public half with `openssl ec -pubout`",
        }

        // kernel modules
        /// Not an ELF file that can be read.
        ModuleElf { why: String } => {
            id: "MOD001",
            what: "this is not a readable ELF file",
            why: "{why}",
            fix: "{MODULE_FILE}",
        }
        /// An ELF file without the section `.modinfo`.
        ModuleInfo => {
            id: "MOD002",
            what: "this ELF file is not a kernel module",
            why: "it has no usable .modinfo section",
            fix: "{MODULE_FILE}",
        }

        // plans
        /// A plan from which no package can be made.
        Plan { what: String } => {
            id: "FMT002",
            what: "the package cannot be written",
            why: "{what}",
            fix: "{RECIPE}",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        self.why().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source } => Some(source),
            _ => None,
        }
    }
}

/// Readers are stacked on [`io::Read`]: our errors pass through it and are unwrapped here.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        error.downcast::<Error>().unwrap_or_else(|source| Error::Io { source })
    }
}

impl From<model::sha256::NoDigest> for Error {
    fn from(error: model::sha256::NoDigest) -> Self {
        Error::BadDigest { text: error.text }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source } => source,
            ours => io::Error::new(io::ErrorKind::InvalidData, ours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_errors_pass_through_io_and_foreign_ones_stay_io() {
        assert_eq!(Error::from(io::Error::from(Error::GzipChecksum)).id(), "GZ004");
        assert_eq!(Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).id(), "FMT001");
    }
}
