//! What can be wrong with foreign bytes, or with a plan that cannot be written.
//!
//! One list for the whole crate, so that ids stay unique and a caller can show any of them: the
//! message says what is wrong and why that matters, [`Error::id`] is stable, [`Error::fix`] says what to do.

use std::io;

/// Why bytes were refused, or could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The reader or writer below failed.
    #[error("reading or writing failed: {0}")]
    Io(#[source] io::Error),

    // gzip
    /// The magic number of gzip is missing.
    #[error("this is not gzip data, but {found}: the package manager would find nothing in it")]
    NotGzip {
        /// What it looks like instead.
        found: &'static str,
    },
    /// The stream ends before its end marker and checksum.
    #[error("compressed data ends too early: the file was cut off")]
    GzipTruncated,
    /// The deflate stream cannot be decoded.
    #[error("compressed data is damaged: the deflate stream makes no sense")]
    GzipCorrupt,
    /// CRC or length after the stream disagree with what came out.
    #[error("compressed data is damaged: its checksum does not match (opkg would install it unnoticed)")]
    GzipChecksum,
    /// Bytes follow the end of the stream.
    #[error("there are bytes after the end of the compressed data, which nothing accounts for")]
    GzipTrailing,
    /// More came out than the limit allows.
    #[error("compressed data unpacks to more than {limit} bytes, the limit")]
    GzipTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A header flag or method that gzip reserves.
    #[error("the gzip header uses a method or flag that is not defined")]
    GzipHeader,

    // tar
    /// The archive ends within a header, a file or before its end marker.
    #[error("archive ends too early, in {place}")]
    TarTruncated {
        /// Where it ends.
        place: String,
    },
    /// A header's checksum is wrong.
    #[error("the header of member {member} has a wrong checksum")]
    TarChecksum {
        /// Number of the member, from 1.
        member: usize,
    },
    /// A number field that is not octal.
    #[error("{field} of {path} is not an octal number: base-256 and negative numbers derail opkg")]
    TarNumber {
        /// Name of the field.
        field: &'static str,
        /// The member.
        path: String,
    },
    /// A path that leaves the root, or could be read in two ways.
    #[error("path {path} is refused: {why}")]
    TarPath {
        /// The path as stored.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A member type that opkg does not know, such as pax headers.
    #[error("member {path} has type {kind:?}, which opkg does not understand: it would lose the rest of the archive")]
    TarKind {
        /// The member.
        path: String,
        /// The type flag.
        kind: char,
    },
    /// A device node or fifo where none is expected.
    #[error("{path} is a device node or fifo, which packages do not ship")]
    TarDevice {
        /// The member.
        path: String,
    },
    /// The same path twice.
    #[error("{path} is in the archive twice: the last one would silently win")]
    TarDuplicate {
        /// The member.
        path: String,
    },
    /// A path below something that is not a directory.
    #[error("{path} lies below {link}, which the same archive makes a link or file: it would be written elsewhere")]
    TarThroughLink {
        /// The member.
        path: String,
        /// The earlier member.
        link: String,
    },
    /// A hard link whose target is not an earlier file of the archive.
    #[error("hard link {path} points to {target}, which is not an earlier file of this archive")]
    TarHardLink {
        /// The member.
        path: String,
        /// The link target as stored.
        target: String,
    },
    /// A long-name header that is too long, or belongs to nothing.
    #[error("a long-name header is too long or belongs to no member")]
    TarLongName,
    /// More members, or more bytes of paths, than the limit allows.
    #[error("archive has more than {limit} members, or too many long paths")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// A link or directory with content, or a symlink without target.
    #[error("{path} is malformed: {why}")]
    TarMalformed {
        /// The member.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Something other than zeros after the end marker.
    #[error("there are bytes after the end of the archive, which nothing accounts for")]
    TarTrailing,
    /// A value does not fit into a tar header.
    #[error("{path} cannot be stored in a tar archive: {why}")]
    TarCannotStore {
        /// The entry.
        path: String,
        /// What does not fit.
        why: &'static str,
    },

    // ipk
    /// A member of the outer archive is missing.
    #[error("the package has no {member}")]
    IpkMissing {
        /// Name of the member.
        member: &'static str,
    },
    /// A member of the outer archive that does not belong there, or is out of order.
    #[error("the package has the unexpected member {member} ({why})")]
    IpkMember {
        /// Name of the member.
        member: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `debian-binary` is not `2.0`.
    #[error("the package format version is not 2.0")]
    IpkVersion,
    /// A control file or script is larger than the limit.
    #[error("control file {name} is larger than {limit} bytes, the limit")]
    IpkControlTooLarge {
        /// Name of the file.
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A conffile that is not an absolute, plain path.
    #[error("conffile {path} is refused: {why}")]
    IpkConffile {
        /// The line.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },

    // control
    /// A line that is neither a field nor a continuation.
    #[error("line {line} of the control data is malformed: {why}")]
    ControlSyntax {
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A field that a package cannot be without.
    #[error("the control data has no {field}")]
    ControlMissing {
        /// Name of the field.
        field: &'static str,
    },
    /// A value that its field does not allow.
    #[error("field {field} has the value {value:?}: {why}")]
    ControlValue {
        /// Name of the field.
        field: &'static str,
        /// The value, shortened.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A dependency that cannot be parsed.
    #[error("dependency {text:?} is malformed: {why}")]
    Dependency {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },

    // digests and index
    /// Not exactly 64 hex digits.
    #[error("{text:?} is not a SHA-256 digest of 64 hex digits (opkg would check nothing)")]
    BadDigest {
        /// The text, shortened.
        text: String,
    },
    /// An index is larger than the limit.
    #[error("the index is larger than {limit} bytes, the limit")]
    IndexTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// An index entry without one of the fields that make the package verifiable.
    #[error("the index entry of {package} has no {field}: its package cannot be verified")]
    IndexMissing {
        /// The package.
        package: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A file name that leaves the feed's directory.
    #[error("the index entry of {package} names the file {filename:?}: {why}")]
    IndexFilename {
        /// The package.
        package: String,
        /// The file name.
        filename: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The package file is not the one that the index describes.
    #[error("{package}: the index says {field} {index}, the package file says {file}")]
    IndexMismatch {
        /// The package as the index names it.
        package: String,
        /// Field or property that differs.
        field: &'static str,
        /// Value in the index.
        index: String,
        /// Value of the file.
        file: String,
    },

    // usign
    /// A key or signature file that is not two lines of the expected content.
    #[error("this is not a usign {expected}: {why}")]
    UsignFormat {
        /// What was expected.
        expected: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A secret key with a passphrase.
    #[error("the secret key is protected by a passphrase, which usign does not support")]
    UsignPassphrase,
    /// A secret key whose checksum is wrong.
    #[error("the secret key is damaged: its checksum does not match")]
    UsignChecksum,
    /// Signed by another key.
    #[error("the signature was made by key {signed_by}, not by {key}")]
    UsignOtherKey {
        /// Fingerprint in the signature.
        signed_by: String,
        /// Fingerprint of the key at hand.
        key: String,
    },
    /// The signature does not belong to these bytes.
    #[error("the signature by key {key} does not match: the data was changed after signing, or the key is a forgery")]
    UsignBadSignature {
        /// Fingerprint of the key.
        key: String,
    },

    // apk v3
    /// Not an ADB file.
    #[error("this is not an apk v3 file, but {found}")]
    AdbMagic {
        /// What it looks like instead.
        found: &'static str,
    },
    /// The file ends within a block.
    #[error("the apk file ends too early: it was cut off")]
    AdbTruncated,
    /// Blocks that are malformed or out of order.
    #[error("the blocks of the apk file are malformed: {why}")]
    AdbBlock {
        /// What is wrong.
        why: &'static str,
    },
    /// Made for a newer reader.
    #[error("the apk file needs a newer reader: its compatibility version is not 0")]
    AdbVersion,
    /// An offset that leaves the metadata or is not aligned.
    #[error("an offset in the apk metadata leads outside of it, or is not aligned")]
    AdbOffset,
    /// A value of the wrong type or form.
    #[error("the apk metadata is malformed: {what}")]
    AdbValue {
        /// What is wrong.
        what: &'static str,
    },
    /// Shared values that would unfold into far more than was stored.
    #[error("the apk metadata unfolds into more values than any package has")]
    AdbBudget,
    /// Metadata of 256 MiB or more.
    #[error("the metadata is larger than an apk file can hold")]
    AdbTooLarge,
    /// No signature by a known key.
    #[error("none of the {signatures} signatures was made by one of the {keys} trusted keys")]
    AdbUntrusted {
        /// Number of signatures in the file.
        signatures: usize,
        /// Number of keys that were tried.
        keys: usize,
    },
    /// A field that a package cannot be without, or with a value that makes no sense.
    #[error("the apk metadata has a bad {field}: {why}")]
    ApkField {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A path that leaves the root, is there twice, or lies below a link.
    #[error("path {path:?} of the package is refused: {why}")]
    ApkPath {
        /// The path as stored.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Entries that are not in the order apk looks them up in.
    #[error("{list} of the apk metadata is not sorted, or has duplicates: apk would not find its entries")]
    ApkOrder {
        /// Name of the list.
        list: &'static str,
    },
    /// The bytes of a file are not the ones that the metadata describes.
    #[error("the content of {path} does not match its SHA-256 in the metadata")]
    ApkContent {
        /// The file.
        path: String,
    },
    /// File data that is missing, out of order or too much.
    #[error("the file data of the package does not fit its list of files: {why}")]
    ApkData {
        /// What is wrong.
        why: &'static str,
    },
    /// A device node or fifo where none is expected.
    #[error("{path} is a device node or fifo, which packages do not ship")]
    ApkDevice {
        /// The path.
        path: String,
    },

    // keys of apk
    /// Not a PEM file with an EC key on P-256.
    #[error("this is not an EC {expected} for apk: {why}")]
    EcFormat {
        /// What was expected.
        expected: &'static str,
        /// What is wrong.
        why: &'static str,
    },

    // kernel modules
    /// Not an ELF file that can be read.
    #[error("this is not a readable ELF file: {why}")]
    ModuleElf {
        /// What the reader said.
        why: String,
    },
    /// An ELF file without module information.
    #[error("this ELF file is not a kernel module: it has no usable .modinfo section")]
    ModuleInfo,

    // plans
    /// A plan that no package can be made from.
    #[error("the package cannot be written: {what}")]
    Plan {
        /// What is wrong with it.
        what: String,
    },
}

/// Readers stack on [`io::Read`]: an error of ours travels through it and comes out as itself.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        error.downcast::<Error>().unwrap_or_else(Error::Io)
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
            Error::Io(error) => error,
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
