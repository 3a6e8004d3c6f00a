//! The user's own feed: Makefiles as written for OpenWrt, with the miniature's `scripts/feeds` and `package.mk`.

use std::process::Command;

use formats::depend::Dependency;
use formats::opened::Opened;
use formats::{Content, Entry, Package};

use super::super::mini::elf;
use super::*;

const TOOL: &str = "include $(TOPDIR)/rules.mk
PKG_NAME:=tool
PKG_VERSION:=1.2
PKG_RELEASE:=3
include $(INCLUDE_DIR)/package.mk
define Package/tool
  TITLE:=A tool
  DEPENDS:=+libc +kmod-base
endef
define Package/tool/conffiles
/etc/config/tool
endef
define Package/tool/install
\t$(INSTALL_DIR) $(1)/usr/bin $(1)/etc/config
\t$(INSTALL_BIN) $(PKG_BUILD_DIR)/tool $(1)/usr/bin/
\t$(INSTALL_CONF) ./files/tool.conf $(1)/etc/config/tool
endef
define Package/tool-scripts
  TITLE:=Its scripts
  DEPENDS:=+tool
  PKGARCH:=all
endef
define Package/tool-scripts/install
\t$(INSTALL_DIR) $(1)/usr/bin
\t$(INSTALL_BIN) ./files/tool.sh $(1)/usr/bin/tool.sh
endef
$(eval $(call BuildPackage,tool))
$(eval $(call BuildPackage,tool-scripts))
";

const KMOD: &str = "include $(TOPDIR)/rules.mk
include $(INCLUDE_DIR)/kernel.mk
PKG_NAME:=mine
PKG_VERSION:=0.4
PKG_RELEASE:=1
include $(INCLUDE_DIR)/package.mk
define KernelPackage/mine
  TITLE:=Mine
  DEPENDS:=+kmod-base
  FILES:=$(PKG_BUILD_DIR)/mine.ko
  AUTOLOAD:=$(call AutoLoad,30,mine)
endef
define Build/Compile
\t+$(KERNEL_MAKE) M=\"$(PKG_BUILD_DIR)\" modules
endef
$(eval $(call KernelPackage,mine))
";

/// A feed beside the SDK.
fn feed(lab: &Lab) -> Utf8PathBuf {
    let root = lab.path("my-feed");
    for (path, text) in [
        ("utils/tool/Makefile", TOOL),
        ("utils/tool/src/Makefile", "tool: tool.c\n\t$(CC) $(CFLAGS) -o tool tool.c\n"),
        ("utils/tool/src/tool.c", "int main(void)\n{\n\treturn 0;\n}\n"),
        ("utils/tool/files/tool.conf", "config tool\n"),
        ("utils/tool/files/tool.sh", "#!/bin/sh\n"),
        ("kernel/mine/Makefile", KMOD),
        ("kernel/mine/src/Kbuild", "obj-m := mine.o\n"),
        ("kernel/mine/src/mine.c", "/* as it is */\n"),
    ] {
        put(&root.join(path), text);
    }
    root
}

fn put(path: &Utf8Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A lab with the feed, and the results that the miniature takes from its pretended compiler.
fn lab(format: Format) -> (Lab, Utf8PathBuf) {
    let module = elf(&format!("vermagic={VERSION} SMP mod_unload \0license=GPL\0depends=\0"));
    let mut lab = Lab::with(format, |sdk| sdk.compiled = vec![("mine", &*module.clone().leak())].leak());
    let root = feed(&lab);
    lab.own = Some(FeedFolder::read(&root).unwrap());
    (lab, root)
}

fn names(built: &[BuiltPackage]) -> Vec<&str> {
    built.iter().map(|package| package.name.as_str()).filter(|name| !NAMES.contains(name)).collect()
}

fn edit(root: &Utf8Path, file: &str, from: &str, to: &str) {
    let path = root.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} does not hold `{from}`");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn makefiles_as_they_are_become_checked_packages() {
    let (mut lab, root) = lab(Format::Ipk);
    let built = lab.build().unwrap();
    assert_eq!(names(&built), ["kmod-mine", "tool", "tool-scripts"]);
    let opened = |name: &str| {
        let file = &built.iter().find(|package| package.name == name).unwrap().file;
        let bytes = std::fs::File::open(file).unwrap();
        Opened::read(file.as_str(), Format::Ipk, bytes, &formats::Limits::default()).unwrap()
    };
    let (kmod, tool, scripts) = (opened("kmod-mine"), opened("tool"), opened("tool-scripts"));
    assert_eq!((kmod.version.as_str(), kmod.autoloaded()), ("6.12.94.0.4-r1", vec!["mine".to_owned()]));
    assert_eq!(kmod.kernel(), Some(format!("{VERSION}~{HASH}-r1").as_str()));
    assert_eq!((tool.version.as_str(), tool.source.as_str()), ("1.2-r3", "own-feed/utils/tool"));
    assert_eq!(scripts.architecture, "all");
    assert!(tool.has("usr/bin/tool") && tool.has("etc/config/tool") && tool.fields["sourcedateepoch"] == "1750711236");
    // A second build gives the same bytes; what changed is rebuilt, and removed packages leave nothing.
    let before = digests(&built);
    assert_eq!(digests(&lab.build().unwrap()), before);
    let feed = root;
    edit(&feed, "utils/tool/Makefile", "PKG_VERSION:=1.2", "PKG_VERSION:=1.3");
    std::fs::remove_dir_all(feed.join("kernel")).unwrap();
    lab.own = Some(FeedFolder::read(&feed).unwrap());
    let built = lab.build().unwrap();
    assert_eq!(names(&built), ["tool", "tool-scripts"]);
    assert_eq!(built.iter().find(|package| package.name == "tool").unwrap().version, "1.3-r3");
    lab.own = None;
    assert!(names(&lab.build().unwrap()).is_empty());
}

/// What apk makes of the feed's Makefiles for this kernel: there is no apk on the host, so the miniature takes these.
fn as_apk(lab: &Lab, kernel: &str) {
    let module = elf(&format!("vermagic={VERSION} SMP mod_unload \0license=GPL\0depends=\0"));
    let package = |name: &str, version: &str, source: &str, depends: &[&str], files| Package {
        name: name.into(),
        version: version.into(),
        architecture: if name == "tool-scripts" { "noarch" } else { "x86_64" }.into(),
        description: name.into(),
        source: format!("own-feed/{source}"),
        source_date_epoch: 1_750_711_236,
        depends: depends.iter().copied().map(Dependency::on).collect(),
        files,
        ..Package::default()
    };
    let file = |path: &str, bytes: &[u8]| Entry::file(path, 0o644, Content::from(bytes.to_vec()));
    let module = file(&format!("lib/modules/{VERSION}/mine.ko"), &module);
    let mut kmod = package("kmod-mine", "6.12.94.0.4-r1", "kernel/mine", &["kmod-base"], vec![module]);
    kmod.files.push(file("etc/modules.d/30-mine", b"mine\n"));
    kmod.depends.push(Dependency::exactly("kernel", kernel));
    let tool = file("usr/bin/tool", b"#!/bin/sh\n");
    let script = file("usr/bin/tool.sh", b"#!/bin/sh\n");
    for package in [
        kmod,
        package("tool", "1.2-r3", "utils/tool", &["libc", "kmod-base"], vec![tool]),
        package("tool-scripts", "1.2-r3", "utils/tool", &["tool"], vec![script]),
    ] {
        let mut bytes = Vec::new();
        package.write(Format::Apk, &mut bytes).unwrap();
        std::fs::write(lab.tree("prebuilt").join(package.file_name(Format::Apk)), bytes).unwrap();
    }
}

#[test]
fn packages_for_apk_are_opened_and_checked_too() {
    let (lab, root) = lab(Format::Apk);
    as_apk(&lab, &format!("{VERSION}~{HASH}-r1"));
    let built = lab.build().unwrap();
    assert_eq!(names(&built), ["kmod-mine", "tool", "tool-scripts"]);
    let file = &built.iter().find(|package| package.name == "kmod-mine").unwrap().file;
    assert!(file.as_str().ends_with("/kmod-mine-6.12.94.0.4-r1.apk"), "{file}");
    let bytes = std::fs::File::open(file).unwrap();
    let kmod = Opened::read(file.as_str(), Format::Apk, bytes, &formats::Limits::default()).unwrap();
    assert_eq!(kmod.autoloaded(), ["mine"]);
    // One that was made for another kernel is not believed.
    as_apk(&lab, "6.12.87~00000000000000000000000000000000-r1");
    edit(&root, "kernel/mine/src/mine.c", "/* as it is */", "/* changed */");
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.finding().place.as_deref()), ("SDK064", Some("mine")), "{failure}");
}

#[test]
fn what_is_wrong_with_a_makefile_or_source_is_told_of_its_package() {
    for (file, from, to, id, place, word) in [
        (
            "utils/tool/Makefile",
            "define Package/tool\n",
            "junk\ndefine Package/tool\n",
            "SDK050",
            "tool",
            "missing separator",
        ),
        ("utils/tool/src/tool.c", "return 0", "return gone", "OWN027", "tool", "tool.c:3:"),
        (
            "utils/tool/src/tool.c",
            "int main(void)\n{\n\treturn 0",
            "int gone(void);\nint main(void)\n{\n\treturn gone()",
            "OWN027",
            "tool",
            "undefined reference to `gone'",
        ),
        (
            "kernel/mine/src/mine.c",
            "/* as it is */",
            "#error moved",
            "BLD003",
            "mine",
            "mine.c:1:2: error: #error moved",
        ),
        ("kernel/mine/Makefile", "mine.ko", "mined.ko", "SDK044", "mine", "mined.ko"),
        ("kernel/mine/Makefile", "  FILES", "  NO_FILES", "SDK065", "mine", "contains no module"),
        ("kernel/mine/Makefile", "+kmod-base", "+kmod-gone", "OWN026", "mine", "kmod-gone"),
        ("utils/tool/Makefile", "+tool\n", "+tool @TARGET_ath79\n", "", "", ""),
    ] {
        let (lab, root) = lab(Format::Ipk);
        edit(&root, file, from, to);
        let built = lab.build();
        if id.is_empty() {
            // That package is not for this target, but the others are.
            assert_eq!(names(&built.unwrap()), ["kmod-mine", "tool"]);
            continue;
        }
        let failure = built.unwrap_err();
        assert_eq!((failure.id(), failure.finding().place.as_deref()), (id, Some(place)), "{failure}");
        assert!(failure.to_string().contains(word), "{failure}");
    }
    // Without the folder that does not build, the others do.
    let (mut lab, root) = lab(Format::Ipk);
    edit(&root, "kernel/mine/src/mine.c", "/* as it is */", "#error moved");
    lab.own = lab.own.map(|own| own.without(&["mine".to_owned()].into()));
    assert_eq!(names(&lab.build().unwrap()), ["tool", "tool-scripts"]);
}

/// A git repository with a package that the feed needs, and its revision.
fn other(lab: &Lab) -> (Utf8PathBuf, String) {
    let root = lab.path("others.git");
    let text = TOOL.replace("tool", "helper").replace(" +kmod-base", "");
    put(&root.join("helper/Makefile"), &text);
    put(&root.join("helper/src/Makefile"), "helper: helper.c\n\t$(CC) -o helper helper.c\n");
    put(&root.join("helper/src/helper.c"), "int main(void)\n{\n\treturn 0;\n}\n");
    put(&root.join("helper/files/helper.conf"), "config helper\n");
    put(&root.join("helper/files/helper.sh"), "#!/bin/sh\n");
    let git = |words: &[&str]| {
        let author = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
        let output = Command::new("git").arg("-C").arg(&root).args(author).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "x"]);
    let revision = git(&["rev-parse", "HEAD"]);
    put(&root.join("helper/files/helper.sh"), "#!/bin/sh\nnewer\n");
    git(&["commit", "-q", "-a", "-m", "newer"]);
    (root, revision)
}

#[test]
fn what_a_package_needs_of_another_feed_is_built_at_its_revision() {
    let (mut lab, root) = lab(Format::Ipk);
    let (git, revision) = other(&lab);
    edit(&root, "utils/tool/Makefile", "+libc", "+libc +helper");
    let conf = |lab: &mut Lab, revision: &str| {
        put(&root.join("feeds.conf"), &format!("src-git others file://{git}^{revision}\n"));
        lab.own = Some(FeedFolder::read(&root).unwrap());
    };
    conf(&mut lab, &revision);
    let built = lab.build().unwrap();
    assert_eq!(names(&built), ["helper", "kmod-mine", "tool", "tool-scripts"], "what is needed, and no more");
    let script = std::fs::read_to_string(lab.tree("feeds/others/helper/files/helper.sh")).unwrap();
    assert_eq!(script, "#!/bin/sh\n", "not the newest");
    // A revision that does not exist, and an address without a repository.
    conf(&mut lab, &"0".repeat(40));
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("OWN024", Exit::Upstream));
    assert!(failure.finding().why.contains("others.git"), "{failure}");
}
