//! Control data: the text stanzas that describe a package, in the package and in an index.
//!
//! A [`Stanza`] is any block of `Field: value` lines; a [`Control`] is one whose fields describe a package.

use std::fmt;

use crate::depend::{self, Dependency, Provide, Term};
use crate::{Error, Package};

/// A stanza with more fields is refused.
const MOST_FIELDS: usize = 200;

/// Fields and values in their original order.
///
/// The lines of a value are joined by `\n`, without the blank that starts a continuation line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Sets a field; a new one is added at the end.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some(slot) => slot.1 = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| field != name);
    }

    /// All fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads exactly one stanza.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut stanzas = Self::parse_all(text)?;
        match stanzas.len() {
            1 => Ok(stanzas.remove(0)),
            0 => Err(Error::ControlSyntax { line: 1, why: "it is empty" }),
            _ => Err(Error::ControlSyntax { line: 1, why: "an empty line splits it into several" }),
        }
    }

    /// Reads stanzas separated by empty lines, as in `Packages` and opkg's `status`.
    pub fn parse_all(text: &[u8]) -> Result<Vec<Self>, Error> {
        blocks(text)
            .into_iter()
            .map(|lines| {
                let mut stanza = Stanza::default();
                lines.into_iter().try_for_each(|(number, line)| stanza.add_line(number, line))?;
                Ok(stanza)
            })
            .collect()
    }

    /// Reads stanzas one by one, so that a malformed one does not hide the others. Lines that say nothing about a
    /// package, which opkg ignores, are left out and reported.
    pub fn parse_each(text: &[u8]) -> Vec<Block> {
        blocks(text)
            .into_iter()
            .map(|lines| {
                let line = lines.first().map_or(0, |(number, _)| *number);
                let mut block = Block { line, stanza: Ok(Stanza::default()), ignored: Vec::new() };
                for (number, line) in lines {
                    let Ok(stanza) = &mut block.stanza else { break };
                    match stanza.add_line(number, line) {
                        Err(error) if says_nothing(line) => block.ignored.push(error),
                        Err(error) => block.stanza = Err(error),
                        Ok(()) => {}
                    }
                }
                block
            })
            .collect()
    }

    fn add_line(&mut self, number: usize, line: &[u8]) -> Result<(), Error> {
        let refuse = |why| Error::ControlSyntax { line: number, why };
        let line = std::str::from_utf8(line).map_err(|_| refuse("it is not UTF-8"))?;
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err(refuse("it has control characters, such as the line ends of Windows"));
        }
        if let Some(more) = line.strip_prefix([' ', '\t']) {
            let (_, value) = self.fields.last_mut().ok_or_else(|| refuse("it continues a field that is not there"))?;
            value.push('\n');
            value.push_str(more.trim_end());
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| refuse("it has no colon"))?;
        if !is_field_name(name) {
            return Err(refuse("a field name is letters, digits and dashes"));
        }
        if self.get(name).is_some() {
            return Err(refuse("the field is there twice"));
        }
        if self.fields.len() == MOST_FIELDS {
            return Err(refuse("there are too many fields"));
        }
        self.fields.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }
}

/// One stanza of a text, read as far as possible.
#[derive(Debug)]
pub struct Block {
    /// Its first line, from 1.
    pub line: usize,
    /// Its fields, or why it cannot be read.
    pub stanza: Result<Stanza, Error>,
    /// Lines that were left out, each with the reason.
    pub ignored: Vec<Error>,
}

/// The lines of each stanza, with their numbers from 1.
fn blocks(text: &[u8]) -> Vec<Vec<(usize, &[u8])>> {
    let mut blocks = Vec::new();
    let mut current = Vec::new();
    let mut lines = text.split(|&byte| byte == b'\n').enumerate().peekable();
    while let Some((position, line)) = lines.next() {
        // A line of blanks belongs to a description, unless the next package follows.
        let next_is_package = lines.peek().is_some_and(|(_, next)| next.starts_with(b"Package:"));
        let ends = line.is_empty() || line == b"\r" || next_is_package && line.iter().all(u8::is_ascii_whitespace);
        if !ends {
            current.push((position + 1, line));
        } else if !current.is_empty() {
            blocks.push(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        blocks.push(current);
    }
    blocks
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether a line is not one of the fields by which a package is found, fetched, checked or resolved.
fn says_nothing(line: &[u8]) -> bool {
    const SAYING: [&str; 16] = [
        "Package",
        "Version",
        "Architecture",
        "Depends",
        "Pre-Depends",
        "Conflicts",
        "Provides",
        "Replaces",
        "Alternatives",
        "Essential",
        "Status",
        "Filename",
        "Size",
        "SHA256sum",
        "MD5Sum",
        "MD5sum",
    ];
    let Ok(line) = std::str::from_utf8(line) else { return false };
    !line.contains(|c: char| c.is_control() && c != '\t')
        && line.split_once(':').is_none_or(|(name, _)| !SAYING.contains(&name))
}

/// Prints one line for each field, continuation lines with one blank in front. `Description` has a second blank after
/// its colon, as OpenWrt writes it.
impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields {
            let blank = if name == "Description" { " " } else { "" };
            writeln!(f, "{name}: {blank}{}", value.replace('\n', "\n "))?;
        }
        Ok(())
    }
}

/// The metadata of a package, parsed and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Published name, with ABI suffix.
    pub package: String,
    /// Version with release.
    pub version: String,
    /// OpenWrt architecture, or `all`.
    pub architecture: String,
    /// What must be installed too.
    pub depends: Vec<Dependency>,
    /// What must not be installed.
    pub conflicts: Vec<Term>,
    /// Other names that this package provides.
    pub provides: Vec<Provide>,
    /// Links managed by `alternatives`: `priority:path:target`.
    pub alternatives: Vec<String>,
    /// Bytes of the payload archive, uncompressed.
    pub installed_size: Option<u64>,
    /// Every field as it was written.
    pub stanza: Stanza,
}

impl Control {
    /// Checks the fields of a stanza; those that opkg needs must be there.
    pub fn new(stanza: Stanza) -> Result<Self, Error> {
        let required =
            |field| stanza.get(field).filter(|value| !value.is_empty()).ok_or(Error::ControlMissing { field });
        let package = required("Package")?;
        let version = required("Version")?;
        let architecture = required("Architecture")?;
        if !is_package_name(package) {
            return Err(bad_value(
                "Package",
                package,
                "a name is letters, digits and + . _ -, a letter or digit first",
            ));
        }
        if !depend::is_version(version) {
            return Err(bad_value(
                "Version",
                version,
                "a version is letters, digits and . + ~ _ : -, a letter or digit first",
            ));
        }
        if !architecture.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c)) {
            return Err(bad_value("Architecture", architecture, "it has characters that architectures do not have"));
        }
        let text = |field| stanza.get(field).unwrap_or_default();
        let installed_size = match stanza.get("Installed-Size") {
            None => None,
            Some(value) => {
                Some(value.parse().map_err(|_| bad_value("Installed-Size", value, "it is not a number of bytes"))?)
            }
        };
        Ok(Control {
            package: package.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
            depends: depend::list(text("Depends"))?,
            conflicts: depend::list(text("Conflicts"))?,
            provides: depend::provides(text("Provides"))?,
            alternatives: text("Alternatives")
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
            installed_size,
            stanza,
        })
    }

    /// Reads and checks one stanza.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        Self::new(Stanza::parse(text)?)
    }

    /// Whether this package satisfies the term, by its own name or a provided one. Provided names have no version: opkg
    /// compares the constraint with the package's own version, so `libfoo (>= 1)` accepts the package `libfoo3` that
    /// provides `libfoo`.
    pub fn satisfies(&self, term: &Term) -> bool {
        // opkg treats `x=1` as a whole name, which hardly anybody depends on.
        let provides = || self.provides.iter().any(|provide| provide.version.is_none() && provide.name == term.name);
        (self.package == term.name || provides()) && term.accepts(&term.name, &self.version)
    }
}

fn bad_value(field: &'static str, value: &str, why: &'static str) -> Error {
    Error::ControlValue { field, value: value.chars().take(80).collect(), why }
}

/// Whether a text is a package name. It becomes a file name, so the rules are strict.
pub(crate) fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 128
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+._-".contains(c))
}

/// The control data of a plan, with the fields in OpenWrt's order, empty ones left out.
///
/// `installed_size` is the length of the uncompressed payload archive.
pub fn of_package(package: &Package, installed_size: u64) -> Result<Control, Error> {
    let mut provides = package.provides.clone();
    if package.full_name() != package.name {
        provides = std::iter::once(Provide::name(&package.name))
            .chain(provides.into_iter().flat_map(|provide| {
                let suffixed = Provide::name(package.with_abi(&provide.name));
                [provide, suffixed]
            }))
            .collect();
    }
    let provides: Vec<_> = provides.iter().map(|provide| provide.name.as_str()).collect();
    let epoch = if package.source_date_epoch == 0 { String::new() } else { package.source_date_epoch.to_string() };
    let flag = |set, text: &str| if set { text.to_owned() } else { String::new() };
    let fields = [
        ("Package", package.full_name()),
        ("Version", package.version.clone()),
        ("Depends", depend::join(&package.depends)),
        ("Conflicts", depend::join(&package.conflicts)),
        ("Provides", provides.join(", ")),
        ("Alternatives", package.alternatives.join(", ")),
        ("Source", package.source.clone()),
        ("SourceName", package.source_name.clone()),
        ("License", package.license.clone()),
        ("LicenseFiles", package.license_files.clone()),
        ("Section", package.section.clone()),
        ("Require-User", package.require_user.clone()),
        ("SourceDateEpoch", epoch),
        ("URL", package.url.clone()),
        ("ABIVersion", package.abi_version.clone()),
        ("CPE-ID", package.cpe_id.clone()),
        ("Status", flag(package.hold, "unknown hold not-installed")),
        ("Essential", flag(package.essential, "yes")),
        ("Maintainer", package.maintainer.clone()),
        ("Architecture", package.architecture.clone()),
        ("Installed-Size", installed_size.to_string()),
    ];
    let mut stanza = Stanza::default();
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        if value.contains(char::is_control) {
            return Err(bad_value(name, &value, "a field of a plan is one line without control characters"));
        }
        stanza.set(name, value.trim());
    }
    // Blanks at the start of a source line collapse into the one that starts a continuation line.
    let lines: Vec<&str> = package.description.trim().lines().map(str::trim).collect();
    if lines.iter().any(|line| line.contains(char::is_control)) {
        return Err(bad_value("Description", &package.description, "it has control characters"));
    }
    stanza.set("Description", lines.join("\n"));
    Control::new(stanza)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELLO: &str = "Package: hello\nVersion: 1\nArchitecture: all\nDescription:  A\n B\n";

    #[test]
    fn prints_what_it_read() {
        let stanza = Stanza::parse(HELLO.as_bytes()).unwrap();
        assert_eq!(stanza.to_string(), HELLO);
        assert_eq!(stanza.get("Description"), Some("A\nB"));
        assert_eq!(Stanza::parse_all(format!("{HELLO}\n\n{HELLO}\n").as_bytes()).unwrap().len(), 2);
        assert_eq!(Stanza::parse_all(b"\n").unwrap(), []);
    }

    #[test]
    fn fields_can_be_set_and_removed() {
        let mut stanza = Stanza::default();
        stanza.set("A", "1");
        stanza.set("B", "2");
        stanza.set("A", "3");
        stanza.remove("B");
        assert_eq!(stanza.fields().collect::<Vec<_>>(), [("A", "3")]);
    }

    #[test]
    fn syntax_that_opkg_would_guess_at_is_refused() {
        for text in [
            "",
            "\n",
            "A: 1\n\nB: 2\n",
            " x\n",
            "novalue\n",
            ": x\n",
            "A b: x\n",
            "A: 1\r\n",
            "A: 1\nA: 2\n",
            "A: \0\n",
        ] {
            assert_eq!(Stanza::parse(text.as_bytes()).unwrap_err().id(), "CTL001", "{text:?}");
        }
        assert_eq!(Stanza::parse(b"A: \xff\n").unwrap_err().id(), "CTL001");
        let many: String = (0..=MOST_FIELDS).map(|n| format!("F{n}: x\n")).collect();
        assert_eq!(Stanza::parse(many.as_bytes()).unwrap_err().id(), "CTL001");
    }

    #[test]
    fn a_package_needs_name_version_and_architecture() {
        for field in ["Package", "Version", "Architecture"] {
            let text: String =
                HELLO.lines().filter(|line| !line.starts_with(field)).map(|line| format!("{line}\n")).collect();
            assert_eq!(Control::parse(text.as_bytes()).unwrap_err().id(), "CTL002");
        }
        for (good, bad) in [
            ("Package: hello", "Package: ../../x"),
            ("Package: hello", "Package: -x"),
            ("Version: 1", "Version: 1/2"),
            ("Architecture: all", "Architecture: a b"),
            ("Version: 1", "Version: 1\nInstalled-Size: -1"),
        ] {
            assert_eq!(Control::parse(HELLO.replace(good, bad).as_bytes()).unwrap_err().id(), "CTL003", "{bad}");
        }
    }

    #[test]
    fn a_provided_name_satisfies_by_the_version_of_its_package() {
        let control = Control::parse(HELLO.replace("Version: 1", "Version: 1\nProvides: greeting").as_bytes()).unwrap();
        let satisfies = |term: &str| control.satisfies(&term.parse().unwrap());
        assert!(satisfies("hello") && satisfies("hello (>= 1)") && satisfies("greeting") && satisfies("greeting (=1)"));
        assert!(!satisfies("hello (>= 2)") && !satisfies("greeting (>= 2)") && !satisfies("other"));
    }

    #[test]
    fn a_field_cannot_smuggle_in_another() {
        let plan = |license: &str, name: &str| Package {
            name: name.into(),
            version: "1".into(),
            architecture: "all".into(),
            license: license.into(),
            ..Package::default()
        };
        assert_eq!(of_package(&plan("MIT\nEssential: yes", "a"), 0).unwrap_err().id(), "CTL003");
        assert_eq!(of_package(&plan("MIT", ""), 0).unwrap_err().id(), "CTL002");
        assert!(of_package(&plan("MIT", "a"), 0).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Control::parse(&bytes);
        }

        #[test]
        fn a_good_stanza_survives_a_round_trip(values in prop::collection::btree_map("[A-Z][A-Za-z-]{0,8}", "([!-~]([ -~]{0,10}[!-~])?)?", 1..8)) {
            let mut stanza = Stanza::default();
            for (name, value) in values {
                stanza.set(name, value);
            }
            prop_assert_eq!(Stanza::parse(stanza.to_string().as_bytes()).unwrap(), stanza);
        }
    }
}
