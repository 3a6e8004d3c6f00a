//! Packages and indexes made by apk itself.

use std::collections::BTreeMap;
use std::io::Read;

use formats::adb::{Adb, Compression};
use formats::apk::index::{Index, Listed};
use formats::apk::{self, Member};
use formats::ec::{PublicKey, SecretKey};
use formats::{Content, Entry, Format, Kind, Limits, Owner, Package, Scripts};

use crate::common;

/// The golden packages in the order of the golden index.
const PACKAGES: [(&str, &str); 6] = [
    ("bigscript", "bigscript-2.0_rc1.apk"),
    ("edge+x.y_z", "edge+x.y_z-0.9_git20240101~deadbeef-r7.apk"),
    ("hello", "hello-1.2.3-r4.apk"),
    ("libfoo3", "libfoo3-1.0.0-r1.apk"),
    ("metaonly", "metaonly-1-r0.apk"),
    ("tiny", "tiny-0.1.apk"),
];

pub(crate) fn limits() -> Limits {
    Limits { devices: true, ..Limits::default() }
}

pub(crate) fn golden(name: &str) -> Vec<u8> {
    common::bytes(&format!("apk/{name}"))
}

pub(crate) fn keys() -> Vec<PublicKey> {
    ["a", "b"].map(|key| PublicKey::parse(&text(&format!("test-only-{key}.pub.pem"))).unwrap()).to_vec()
}

pub(crate) fn text(name: &str) -> String {
    String::from_utf8(golden(name)).unwrap()
}

/// The decompressed bytes.
fn plain(bytes: &[u8]) -> Vec<u8> {
    if bytes.starts_with(b"ADB.") {
        return bytes.to_vec();
    }
    let mut plain = Vec::new();
    flate2::read::DeflateDecoder::new(&bytes[4..]).read_to_end(&mut plain).unwrap();
    plain
}

pub(crate) fn written(name: &str, keys: &[&SecretKey], compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    apk::write(&common::apk_plan(name), keys, compression, &mut bytes).unwrap();
    bytes
}

#[test]
fn writes_the_same_bytes_as_mkpkg() {
    for (name, file) in PACKAGES {
        let golden = plain(&golden(file));
        let ours = written(name, &[], Compression::None);
        let first = ours.iter().zip(&golden).position(|(a, b)| a != b);
        assert!(ours == golden, "{name}: differs at {first:?} of {} and {} bytes", ours.len(), golden.len());
    }
    assert_eq!(written("tiny", &[], Compression::None), golden("tiny.none.apk"));
    assert_eq!(written("hello", &[], Compression::None), golden("hello.none.apk"));
    assert_eq!(plain(&written("hello", &[], Compression::Deflate)), golden("hello.none.apk"));
}

#[test]
fn shows_files_as_adbdump_does() {
    let mut shown = 0;
    for entry in std::fs::read_dir(common::golden("apk")).unwrap() {
        let dump = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = dump.strip_suffix(".dump.txt").filter(|name| !name.contains("rsa")) else { continue };
        assert_eq!(apk::dump(&golden(name)[..], &keys(), &limits()).unwrap(), text(&dump), "{name}");
        shown += 1;
    }
    assert_eq!(shown, 17);
    let unknown = apk::dump(&golden("hello.signed-rsa.none.apk")[..], &keys(), &limits()).unwrap();
    assert_eq!(unknown, text("hello.signed-rsa.none.apk.dump.txt").replace(": OK", ": UNTRUSTED signature"));
}

#[test]
fn every_compression_of_a_package_reads_the_same() {
    let all = ["hello-1.2.3-r4", "hello.none", "hello.deflate-1", "hello.deflate-9", "hello.zstd", "hello.zstd-19"];
    let read = |name: &str| apk::inspect(&golden(&format!("{name}.apk"))[..], &limits(), |_| Ok(())).unwrap();
    let first = read(all[0]);
    for name in all {
        assert_eq!(read(name), first, "{name}");
    }
    assert_eq!(read("edge.zstd-1"), read("edge+x.y_z-0.9_git20240101~deadbeef-r7"));
}

#[test]
fn reads_what_was_written() {
    let secret = SecretKey::parse(&text("test-only-a.pem")).unwrap();
    for (name, _) in PACKAGES {
        let plan = common::apk_plan(name);
        let bytes = written(name, &[&secret], Compression::Deflate);
        let (read, members, key) = apk::read(&bytes[..], &keys(), &limits()).unwrap();
        assert_eq!(key, secret.public().id());
        assert_eq!(read.scripts, plan.scripts);
        assert_eq!(read.triggers, plan.triggers);
        assert_eq!(read.replaces_priority, plan.replaces_priority);
        let mut depends = plan.info.depends.clone();
        depends.sort_by(|a, b| a.name.cmp(&b.name));
        depends.dedup();
        assert_eq!(read.info.depends, depends);
        for entry in &plan.files {
            let member = members.iter().find(|member| member.entry.path == entry.path).unwrap();
            assert_eq!((&member.entry.kind, member.entry.mode), (&entry.kind, entry.mode), "{}", entry.path);
            assert_eq!(member.entry.owner.name, entry.owner.name);
            assert_eq!(member.xattrs.len(), plan.xattrs.get(&entry.path).map_or(0, Vec::len));
        }
    }
}

#[test]
fn signatures_of_apk_verify_and_ours_are_deterministic() {
    for (name, good) in [
        ("hello.signed-a.apk", 1),
        ("hello.signed-a.none.apk", 1),
        ("hello.signed-ab.none.apk", 2),
        ("hello.signed-rsa.none.apk", 0),
        ("hello.none.apk", 0),
        ("packages.signed-a.adb", 1),
        ("packages.signed-ab.adb", 2),
        ("packages.resigned.adb", 2),
    ] {
        let adb = Adb::read(&golden(name)[..], &limits()).unwrap();
        let verified = keys().into_iter().filter(|key| adb.verify(std::slice::from_ref(key)).is_ok()).count();
        assert_eq!(verified, good, "{name}");
        if good == 0 {
            assert_eq!(adb.verify(&keys()).unwrap_err().id(), "ADB009");
        }
    }
    let secret = SecretKey::parse(&text("test-only-a.pem")).unwrap();
    let signed = written("hello", &[&secret], Compression::None);
    assert_eq!(signed, written("hello", &[&secret], Compression::None));
    // The signature does not change what an index stores about the package.
    let digest = |bytes: &[u8]| Adb::read(bytes, &limits()).unwrap().digest();
    assert_eq!(digest(&signed), digest(&golden("hello.none.apk")));
}

/// The golden index, from the golden packages in the given order.
pub(crate) fn index(order: impl Iterator<Item = usize>) -> Index {
    let packages = order.map(|at| {
        let bytes = golden(PACKAGES[at].1);
        Listed::of_package(&Adb::read(&bytes[..], &limits()).unwrap(), bytes.len() as u64, &limits()).unwrap()
    });
    Index { packages: packages.collect(), ..Index::default() }
}

#[test]
fn writes_the_same_index_as_mkndx() {
    let bytes = |index: &Index| {
        let mut bytes = Vec::new();
        index.to_adb().unwrap().write(&mut bytes, Compression::None).unwrap();
        bytes
    };
    let forward = index(0..6);
    assert!(bytes(&forward) == golden("packages.none.adb"));
    assert!(bytes(&index((0..6).rev())) == golden("packages.reversed.none.adb"));
    let described =
        Index { description: "golden set".into(), name_spec: "${name}-${version}.apk".into(), ..forward.clone() };
    assert!(bytes(&described) == golden("packages.spec.none.adb"));
    assert_eq!(plain(&golden("packages.adb")), golden("packages.none.adb"));
    assert_eq!(forward.index_json("aarch64_cortex-a53"), text("index.json"));
}

#[test]
fn reads_an_index_that_is_signed_by_one_of_the_keys() {
    let (read, _) = Index::read(&golden("packages.signed-a.adb")[..], &keys(), &limits()).unwrap();
    let mut expected = index(0..6);
    for listed in &mut expected.packages {
        listed.info.unique_id = None;
    }
    // Lists are read back sorted.
    let names = |index: &Index| index.packages.iter().map(|listed| listed.info.file_name()).collect::<Vec<_>>();
    assert_eq!(names(&read), names(&expected));
    assert_eq!(read, expected);
    for name in ["packages.adb", "packages.none.adb"] {
        assert_eq!(Index::read(&golden(name)[..], &keys(), &limits()).unwrap_err().id(), "ADB009");
    }
    let hash160 = Adb::read(&golden("packages.hash160.none.adb")[..], &limits()).unwrap();
    assert_eq!(Index::from_adb(&hash160, &limits()).unwrap_err().id(), "APK001");
}

#[test]
fn an_index_may_be_empty() {
    let adb = Index::default().to_adb().unwrap();
    assert_eq!(Index::from_adb(&adb, &limits()).unwrap(), Index::default());
    let mut bytes = Vec::new();
    adb.write(&mut bytes, Compression::None).unwrap();
    assert_eq!(apk::dump(&bytes[..], &[], &limits()).unwrap().lines().count(), 2);
}

#[test]
fn indexes_merge_and_compare() {
    let (old, mut new) = (index(0..4), index(2..6));
    new.packages[0].info.version = "1.2.4-r1".into();
    new.packages[1].sha256 = model::Digest::of("rebuilt");
    let changes = apk::index::changes(&old, &new);
    assert_eq!(changes.added.keys().collect::<Vec<_>>(), ["metaonly", "tiny"]);
    assert_eq!(changes.removed.keys().collect::<Vec<_>>(), ["bigscript", "edge+x.y_z"]);
    assert_eq!(changes.changed["hello"], ("1.2.3-r4".to_owned(), "1.2.4-r1".to_owned()));
    assert_eq!(changes.rebuilt.keys().collect::<Vec<_>>(), ["libfoo3"]);
    let rebuilt = new.packages[1].sha256;
    new.merge(old);
    let names: Vec<_> = new.packages.iter().map(|listed| listed.info.file_name()).collect();
    assert_eq!(names.len(), 7);
    assert_eq!(names[2..4], ["hello-1.2.3-r4.apk", "hello-1.2.4-r1.apk"]);
    assert_eq!(new.packages[4].sha256, rebuilt);
    assert_eq!(index([0, 0].into_iter()).to_adb().unwrap_err().id(), "APK003");
}

#[test]
fn a_package_must_be_the_one_that_was_listed() {
    let adb = |name: &str| Adb::read(&golden(name)[..], &limits()).unwrap();
    let index = index(0..6);
    let check = |listed: &Listed, name: &str| {
        listed
            .check_file(&adb(name), golden(name).len() as u64, &limits())
            .map(|()| "")
            .unwrap_or_else(|error| error.id())
    };
    assert_eq!(check(&index.packages[2], "hello-1.2.3-r4.apk"), "");
    assert_eq!(check(&index.packages[2], "tiny-0.1.apk"), "IDX004");
    assert_eq!(check(&index.packages[2], "hello.signed-a.apk"), "IDX004"); // another length
    let mut renamed = index.packages[2].clone();
    renamed.info.name = "other".into();
    assert_eq!(check(&renamed, "hello-1.2.3-r4.apk"), "IDX004");
}

/// A neutral plan with everything that the two package managers treat differently.
pub(crate) fn neutral() -> Package {
    Package {
        name: "libfoo".into(),
        version: "1.0-r1".into(),
        architecture: "all".into(),
        abi_version: "3".into(),
        depends: formats::depend::list("libc, kernel (=6.12.94~0f-r1), ubus (>= 2)").unwrap(),
        conflicts: formats::depend::list("oldfoo").unwrap(),
        provides: formats::depend::list("libbar").unwrap(),
        section: "libs".into(),
        alternatives: vec!["100:/bin/x:/usr/bin/y".into()],
        conffiles: vec!["/etc/config/foo".into(), "/etc/missing".into()],
        require_user: "svc=850:svc=850".into(),
        scripts: Scripts {
            preinst: Some("#!/bin/sh\necho preinst\n".into()),
            postinst: Some("#!/bin/sh\necho postinst\n".into()),
            prerm: None,
            postrm: Some("#!/bin/sh\necho postrm\n".into()),
        },
        files: vec![Entry::file("etc/config/foo", 0o600, Content::from("config\n"))],
        ..Package::default()
    }
}

#[test]
fn the_neutral_plan_is_translated() {
    let plan = apk::from_plan(&Package { source_date_epoch: 1_700_000_000, ..neutral() }).unwrap();
    assert_eq!(plan.time, 0);
    let printed = |list: &[apk::Dependency]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(plan.info.file_name(), "libfoo3-1.0-r1.apk");
    assert_eq!(plan.info.arch, "noarch");
    assert_eq!(printed(&plan.info.depends), ["libc", "kernel=6.12.94~0f-r1", "ubus>=2", "!oldfoo"]);
    assert_eq!(printed(&plan.info.provides), ["libfoo-any", "libfoo", "libbar", "libbar3=1.0-r1"]);
    assert_eq!(plan.info.tags, ["openwrt:abiversion=3", "openwrt:section=libs"]);
    assert_eq!(plan.info.provider_priority, Some(10));
    let file = |suffix: &str| {
        let path = format!("lib/apk/packages/libfoo3.{suffix}");
        match &plan.files.iter().find(|entry| entry.path == path).unwrap().kind {
            Kind::File(content) => String::from_utf8(content.bytes().unwrap().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(file("rusers"), "svc=850:svc=850\n");
    assert_eq!(file("alternatives"), "100:/bin/x:/usr/bin/y\n");
    assert_eq!(
        file("list"),
        "/etc/config/foo\n/lib/apk/packages/libfoo3.alternatives\n/lib/apk/packages/libfoo3.rusers\n"
    );
    assert_eq!(file("conffiles"), "/etc/config/foo\n/etc/missing\n");
    assert_eq!(file("conffiles_static"), format!("/etc/config/foo {}\n", model::Digest::of("config\n")));
    let script = |script| String::from_utf8(plan.scripts[&script].clone()).unwrap();
    assert!(script(apk::Script::PostInstall).ends_with("default_postinst\necho postinst\n"));
    assert!(script(apk::Script::PostUpgrade).contains("export PKG_UPGRADE=1\n"));
    assert!(script(apk::Script::PreDeinstall).ends_with("default_prerm\n"));
    assert_eq!(script(apk::Script::PreUpgrade), "#!/bin/sh\nexport PKG_UPGRADE=1\necho preinst\n");
    assert_eq!(script(apk::Script::PostDeinstall), "#!/bin/sh\necho postrm\n");

    let bytes = |plan| {
        let mut bytes = Vec::new();
        apk::write(plan, &[], Compression::Deflate, &mut bytes).unwrap();
        bytes
    };
    let metadata = apk::inspect(&bytes(&plan)[..], &Limits::default(), |_| Ok(())).unwrap();
    assert!(metadata.info.satisfies(&"libbar3>=1.0".parse().unwrap()));
    assert_eq!(bytes(&plan), bytes(&apk::from_plan(&neutral()).unwrap()));
}

/// One recipe, two formats: which files are installed, who owns them and which scripts run when must not depend on the
/// manager, except for the manager's own data.
#[test]
fn both_formats_carry_the_same_files_owners_and_scripts() {
    let owner = |id, name: &str| Owner { id, name: name.into() };
    let mut package = neutral();
    package.scripts.prerm = Some("#!/bin/sh\necho prerm\n".into());
    package.files.push(Entry {
        owner: owner(850, "svc"),
        group: owner(850, "svc"),
        ..Entry::file("usr/bin/foo", 0o4750, Content::from("program"))
    });
    package.files.push(Entry::symlink("usr/bin/bar", "foo"));
    package.files.push(Entry {
        kind: Kind::HardLink("usr/bin/foo".into()),
        ..Entry::file("usr/bin/hard", 0o4750, Content::from(""))
    });
    package.files.push(Entry::dir("srv/empty", 0o1777));
    package.files.push(Entry::file("lib/modules/x.ko", 0o644, Content::from("module")));
    let [ipk, apk] = Format::ALL.map(|format| {
        let mut bytes = Vec::new();
        package.write(format, &mut bytes).unwrap();
        bytes
    });
    let ipk = formats::ipk::read(&ipk[..], &Limits::default()).unwrap();
    let mut contents = BTreeMap::new();
    let apk = apk::visit(&apk[..], &Limits::default(), |_| Ok(()), &mut |member, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        contents.insert(member.entry.path.clone(), bytes);
        Ok(())
    })
    .unwrap();

    // Without each manager's own data, such as declared conffiles that are not shipped.
    let payload = |path: &str| {
        let beside = ["", "lib", "lib/upgrade", "lib/apk"].contains(&path);
        !beside && !path.starts_with("lib/upgrade/keep.d") && !path.starts_with("lib/apk/packages")
    };
    // opkg stores owners by number and apk by name.
    let names = |id| if id == 850 { "svc" } else { "root" };
    type Seen = (String, u32, String, String, Kind);
    let in_ipk: Vec<Seen> = ipk
        .entries
        .into_iter()
        .filter(|entry| payload(&entry.path))
        .map(|entry| (entry.path, entry.mode, names(entry.owner.id).into(), names(entry.group.id).into(), entry.kind))
        .collect();
    let mut in_apk: Vec<Seen> = apk
        .members
        .iter()
        .filter(|member| payload(&member.entry.path))
        .map(|Member { entry, .. }| {
            let kind = match entry.kind {
                Kind::File(_) => Kind::File(Content::from(contents.remove(&entry.path).unwrap_or_default())),
                other => other,
            };
            (entry.path, entry.mode, entry.owner.name, entry.group.name, kind)
        })
        .collect();
    in_apk.sort_by(|a, b| a.0.split('/').cmp(b.0.split('/')));
    assert_eq!(in_ipk, in_apk);
    assert!(contents.into_keys().all(|path| path.starts_with("lib/apk/packages/libfoo3.")));

    // The generated script calls the shared helper, and the package's own text runs: under opkg the helper finds that
    // text itself, under apk it follows.
    let in_ipk = |name: &str| String::from_utf8(ipk.metadata.file(name).unwrap().to_vec()).unwrap();
    let in_apk = |script| String::from_utf8(apk.scripts[&script].clone()).unwrap();
    for (helper, shared, own, scripts) in [
        ("default_postinst", "postinst", "postinst-pkg", &[apk::Script::PostInstall, apk::Script::PostUpgrade][..]),
        ("default_prerm", "prerm", "prerm-pkg", &[apk::Script::PreDeinstall]),
    ] {
        assert!(in_ipk(shared).contains(helper));
        let own = in_ipk(own);
        let own = own.strip_prefix("#!/bin/sh\n").unwrap();
        for script in scripts {
            let (before, after) = in_apk(*script)
                .split_once(&format!("\n{helper}\n"))
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .unwrap();
            assert_eq!(after, own, "{script:?}");
            assert_eq!(before.contains("PKG_UPGRADE=1"), *script == apk::Script::PostUpgrade);
        }
    }
    assert_eq!(in_apk(apk::Script::PreInstall), in_ipk("preinst"));
    assert_eq!(in_apk(apk::Script::PostDeinstall), in_ipk("postrm"));
    assert_eq!(apk.scripts.len(), 6);
    let conffiles: String = ipk.metadata.conffiles.iter().map(|path| format!("{path}\n")).collect();
    assert_eq!(conffiles, "/etc/config/foo\n");
}

#[test]
fn what_apk_cannot_express_is_refused() {
    let alternatives = Package { depends: formats::depend::list("a | b").unwrap(), ..neutral() };
    assert_eq!(apk::from_plan(&alternatives).unwrap_err().id(), "FMT002");
    let seal = |package: Package| apk::seal(&apk::from_plan(&package).unwrap()).unwrap_err().id();
    assert_eq!(seal(Package { version: "1:1.0".into(), ..neutral() }), "APK001");
    assert_eq!(seal(Package { name: "../x".into(), ..neutral() }), "APK001");
    assert_eq!(seal(Package { section: "a b".into(), ..neutral() }), "APK001");
    let mut nameless = neutral();
    nameless.files[0].owner.name.clear();
    assert_eq!(seal(nameless), "FMT002");
}
