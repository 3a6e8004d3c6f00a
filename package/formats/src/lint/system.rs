//! Files that the router's own programs read: settings, init scripts, hotplug scripts, rpcd and LuCI files,
//! alternatives, permissions.

use std::collections::BTreeMap;

use super::Rule;
use super::set::Set;
use super::shell;
use crate::opened::{Opened, is_json, is_script, is_text};
use crate::package::Kind;
use model::{Finding, Severity};

static FOLDER_MODE: Rule = Rule {
    id: "LINT601",
    severity: Severity::Error,
    title: "system folder with another mode",
    why: "opkg changes the mode of existing folders: with a group-writable /etc dropbear accepts no key any more, and \
          a private /usr stops every service that does not run as root",
    fix: "install it with mode 0755 (INSTALL_DIR), or leave the folder out",
};

static NO_CONFFILE: Rule = Rule {
    id: "LINT602",
    severity: Severity::Error,
    title: "settings that an upgrade overwrites",
    why: "what is below /etc/config belongs to the user, and only a listed conffile survives an upgrade of its \
          package or of the system",
    fix: "list it in Package/conffiles",
};

static NOT_EXECUTABLE: Rule = Rule {
    id: "LINT603",
    severity: Severity::Error,
    title: "program that is not executable",
    why: "nothing can start it: an init script fails already while its package is installed",
    fix: "install it with mode 0755 (INSTALL_BIN)",
};

static CARRIAGE_RETURN: Rule = Rule {
    id: "LINT604",
    severity: Severity::Error,
    title: "script with the line ends of Windows",
    why: "the carriage return becomes part of the interpreter's name and of the last word of every line, and neither \
          exists",
    fix: "save it with line feeds only (dos2unix)",
};

static BROKEN_SCRIPT: Rule = Rule {
    id: "LINT605",
    severity: Severity::Error,
    title: "script with a syntax error",
    why: "the shell stops there, so the rest of the script is not run",
    fix: "close what is open (`sh -n` shows the line)",
};

static NO_INIT_SCRIPT: Rule = Rule {
    id: "LINT606",
    severity: Severity::Warning,
    title: "file in /etc/init.d that is not an init script",
    why: "services are enabled and started through /etc/rc.common, which the first line must name",
    fix: "begin it with `#!/bin/sh /etc/rc.common`",
};

static SAME_PRIORITY: Rule = Rule {
    id: "LINT607",
    severity: Severity::Warning,
    title: "two packages offer one link with the same priority",
    why: "if both are installed, opkg links to either of them, and apk's functions make no link",
    fix: "give one of them another priority in ALTERNATIVES",
};

static BROKEN_ALTERNATIVE: Rule = Rule {
    id: "LINT608",
    severity: Severity::Error,
    title: "alternative that is not usable",
    why: "the link dangles, or is silently ignored",
    fix: "write `PRIORITY:/path/of/link:/path/of/program` with a program that the package ships",
};

static BROKEN_JSON: Rule = Rule {
    id: "LINT609",
    severity: Severity::Error,
    title: "JSON that cannot be read",
    why: "rpcd and LuCI silently ignore the whole file: permissions are missing, pages do not appear",
    fix: "correct it at the named position (`python3 -m json.tool` shows it)",
};

static UNNAMEABLE: Rule = Rule {
    id: "LINT610",
    severity: Severity::Warning,
    title: "settings file with a name that uci cannot use",
    why: "on uci's command line and in scripts a dot or equals sign ends the file's name, and names with blanks or \
          other characters are ignored",
    fix: "use only letters, digits, `-` and `_` in the name, or move files that are not uci's elsewhere",
};

static ODD_USER: Rule = Rule {
    id: "LINT611",
    severity: Severity::Warning,
    title: "user or group that is not created correctly",
    why: "the router's functions use it unchecked: an account with another one's number has that one's rights, and \
          something that is not a number breaks a line of /etc/passwd or /etc/group",
    fix: "write `USERID:=name=number:group=number` with unused numbers, or without numbers",
};

pub(super) const RULES: &[&Rule] = &[
    &FOLDER_MODE,
    &NO_CONFFILE,
    &NOT_EXECUTABLE,
    &CARRIAGE_RETURN,
    &BROKEN_SCRIPT,
    &NO_INIT_SCRIPT,
    &SAME_PRIORITY,
    &BROKEN_ALTERNATIVE,
    &BROKEN_JSON,
    &UNNAMEABLE,
    &ODD_USER,
];

/// Folders of every image, which have mode 0755.
const SYSTEM: [&str; 27] = [
    "bin",
    "etc",
    "etc/apk",
    "etc/config",
    "etc/hotplug.d",
    "etc/init.d",
    "etc/modules.d",
    "etc/opkg",
    "etc/rc.d",
    "etc/ssl",
    "etc/uci-defaults",
    "lib",
    "lib/modules",
    "lib/netifd",
    "lib/preinit",
    "lib/upgrade",
    "sbin",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/libexec",
    "usr/libexec/rpcd",
    "usr/sbin",
    "usr/share",
    "usr/share/rpcd",
    "www",
    "www/cgi-bin",
];
/// Folders whose files are started as programs.
const PROGRAMS: [&str; 7] =
    ["etc/init.d/", "bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/libexec/rpcd/", "www/cgi-bin/"];

/// Users and groups of every image.
const USERS: [(&str, u32); 5] = [("root", 0), ("daemon", 1), ("ftp", 55), ("network", 101), ("nobody", 65534)];
const GROUPS: [(&str, u32); 11] = [
    ("root", 0),
    ("daemon", 1),
    ("adm", 4),
    ("mail", 8),
    ("dialout", 20),
    ("audio", 29),
    ("www-data", 33),
    ("ftp", 55),
    ("users", 100),
    ("network", 101),
    ("nogroup", 65534),
];

/// One package.
pub(super) fn check(subject: &Opened, findings: &mut Vec<Finding>) {
    for file in &subject.files {
        let (path, mode) = (file.entry.path.as_str(), file.entry.mode);
        let mut report = |rule: &'static Rule, what: String| findings.push(rule.within(&subject.path, path, what));
        let is_file = matches!(file.entry.kind, Kind::File(_) | Kind::HardLink(_));
        // A folder that is writable for everybody has a finding of its own.
        if file.entry.kind == Kind::Dir && SYSTEM.contains(&path) && mode & 0o777 != 0o755 && mode & 0o002 == 0 {
            report(&FOLDER_MODE, format!("its mode is {mode:04o}"));
        }
        if path.starts_with("etc/config/") && is_file && !is_conffile(subject, path) {
            report(&NO_CONFFILE, "it is not a conffile".to_owned());
        }
        let settings = path.strip_prefix("etc/config/").filter(|name| is_file && !name.contains('/'));
        if let Some(odd) = settings.and_then(|name| name.chars().find(|c| ".=".contains(*c) || !c.is_ascii_graphic())) {
            report(&UNNAMEABLE, format!("its name contains {odd:?}"));
        }
        let is_program =
            PROGRAMS.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| !rest.contains('/')));
        if is_program && is_file && mode & 0o111 == 0 {
            report(&NOT_EXECUTABLE, format!("its mode is {mode:04o}"));
        }
        // An empty file has no content to examine.
        let empty = (is_file && file.length == 0 && is_text(path)).then_some("");
        let Some(text) = file.facts.text.as_deref().or(empty) else { continue };
        if is_script(path) {
            check_script(text, &mut report);
        }
        if path.starts_with("etc/init.d/") && !text.lines().next().is_some_and(|line| line.contains("/etc/rc.common")) {
            let what =
                if text.trim().is_empty() { "it is empty" } else { "its first line does not name /etc/rc.common" };
            report(&NO_INIT_SCRIPT, what.to_owned());
        }
        if is_json(path)
            && let Err(error) = serde_json::from_str::<serde_json::Value>(text)
        {
            report(&BROKEN_JSON, error.to_string());
        }
    }
    for script in &subject.scripts {
        let mut report = |rule: &'static Rule, what: String| {
            findings.push(rule.breach(format!("{}: {}", subject.path, script.name), &what));
        };
        check_script(&script.text, &mut report);
    }
    for user in &subject.users {
        if let Some(problem) = user_problem(user) {
            findings.push(ODD_USER.at(&subject.path, format!("`{user}`: {problem}")));
        }
    }
    for alternative in &subject.alternatives {
        if let Some(problem) = alternative_problem(subject, alternative) {
            findings.push(BROKEN_ALTERNATIVE.at(&subject.path, format!("`{alternative}`: {problem}")));
        }
    }
}

/// A listed folder covers the files in it.
fn is_conffile(subject: &Opened, path: &str) -> bool {
    subject.conffiles.iter().any(|(listed, _)| {
        let listed = listed.trim().trim_start_matches('/');
        listed == path || listed.ends_with('/') && path.starts_with(listed)
    })
}

fn check_script(text: &str, report: &mut impl FnMut(&'static Rule, String)) {
    if !shell::is_shell(text) && !text.starts_with("#!/bin/sh\r") {
        return;
    }
    if let Some(number) = text.split('\n').position(|line| line.ends_with('\r')) {
        report(&CARRIAGE_RETURN, format!("line {} ends with a carriage return", number + 1));
    } else if let Some((line, why)) = shell::scan(text).broken {
        report(&BROKEN_SCRIPT, format!("line {line}: {why}"));
    }
}

/// What is wrong with `user=number:group=number:group=number,…`, in which everything but one name is optional.
fn user_problem(item: &str) -> Option<String> {
    let mut parts = item.splitn(3, ':');
    let (user, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let more = parts.next().unwrap_or_default().split(',').map(|group| (group, &GROUPS[..]));
    [(user, &USERS[..]), (group, &GROUPS[..])].into_iter().chain(more).find_map(|(word, own)| {
        let (name, number) = word.split_once('=').map_or((word, None), |(name, number)| (name, Some(number)));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let number = number?;
        let Ok(value) = number.parse::<u32>() else { return Some(format!("`{number}` is not a number")) };
        if name.is_empty() || !name.chars().all(is_plain) {
            return Some(format!("`{name}` is not a name"));
        }
        let (owner, _) = own.iter().find(|(owner, taken)| *taken == value && *owner != name)?;
        Some(format!("the number {value} is that of {owner}"))
    })
}

/// `priority:link:program`
fn parts(alternative: &str) -> Option<(i64, &str, &str)> {
    let mut parts = alternative.splitn(3, ':');
    let priority = parts.next()?.trim().parse().ok()?;
    Some((priority, parts.next()?, parts.next().filter(|program| !program.is_empty())?))
}

fn alternative_problem(subject: &Opened, alternative: &str) -> Option<&'static str> {
    let Some((_, link, program)) = parts(alternative) else { return Some("it is not `priority:link:program`") };
    if !link.starts_with('/') {
        return Some("the link is not absolute");
    }
    if subject.files.iter().any(|file| file.entry.path == link.trim_start_matches('/')) {
        return Some("the link is a file of the package itself");
    }
    (program.starts_with('/') && !subject.has(program.trim_start_matches('/')))
        .then_some("the package does not ship the program")
}

/// Problems between packages that can be installed together.
pub(super) fn check_set(set: &Set<'_>, findings: &mut Vec<Finding>) {
    let mut links: BTreeMap<(&str, i64), &Opened> = BTreeMap::new();
    for subject in &set.subjects {
        for (priority, link, _) in subject.alternatives.iter().filter_map(|alternative| parts(alternative)) {
            let first = *links.entry((link, priority)).or_insert(subject);
            if first.name != subject.name && !first.excludes(subject) {
                let what = format!("{} and {} both offer {link} with priority {priority}", first.name, subject.name);
                findings.push(SAME_PRIORITY.at(&subject.path, what));
            }
        }
    }
}
