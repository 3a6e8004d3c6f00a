//! The Makefile with which an SDK compiles a kmod from source: the recipe in the terms of include/kernel.mk.
//!
//! The source is beside it in `src/`, which OpenWrt's build copies to where it compiles. The Makefile does not name
//! kernel options: if one is not set, `KCONFIG` would make an empty package and exit with 0.

use std::fmt::Write as _;

use crate::recipe::{Kmod, Line, Source};

/// The folder with the kmod's other files.
pub(super) const FILES: &str = "files";

/// The text of the Makefile. `depends` are those kmods among its dependencies that this kernel has.
pub(super) fn text(kmod: &Kmod, source: &Source, line: Line, depends: &[&str]) -> String {
    let modules: Vec<&str> =
        kmod.modules.iter().filter(|module| module.applies_to(line)).map(|module| module.name.as_str()).collect();
    let (short, package) = (kmod.short_name(), &kmod.package);
    let files = modules.iter().map(|name| format!("$(PKG_BUILD_DIR)/{name}.ko")).collect::<Vec<_>>().join(" ");
    let depends = depends.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    let boot = if kmod.autoload.boot { ",1" } else { "" };
    let autoload = match kmod.autoload.priority {
        Some(priority) => format!("AutoLoad,{priority:02},{}{boot}", modules.join(" ")),
        None => format!("AutoProbe,{}{boot}", modules.join(" ")),
    };
    let own: String = source.make.iter().map(|(name, value)| format!(" {name}={}", shell_word(value))).collect();
    let mut text = format!(
        "# Written by cargo xtask from the recipe of {package}.\n\n\
         include $(TOPDIR)/rules.mk\n\
         include $(INCLUDE_DIR)/kernel.mk\n\n\
         PKG_NAME:={package}\n\
         PKG_VERSION:={}\n\
         PKG_RELEASE:={}\n\
         PKG_LICENSE:={}\n\
         PKG_MAINTAINER:={}\n\n\
         include $(INCLUDE_DIR)/package.mk\n\n\
         define KernelPackage/{short}\n  \
         SUBMENU:=Other modules\n  \
         TITLE:={}\n  \
         DEPENDS:={depends}\n  \
         FILES:={files}\n  \
         AUTOLOAD:=$(call {autoload})\n\
         endef\n\n\
         define Build/Compile\n\
         \t+$(KERNEL_MAKE) $(PKG_JOBS) M=\"$(PKG_BUILD_DIR)\"{own} modules\n",
        source.version,
        source.release,
        literal(&source.license),
        literal(crate::kmod::MAINTAINER),
        literal(&kmod.title),
    );
    // A Kbuild file may build modules in subfolders.
    for name in &modules {
        let _infallible = writeln!(
            text,
            "\tfind $(PKG_BUILD_DIR) -mindepth 2 -name '{name}.ko' -exec $(CP) {{}} $(PKG_BUILD_DIR)/ \\;"
        );
    }
    text.push_str("endef\n\n");
    if !kmod.files.is_empty() {
        let _infallible = write!(text, "define KernelPackage/{short}/install\n\t$(CP) ./{FILES}/* $(1)/\nendef\n\n");
    }
    let _infallible = writeln!(text, "$(eval $(call KernelPackage,{short}))");
    text
}

/// Escapes a text for `make`.
fn literal(text: &str) -> String {
    text.replace('$', "$$").replace('#', "\\#")
}

/// Quotes a word for the shell of a make rule.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_becomes_a_makefile() {
        let folder = tempfile::tempdir().unwrap();
        let root = camino::Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(root.join("Kbuild"), "").unwrap();
        let recipe = "version: 1\npackage: kmod-own\ntitle: \"Own, for $5 #1\"\n\
            source: {path: ., make: {CONFIG_OWN: m, WORDS: \"it's $x\"}, version: \"2.3\", release: 4, license: MIT}\n\
            modules: [{name: own}, {name: late, since: \"6.18\"}, {name: own_more}]\ndepends: [kmod-base]\n\
            autoload: {priority: 9, boot: true}\nfiles: [{path: etc/own.conf, text: x}]\n";
        std::fs::write(root.join("kmod-own.yaml"), recipe).unwrap();
        std::fs::write(root.join("kmod-base.yaml"), "version: 1\npackage: kmod-base\ntitle: b\nempty: x\n").unwrap();
        let recipes = crate::Recipes::load(&[root.to_owned()]).unwrap();
        let kmod = &recipes.kmods["kmod-own"];
        let text = text(kmod, kmod.source.as_ref().unwrap(), "6.12".parse().unwrap(), &["kmod-base"]);
        for line in [
            "PKG_NAME:=kmod-own",
            "PKG_VERSION:=2.3",
            "PKG_RELEASE:=4",
            "PKG_LICENSE:=MIT",
            "define KernelPackage/own",
            "  TITLE:=Own, for $$5 \\#1",
            "  DEPENDS:=+kmod-base",
            "  FILES:=$(PKG_BUILD_DIR)/own.ko $(PKG_BUILD_DIR)/own_more.ko",
            "  AUTOLOAD:=$(call AutoLoad,09,own own_more,1)",
            "\t+$(KERNEL_MAKE) $(PKG_JOBS) M=\"$(PKG_BUILD_DIR)\" CONFIG_OWN='m' WORDS='it'\\''s $$x' modules",
            "\t$(CP) ./files/* $(1)/",
            "$(eval $(call KernelPackage,own))",
        ] {
            assert!(text.lines().any(|known| known == line), "no `{line}` in:\n{text}");
        }
        assert!(!text.contains("late"), "{text}");
        let kernel = text.find("kernel.mk").unwrap();
        assert!(kernel < text.find("PKG_NAME").unwrap() && kernel < text.find("package.mk").unwrap());
    }
}
