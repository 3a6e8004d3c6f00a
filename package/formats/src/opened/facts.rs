//! What programs, modules and lists say about themselves, gathered while their bytes are read.

use std::io::{self, Read};

use crate::elf::Elf;
use crate::modinfo::ModuleInfo;

/// The largest ELF file that is examined, in bytes.
pub(crate) const LARGEST_ELF: u64 = 64 << 20;
/// The largest list whose text is kept, in bytes.
const LARGEST_TEXT: u64 = 1 << 20;
/// Folders of scripts whose text is examined.
const SCRIPTS: [&str; 7] = [
    "etc/init.d/",
    "etc/uci-defaults/",
    "etc/hotplug.d/",
    "etc/profile.d/",
    "lib/preinit/",
    "usr/libexec/rpcd/",
    "www/cgi-bin/",
];
/// Folders of the JSON files that rpcd and LuCI read.
const JSON: [&str; 2] = ["usr/share/rpcd/acl.d/", "usr/share/luci/menu.d/"];

/// What was learnt about a file.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) elf: Option<Elf>,
    /// Whether it is a program that was too large to be examined.
    pub(crate) too_large: bool,
    /// The metadata of a kernel module, or why it cannot be loaded.
    pub(crate) module: Option<Result<ModuleInfo, String>>,
    /// The text of a list or script that rules check.
    pub(crate) text: Option<String>,
}

/// Examines programs, modules, and the lists and scripts that rules check.
pub(super) fn facts(path: &str, length: u64, content: &mut dyn Read) -> io::Result<Facts> {
    let mut facts = Facts::default();
    let is_module = path.starts_with("lib/modules/") && path.contains(".ko");
    if is_module && !path.ends_with(".ko") {
        facts.module = Some(Err("it is compressed, and kmodloader reads plain files only".to_owned()));
        return Ok(facts);
    }
    let mut bytes = Vec::new();
    content.take(4).read_to_end(&mut bytes)?;
    if bytes != *b"\x7fELF" && (is_list(path) || is_text(path)) && length <= LARGEST_TEXT {
        content.read_to_end(&mut bytes)?;
        facts.text = Some(String::from_utf8_lossy(&bytes).into_owned());
        return Ok(facts);
    }
    if bytes == *b"\x7fELF" {
        if length > LARGEST_ELF {
            facts.too_large = true;
            return Ok(facts);
        }
        content.read_to_end(&mut bytes)?;
        facts.elf = Elf::read(&bytes);
    }
    if is_module {
        facts.module = Some(ModuleInfo::read(&bytes).map_err(|error| error.to_string()));
    }
    Ok(facts)
}

/// Lists of modules to load, lists of built-in modules, and apk's lists of conffiles.
fn is_list(path: &str) -> bool {
    path.starts_with("etc/modules.d/")
        || path.starts_with("etc/modules-boot.d/")
        || path.starts_with("lib/modules/") && path.ends_with("/modules.builtin")
        || path.starts_with("lib/apk/packages/")
}

/// Whether rules check the text of a file.
pub(crate) fn is_text(path: &str) -> bool {
    is_script(path) || is_json(path)
}

/// Whether it is a script that the system starts or sources.
pub(crate) fn is_script(path: &str) -> bool {
    SCRIPTS.iter().any(|folder| path.starts_with(folder))
}

/// Whether it is a JSON file that rpcd or LuCI reads.
pub(crate) fn is_json(path: &str) -> bool {
    path.ends_with(".json") && JSON.iter().any(|folder| path.starts_with(folder))
}
