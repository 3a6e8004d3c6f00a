//! What programs, modules and lists say about themselves, learnt while their bytes pass by.

use std::io::{self, Read};

use crate::elf::Elf;
use crate::modinfo::ModuleInfo;

/// Largest ELF file that is looked into, in bytes.
pub(crate) const LARGEST_ELF: u64 = 64 << 20;
/// Largest list whose text is kept.
const LARGEST_TEXT: u64 = 1 << 20;
/// Folders of scripts whose text is looked into.
const SCRIPTS: [&str; 7] = [
    "etc/init.d/",
    "etc/uci-defaults/",
    "etc/hotplug.d/",
    "etc/profile.d/",
    "lib/preinit/",
    "usr/libexec/rpcd/",
    "www/cgi-bin/",
];
/// Folders of JSON that rpcd and LuCI read.
const JSON: [&str; 2] = ["usr/share/rpcd/acl.d/", "usr/share/luci/menu.d/"];

/// What was learnt from a file.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) elf: Option<Elf>,
    /// A program that was too large to be looked into.
    pub(crate) too_large: bool,
    /// What a kernel module says about itself, or why it cannot be loaded.
    pub(crate) module: Option<Result<ModuleInfo, String>>,
    /// The text of lists that rules look into.
    pub(crate) text: Option<String>,
}

/// Looks into programs, modules and the lists that rules go by.
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

/// Lists of modules to load, of modules that are part of the kernel, and apk's of settings.
fn is_list(path: &str) -> bool {
    path.starts_with("etc/modules.d/")
        || path.starts_with("etc/modules-boot.d/")
        || path.starts_with("lib/modules/") && path.ends_with("/modules.builtin")
        || path.starts_with("lib/apk/packages/")
}

/// Whether the text of a file is kept for the rules.
pub(crate) fn is_text(path: &str) -> bool {
    is_script(path) || is_json(path)
}

/// A script that the system starts or reads.
pub(crate) fn is_script(path: &str) -> bool {
    SCRIPTS.iter().any(|folder| path.starts_with(folder))
}

/// A list that rpcd or LuCI reads.
pub(crate) fn is_json(path: &str) -> bool {
    path.ends_with(".json") && JSON.iter().any(|folder| path.starts_with(folder))
}
