//! The fields of packages and indexes: numbers, names and types in one place.
//!
//! Readers and writers use the numbers; the text view walks the tables. Paths, names and the order of values are those
//! of apk-tools' own schema.

/// The type of a value.
pub(super) enum Shape {
    Number,
    Octal,
    Text,
    Hex,
    Dependency,
    Xattr,
    Object(&'static [Field]),
    List(&'static Shape),
}

/// A field of an object.
pub(super) struct Field {
    pub(super) number: usize,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

const fn field(number: usize, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape }
}

/// A package.
pub(super) mod package {
    pub(crate) const INFO: usize = 1;
    pub(crate) const PATHS: usize = 2;
    pub(crate) const SCRIPTS: usize = 3;
    pub(crate) const TRIGGERS: usize = 4;
    pub(crate) const REPLACES_PRIORITY: usize = 5;
}

/// The metadata of a package, in package and index.
pub(super) mod info {
    pub(crate) const NAME: usize = 1;
    pub(crate) const VERSION: usize = 2;
    pub(crate) const HASHES: usize = 3;
    pub(crate) const DESCRIPTION: usize = 4;
    pub(crate) const ARCH: usize = 5;
    pub(crate) const LICENSE: usize = 6;
    pub(crate) const ORIGIN: usize = 7;
    pub(crate) const MAINTAINER: usize = 8;
    pub(crate) const URL: usize = 9;
    pub(crate) const REPO_COMMIT: usize = 10;
    pub(crate) const BUILD_TIME: usize = 11;
    pub(crate) const INSTALLED_SIZE: usize = 12;
    pub(crate) const FILE_SIZE: usize = 13;
    pub(crate) const PROVIDER_PRIORITY: usize = 14;
    pub(crate) const DEPENDS: usize = 15;
    pub(crate) const PROVIDES: usize = 16;
    pub(crate) const REPLACES: usize = 17;
    pub(crate) const INSTALL_IF: usize = 18;
    pub(crate) const RECOMMENDS: usize = 19;
    pub(crate) const LAYER: usize = 20;
    pub(crate) const TAGS: usize = 21;
}

/// A directory, a file or their access rights; the numbers are positions in the tables below.
pub(super) mod path {
    pub(crate) const NAME: usize = 1;
    pub(crate) const ACL: usize = 2;
    /// In a directory.
    pub(crate) const FILES: usize = 3;
    /// In a file.
    pub(crate) const SIZE: usize = 3;
    pub(crate) const TIME: usize = 4;
    pub(crate) const HASH: usize = 5;
    pub(crate) const TARGET: usize = 6;
    /// In access rights.
    pub(crate) const MODE: usize = 1;
    pub(crate) const USER: usize = 2;
    pub(crate) const GROUP: usize = 3;
    pub(crate) const XATTRS: usize = 4;
}

/// A dependency.
pub(super) mod dependency {
    pub(crate) const NAME: usize = 1;
    pub(crate) const VERSION: usize = 2;
    pub(crate) const MATCH: usize = 3;
}

/// An index.
pub(super) mod index {
    pub(crate) const DESCRIPTION: usize = 1;
    pub(crate) const PACKAGES: usize = 2;
    pub(crate) const NAME_SPEC: usize = 3;
}

const DEPENDENCIES: Shape = Shape::List(&Shape::Dependency);
const TEXTS: Shape = Shape::List(&Shape::Text);

const INFO: [Field; 21] = [
    field(info::NAME, "name", Shape::Text),
    field(info::VERSION, "version", Shape::Text),
    field(info::HASHES, "hashes", Shape::Hex),
    field(info::DESCRIPTION, "description", Shape::Text),
    field(info::ARCH, "arch", Shape::Text),
    field(info::LICENSE, "license", Shape::Text),
    field(info::ORIGIN, "origin", Shape::Text),
    field(info::MAINTAINER, "maintainer", Shape::Text),
    field(info::URL, "url", Shape::Text),
    field(info::REPO_COMMIT, "repo-commit", Shape::Hex),
    field(info::BUILD_TIME, "build-time", Shape::Number),
    field(info::INSTALLED_SIZE, "installed-size", Shape::Number),
    field(info::FILE_SIZE, "file-size", Shape::Number),
    field(info::PROVIDER_PRIORITY, "provider-priority", Shape::Number),
    field(info::DEPENDS, "depends", DEPENDENCIES),
    field(info::PROVIDES, "provides", DEPENDENCIES),
    field(info::REPLACES, "replaces", DEPENDENCIES),
    field(info::INSTALL_IF, "install-if", DEPENDENCIES),
    field(info::RECOMMENDS, "recommends", DEPENDENCIES),
    field(info::LAYER, "layer", Shape::Number),
    field(info::TAGS, "tags", TEXTS),
];

const ACL: [Field; 4] = [
    field(path::MODE, "mode", Shape::Octal),
    field(path::USER, "user", Shape::Text),
    field(path::GROUP, "group", Shape::Text),
    field(path::XATTRS, "xattrs", Shape::List(&Shape::Xattr)),
];

const FILE: [Field; 6] = [
    field(path::NAME, "name", Shape::Text),
    field(path::ACL, "acl", Shape::Object(&ACL)),
    field(path::SIZE, "size", Shape::Number),
    field(path::TIME, "mtime", Shape::Number),
    field(path::HASH, "hash", Shape::Hex),
    field(path::TARGET, "target", Shape::Hex),
];

const DIRECTORY: [Field; 3] = [
    field(path::NAME, "name", Shape::Text),
    field(path::ACL, "acl", Shape::Object(&ACL)),
    field(path::FILES, "files", Shape::List(&Shape::Object(&FILE))),
];

/// Names of the scripts, in the order of their numbers.
pub(super) const SCRIPTS: [&str; 7] =
    ["trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade"];

const SCRIPT_FIELDS: [Field; 7] = [
    field(1, SCRIPTS[0], Shape::Text),
    field(2, SCRIPTS[1], Shape::Text),
    field(3, SCRIPTS[2], Shape::Text),
    field(4, SCRIPTS[3], Shape::Text),
    field(5, SCRIPTS[4], Shape::Text),
    field(6, SCRIPTS[5], Shape::Text),
    field(7, SCRIPTS[6], Shape::Text),
];

/// The root of a package file.
pub(super) const PACKAGE: [Field; 5] = [
    field(package::INFO, "info", Shape::Object(&INFO)),
    field(package::PATHS, "paths", Shape::List(&Shape::Object(&DIRECTORY))),
    field(package::SCRIPTS, "scripts", Shape::Object(&SCRIPT_FIELDS)),
    field(package::TRIGGERS, "triggers", TEXTS),
    field(package::REPLACES_PRIORITY, "replaces-priority", Shape::Number),
];

/// The root of an index file.
pub(super) const INDEX: [Field; 3] = [
    field(index::DESCRIPTION, "description", Shape::Text),
    field(index::PACKAGES, "packages", Shape::List(&Shape::Object(&INFO))),
    field(index::NAME_SPEC, "pkgname-spec", Shape::Text),
];
