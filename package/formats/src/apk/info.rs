//! The metadata of a package, in the package itself and in an index.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::schema::{dependency, info};
use crate::Error;
use crate::adb::{Builder, Object, Value};
use crate::control::is_package_name;
use crate::version::apk::{self, Match};

/// Name, version, dependencies and descriptive fields.
///
/// Empty texts and lists mean "absent".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Name, with ABI suffix.
    pub name: String,
    /// Version with release.
    pub version: String,
    /// The first 20 bytes of a digest, by which apk recognises an installed package. `None` in an entry from an index,
    /// which has the whole digest.
    pub unique_id: Option<[u8; 20]>,
    /// Description, in one line.
    pub description: String,
    /// OpenWrt package architecture, or `noarch`.
    pub arch: String,
    /// SPDX expression.
    pub license: String,
    /// Name of the recipe that it was built from.
    pub origin: String,
    /// `Name <mail>`.
    pub maintainer: String,
    /// Home page.
    pub url: String,
    /// Commit of the repository that has the recipe.
    pub repo_commit: Option<[u8; 20]>,
    /// Build time, in seconds since 1970.
    pub build_time: Option<u64>,
    /// Bytes of all regular files. The writer computes it.
    pub installed_size: u64,
    /// Preference among packages that provide the same name; the highest wins.
    pub provider_priority: Option<u64>,
    /// What must be installed too; with `!`, what must not be.
    pub depends: Vec<Dependency>,
    /// Other names that this package provides.
    pub provides: Vec<Dependency>,
    /// Packages whose files it may take over.
    pub replaces: Vec<Dependency>,
    /// The package is installed automatically once all of these are.
    pub install_if: Vec<Dependency>,
    /// Optional additions.
    pub recommends: Vec<Dependency>,
    /// Where it is installed: 0 for the root, 1 for uvol.
    pub layer: Option<u64>,
    /// Tags such as `openwrt:section=kernel`.
    pub tags: Vec<String>,
}

/// One item of a dependency list: `name`, `name=1`, `name~1.2`, `!name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dependency {
    /// A package name, or a name that packages provide.
    pub name: String,
    /// The version to compare with; `None` when any will do.
    pub version: Option<String>,
    /// How the versions must compare, and whether it is a conflict.
    pub relation: Match,
}

impl Dependency {
    /// Depends on any version of a name.
    pub fn on(name: impl Into<String>) -> Self {
        Dependency { name: name.into(), version: None, relation: Match::ANY }
    }

    /// Depends on exactly one version; also used for provides.
    pub fn exactly(name: impl Into<String>, version: impl Into<String>) -> Self {
        Dependency { name: name.into(), version: Some(version.into()), relation: Match::EQUAL }
    }

    /// Whether this is a conflict, `!name`.
    pub fn is_conflict(&self) -> bool {
        self.relation.contains(Match::CONFLICT)
    }

    /// Whether a package with this name (own or provided) and version satisfies the dependency; for a conflict, whether
    /// it does not violate it. A name provided without a version counts as older than any version.
    pub fn accepts(&self, name: &str, version: Option<&str>) -> bool {
        if self.name != name {
            return self.is_conflict();
        }
        match (&self.version, version) {
            (None, _) => !self.is_conflict(),
            (Some(_), None) => self.relation.contains(Match::LESS) != self.is_conflict(),
            (Some(wanted), Some(version)) => self.relation.accepts(version, wanted),
        }
    }

    /// Apk's order of lists: name, then version, then relation.
    fn order(&self, other: &Self) -> Ordering {
        let versions = match (&self.version, &other.version) {
            (Some(a), Some(b)) => apk::compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        self.name.as_bytes().cmp(other.name.as_bytes()).then(versions).then(self.relation.cmp(&other.relation))
    }

    fn write(&self, builder: &mut Builder) -> Result<Value, Error> {
        let name = builder.blob(self.name.as_bytes())?;
        let version = builder.blob(self.version.as_deref().unwrap_or_default().as_bytes())?;
        // An absent relation means `=` if there is a version, otherwise any version.
        let usual = if self.version.is_some() { Match::EQUAL } else { Match::ANY };
        let relation = if self.relation == usual { Value::NULL } else { builder.int(self.relation.bits().into())? };
        builder.object([name, version, relation])
    }

    fn read(object: Object<'_>) -> Result<Self, Error> {
        let bad = |why| Error::ApkField { field: "dependency", why };
        let name = object.text(dependency::NAME)?.to_owned();
        let version = object.text(dependency::VERSION)?.to_owned();
        if !is_name(&name) {
            return Err(bad("its name is empty or has characters that names do not have"));
        }
        let relation = match object.int(dependency::MATCH)? {
            None if version.is_empty() => Match::ANY,
            None => Match::EQUAL,
            Some(bits) => Match::from_bits(bits).ok_or_else(|| bad("its relation has undefined bits"))?,
        };
        if version.is_empty() && relation.without(Match::CONFLICT) != Match::ANY {
            return Err(bad("it compares with no version"));
        }
        if !version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("its version has characters that versions do not have"));
        }
        Ok(Dependency { name, version: Some(version).filter(|version| !version.is_empty()), relation })
    }
}

/// The characters of names in dependencies: of packages, and of libraries, commands and paths.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+._-,:/[]".contains(c))
}

/// Parses apk's spelling: no blanks, any mix of `<`, `>`, `=` and `~`, and a valid version.
impl FromStr for Dependency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why| Error::Dependency { text: text.chars().take(80).collect(), why };
        let (conflict, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = rest.find(['<', '>', '=', '~']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let version = rest.trim_start_matches(['<', '>', '=', '~']);
        let operator = &rest[..rest.len() - version.len()];
        if !is_name(name) {
            return Err(refuse("the name is empty or has characters that names do not have"));
        }
        let relation = match operator {
            "" => Match::ANY,
            _ if !apk::is_valid(version) => return Err(refuse("the version is not valid for apk")),
            _ => Match::parse(operator).ok_or_else(|| refuse("the operator is not known"))?,
        };
        let relation = if conflict { relation.with(Match::CONFLICT) } else { relation };
        Ok(Dependency {
            name: name.to_owned(),
            version: Some(version.to_owned()).filter(|version| !version.is_empty()),
            relation,
        })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_conflict() {
            f.write_str("!")?;
        }
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "{}{version}", self.relation),
            None => Ok(()),
        }
    }
}

impl Info {
    /// The name of the package file, `NAME-VERSION.apk`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }

    /// Whether this package satisfies a dependency, by its own name or a provided one.
    pub fn satisfies(&self, dependency: &Dependency) -> bool {
        dependency.accepts(&self.name, Some(&self.version))
            || !dependency.is_conflict()
                && self.provides.iter().any(|provide| dependency.accepts(&provide.name, provide.version.as_deref()))
    }

    /// Checks for what apk's own writer would refuse.
    pub(super) fn check(&self) -> Result<(), Error> {
        let bad = |field, why| Err(Error::ApkField { field, why });
        if !is_package_name(&self.name) {
            return bad("name", "a name is letters, digits and + . _ -, a letter or digit first");
        }
        if !apk::is_valid(&self.version) {
            return bad("version", "it is not a valid version of apk: N(.N)*[a-z]?(_suffix N?)*(~hash)?(-rN)?");
        }
        if !self.arch.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c)) {
            return bad("arch", "it has characters that architectures do not have");
        }
        let texts = [&self.description, &self.license, &self.origin, &self.maintainer, &self.url];
        if texts.iter().any(|text| text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')) {
            return bad("text", "it has control characters");
        }
        let is_tag = |tag: &String| {
            !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || "+,-.:=/[\\]_".contains(c))
        };
        if !self.tags.iter().all(is_tag) {
            return bad("tags", "a tag is empty or has characters that tags do not have");
        }
        Ok(())
    }

    /// Appends the values of all fields in apk's order; the caller makes the object.
    ///
    /// With `copy`, the values are copied as into an index: with their old identity, and 64-bit numbers aligned to
    /// eight.
    pub(super) fn values(&self, builder: &mut Builder, copy: bool) -> Result<[Value; info::TAGS], Error> {
        let mut values = [Value::NULL; info::TAGS];
        let mut set = |number: usize, value: Value| values[number - 1] = value;
        let int = |builder: &mut Builder, number: Option<u64>| match number {
            None => Ok(Value::NULL),
            Some(number) if copy => builder.copied_int(number),
            Some(number) => builder.int(number),
        };
        set(info::NAME, builder.blob(self.name.as_bytes())?);
        set(info::VERSION, builder.blob(self.version.as_bytes())?);
        if copy && let Some(id) = self.unique_id {
            builder.blob(&id)?;
        }
        for (number, text) in [
            (info::DESCRIPTION, &self.description),
            (info::ARCH, &self.arch),
            (info::LICENSE, &self.license),
            (info::ORIGIN, &self.origin),
            (info::MAINTAINER, &self.maintainer),
            (info::URL, &self.url),
        ] {
            set(number, builder.blob(text.as_bytes())?);
        }
        set(info::REPO_COMMIT, builder.blob(self.repo_commit.as_ref().map_or(&[][..], |commit| commit))?);
        set(info::BUILD_TIME, int(builder, self.build_time)?);
        if copy {
            set(info::INSTALLED_SIZE, int(builder, Some(self.installed_size))?);
        }
        set(info::PROVIDER_PRIORITY, int(builder, self.provider_priority)?);
        for (number, list) in [
            (info::DEPENDS, &self.depends),
            (info::PROVIDES, &self.provides),
            (info::REPLACES, &self.replaces),
            (info::INSTALL_IF, &self.install_if),
            (info::RECOMMENDS, &self.recommends),
        ] {
            set(number, write_dependencies(builder, list)?);
        }
        set(info::LAYER, int(builder, self.layer)?);
        let tags = self.tags.iter().map(|tag| builder.blob(tag.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        set(info::TAGS, builder.list(&tags)?);
        Ok(values)
    }

    /// Reads every field except the hashes and the file size, which have another meaning in an index.
    pub(super) fn read(object: Object<'_>) -> Result<Self, Error> {
        let text = |number| object.text(number).map(str::to_owned);
        let list = |number, name| read_dependencies(object, number, name);
        let tags = match object.object(info::TAGS)? {
            None => Vec::new(),
            Some(tags) => {
                tags.values().map(|tag| object.tree().text(tag).map(str::to_owned)).collect::<Result<_, _>>()?
            }
        };
        let commit = object.blob(info::REPO_COMMIT)?;
        let repo_commit = match commit.len() {
            0 => None,
            _ => Some(
                commit.try_into().map_err(|_| Error::ApkField { field: "repo-commit", why: "it is not 20 bytes" })?,
            ),
        };
        let read = Info {
            name: text(info::NAME)?,
            version: text(info::VERSION)?,
            unique_id: None,
            description: text(info::DESCRIPTION)?,
            arch: text(info::ARCH)?,
            license: text(info::LICENSE)?,
            origin: text(info::ORIGIN)?,
            maintainer: text(info::MAINTAINER)?,
            url: text(info::URL)?,
            repo_commit,
            build_time: object.int(info::BUILD_TIME)?,
            installed_size: object.int(info::INSTALLED_SIZE)?.unwrap_or(0),
            provider_priority: object.int(info::PROVIDER_PRIORITY)?,
            depends: list(info::DEPENDS, "depends")?,
            provides: list(info::PROVIDES, "provides")?,
            replaces: list(info::REPLACES, "replaces")?,
            install_if: list(info::INSTALL_IF, "install-if")?,
            recommends: list(info::RECOMMENDS, "recommends")?,
            layer: object.int(info::LAYER)?,
            tags,
        };
        read.check()?;
        Ok(read)
    }
}

/// Items are appended in the given order; the list is sorted.
fn write_dependencies(builder: &mut Builder, list: &[Dependency]) -> Result<Value, Error> {
    let mut items = list
        .iter()
        .map(|item| Ok((item, item.write(builder)?)))
        .collect::<Result<Vec<(&Dependency, Value)>, Error>>()?;
    items.sort_by(|(a, _), (b, _)| a.order(b));
    items.dedup_by(|(a, _), (b, _)| a == b);
    builder.list(&items.iter().map(|(_, value)| *value).collect::<Vec<_>>())
}

fn read_dependencies(object: Object<'_>, number: usize, list: &'static str) -> Result<Vec<Dependency>, Error> {
    let Some(items) = object.object(number)? else { return Ok(Vec::new()) };
    let mut read: Vec<Dependency> = Vec::new();
    for value in items.values() {
        let item = object.tree().object(value)?.ok_or(Error::ApkField { field: list, why: "an item is absent" })?;
        let item = Dependency::read(item)?;
        // There can be several items of one name, such as `b>1 b<3`; apk orders those by the order in which they came.
        if read.last().is_some_and(|last| last.name > item.name || *last == item) {
            return Err(Error::ApkOrder { list });
        }
        read.push(item);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_print_as_they_are_read() {
        for text in [
            "a",
            "!a",
            "!a=1",
            "a<1_alpha",
            "b<=2",
            "f~6",
            "g<~7",
            "so:libz.so.1",
            "[x]/y,z",
            "/bin/sh",
            "]x",
            "k=6.6~0f-r1",
        ] {
            assert_eq!(text.parse::<Dependency>().unwrap().to_string(), text);
        }
        for text in ["", "!", "=1", "a=", "a=1_foo", "a b", "a (= 1)"] {
            assert_eq!(text.parse::<Dependency>().unwrap_err().id(), "DEP001", "{text:?}");
        }
    }

    #[test]
    fn provided_names_satisfy_by_their_own_version() {
        let dependency = |text: &str| text.parse::<Dependency>().unwrap();
        let info = Info {
            name: "libfoo3".into(),
            version: "1.0-r1".into(),
            provides: vec![Dependency::on("libfoo"), Dependency::exactly("libbar", "2")],
            ..Info::default()
        };
        for good in [
            "libfoo3",
            "libfoo3>=1.0",
            "libfoo3~1",
            "libfoo",
            "libbar",
            "libbar=2",
            "!other",
            "!libfoo3>2",
            "libfoo<1",
            "libfoo<=1",
        ] {
            assert!(info.satisfies(&dependency(good)), "{good}");
        }
        for bad in ["other", "libfoo3>2", "libfoo=1", "libfoo~1", "libfoo>=1", "libbar>2", "!libfoo3", "!libfoo3~1.0"] {
            assert!(!info.satisfies(&dependency(bad)), "{bad}");
        }
    }
}
