//! Kmods for a kernel that consists of a few files.

use std::sync::mpsc::channel;

use formats::Kind;
use model::Event;

use super::*;
use crate::local::fixture::{Fixture, RELEASE, elf};
use crate::recipe::tests::load;

const TABLES: (&str, &str) = (
    "kmod-tables.yaml",
    "package: kmod-tables\ntitle: Tables\nkconfig: [NETFILTER=y, NF_TABLES]\n\
     modules: [{name: nf_tables}, {name: a-set}, {name: nft_counter, before: \"5.17\"}]\ndepends: [kmod-netlink, kmod-old]\n\
     autoload: {priority: 4, boot: true}\nfiles: [{path: etc/x.conf, text: \"x=1\\n\"}]\n",
);
const NETLINK: (&str, &str) =
    ("kmod-netlink.yaml", "package: kmod-netlink\ntitle: Netlink\nmodules: [{name: nfnetlink}]\n");
const HASH: (&str, &str) = ("kmod-hash.yaml", "package: kmod-hash\ntitle: Hash\nmodules: [{name: crypto_hash}]\n");
const OLD: (&str, &str) =
    ("kmod-old.yaml", "package: kmod-old\ntitle: Old\nkernel: {before: \"6.12\"}\nmodules: [{name: gone}]\n");
const SUM: (&str, &str) =
    ("kmod-sum.yaml", "package: kmod-sum\ntitle: Sum\nmodules: [{name: crc}]\ndepends: [kmod-hash]\n");
const TOP: (&str, &str) =
    ("kmod-top.yaml", "package: kmod-top\ntitle: Top\nmodules: [{name: top}]\ndepends: [kmod-tables]\n");
const NAME: (&str, &str) = ("kmod-name.yaml", "package: kmod-name\ntitle: Name\nempty: kept for its name\n");

const ALL: [(&str, &str); 7] = [TABLES, NETLINK, HASH, OLD, SUM, TOP, NAME];

const MODULES: &[(&str, &str)] = &[
    ("nf_tables", "depends=nfnetlink,crc"),
    ("a-set", "depends=nf_tables,crypto_hash"),
    ("nfnetlink", "depends="),
    ("crc", "depends="),
    ("top", "depends=nf-tables,crc"),
];

/// Plans the recipes; returns the plans and the reported lines.
fn planned(recipes: &[(&str, &str)], fixture: &Fixture) -> Result<(BTreeMap<String, Plan>, Vec<String>)> {
    let (sender, events) = channel();
    let arch = Arch("x86_64".into());
    let plans = plan(&load(recipes)?, &fixture.open(), &BTreeMap::new(), &arch, 7, &Events::to(sender))?;
    let text = |event| match event {
        Event::Line { text, .. } => text,
        other => panic!("{other:?}"),
    };
    Ok((plans.into_iter().map(|plan| (plan.package.name.clone(), plan)).collect(), events.iter().map(text).collect()))
}

fn depends(plan: &Plan) -> Vec<String> {
    plan.package.depends.iter().map(ToString::to_string).collect()
}

fn paths(plan: &Plan) -> Vec<String> {
    plan.package.files.iter().map(|entry| entry.path.clone()).collect()
}

fn text<'a>(plan: &'a Plan, path: &str) -> &'a str {
    let entry = plan.package.files.iter().find(|entry| entry.path == path).unwrap();
    let Kind::File(content) = &entry.kind else { panic!("{entry:?}") };
    std::str::from_utf8(content.bytes().unwrap()).unwrap()
}

#[test]
fn a_kmod_is_what_openwrt_makes_of_it() {
    let fixture = Fixture::new(MODULES);
    let (plans, _) = planned(&ALL, &fixture).unwrap();
    let tables = &plans["kmod-tables"];
    let kernel = fixture.open().id().package_version();
    assert_eq!((tables.package.version.as_str(), tables.package.architecture.as_str()), ("6.12.1-r2", "x86_64"));
    assert_eq!((tables.package.section.as_str(), tables.package.license.as_str()), ("kernel", "GPL-2.0"));
    assert_eq!((tables.package.source_date_epoch, tables.note.as_ref()), (7, None));
    assert_eq!(tables.package.description, "Tables");
    // This line has no kmod-old, and this kernel's nf_tables needs kmod-sum.
    assert_eq!(depends(tables), [&format!("kernel (={kernel})"), "kmod-netlink", "kmod-sum"]);
    assert_eq!(
        paths(tables),
        [
            &format!("lib/modules/{RELEASE}/a-set.ko"),
            &format!("lib/modules/{RELEASE}/nf_tables.ko"),
            "etc/modules.d/04-tables",
            "etc/modules-boot.d/04-tables",
            "etc/x.conf",
        ]
    );
    assert_eq!(text(tables, "etc/modules.d/04-tables"), "a-set\nnf_tables\n");
    assert_eq!(text(tables, "etc/x.conf"), "x=1\n");
    assert_eq!(tables.package.files[3].kind, Kind::Symlink("../modules.d/04-tables".into()));
    assert_eq!(text(&plans["kmod-netlink"], "etc/modules.d/netlink"), "nfnetlink\n");
    assert!(!plans.contains_key("kmod-old"));
}

#[test]
fn the_virtual_kernel_is_on_hold_and_holds_the_lists() {
    let fixture = Fixture::new(MODULES);
    let (plans, _) = planned(&ALL, &fixture).unwrap();
    let kernel = &plans["kernel"];
    assert_eq!(kernel.package.version, fixture.open().id().package_version());
    assert!(kernel.package.hold && kernel.package.depends.is_empty());
    let folder = format!("lib/modules/{RELEASE}");
    assert_eq!(paths(kernel), [format!("{folder}/modules.builtin"), format!("{folder}/modules.builtin.modinfo")]);
}

#[test]
fn what_the_kernel_needs_beyond_the_recipe_is_added_once_and_said() {
    let (plans, lines) = planned(&ALL, &Fixture::new(MODULES)).unwrap();
    // kmod-top needs crc too, but gets it through kmod-tables.
    assert_eq!(depends(&plans["kmod-top"])[1..], ["kmod-tables"]);
    let added: Vec<_> = lines.iter().filter(|line| line.contains("added")).collect();
    assert_eq!(added, ["kmod-tables: added dependency kmod-sum, because this kernel's nf_tables needs crc"]);
}

#[test]
fn a_package_without_modules_says_why() {
    let (plans, lines) = planned(&ALL, &Fixture::new(MODULES)).unwrap();
    for (name, why) in
        [("kmod-hash", "no module files, all built into this kernel: crypto_hash"), ("kmod-name", "kept for its name")]
    {
        assert_eq!(plans[name].note.as_deref(), Some(why));
        assert!(plans[name].package.description.ends_with(&format!("\nEmpty: {why}")));
        assert_eq!(paths(&plans[name]), Vec::<String>::new());
        assert!(lines.contains(&format!("{name}: {why}")), "{lines:?}");
    }
}

#[test]
fn an_option_tells_of_code_that_no_list_names() {
    let recipe = ("kmod-x.yaml", "package: kmod-x\ntitle: x\nmodules: [{name: x, option: NETFILTER}]\n");
    let (plans, _) = planned(&[recipe], &Fixture::new(MODULES)).unwrap();
    assert_eq!(plans["kmod-x"].note.as_deref(), Some("no module files, all built into this kernel: x"));
    // NF_TABLES is `m`, so the module file must exist.
    let recipe = ("kmod-x.yaml", "package: kmod-x\ntitle: x\nmodules: [{name: x, option: NF_TABLES}]\n");
    assert_eq!(planned(&[recipe], &Fixture::new(MODULES)).unwrap_err().id(), "KMOD002");
}

#[test]
fn nothing_empty_or_unloadable_is_made() {
    let kmod = |rest: &str| format!("package: kmod-x\ntitle: x\n{rest}\n");
    for (rest, id) in [
        ("modules: [{name: nfnetlink}]\nkconfig: [NFT_QUEUE]", "KMOD001"),
        ("modules: [{name: nfnetlink}]\nkconfig: [NF_TABLES=y]", "KMOD001"),
        ("modules: [{name: absent}]", "KMOD002"),
        ("modules: [{name: nfnetlink, before: \"6.1\"}]", "KMOD003"),
        ("modules: []", "KMOD003"),
        ("modules: [{name: foreign}]", "KMOD004"),
        ("modules: [{name: nf_tables}]", "KMOD005"),
    ] {
        let fixture = Fixture::new(MODULES);
        fixture.put_module("foreign.ko", &elf("vermagic=6.12.1+deb13-cloud-amd64 SMP\0"));
        let failure = planned(&[("kmod-x.yaml", &kmod(rest))], &fixture).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), (id, Exit::Failed), "{rest}");
        assert!(failure.to_string().contains("kmod-x on kernel"), "{failure}");
    }
}

#[test]
fn a_kernel_of_no_known_line_is_refused() {
    let fixture = Fixture::new(MODULES);
    fixture.put_image("8 (x) #1 SMP Debian 8-1 (2030-01-01)");
    let failure = planned(&[NETLINK], &fixture).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("KMOD006", Exit::Failed));
}

/// A compiled kmod, and a list of the symbols that its module uses.
fn planned_compiled(uses: &str, depends: &str, release: &str) -> Result<Plan> {
    let fixture = Fixture::new(MODULES);
    fixture.put("recipes/Kbuild", b"");
    fixture.put("made/own.ko", &elf(&format!("vermagic={release} SMP mod_unload \0depends=\0")));
    fixture.put("made/uses", uses.as_bytes());
    let own = format!(
        "package: kmod-own\ntitle: Own\nsource: {{path: ., version: \"2.3\", release: 4, license: MIT}}\n\
         kconfig: [NF_TABLES]\nmodules: [{{name: own}}]\ndepends: [{depends}]\n"
    );
    for (name, text) in ALL.into_iter().chain([("kmod-own.yaml", own.as_str())]) {
        fixture.put(&format!("recipes/{name}"), format!("version: 1\n{text}").as_bytes());
    }
    let recipes = Recipes::load(&[fixture.directory().join("recipes")]).unwrap();
    let compiled = match release {
        "" => CompiledKmods::new(),
        _ => CompiledKmods::from([("kmod-own".to_owned(), fixture.directory().join("made"))]),
    };
    let plans = plan(&recipes, &fixture.open(), &compiled, &Arch("x86_64".into()), 7, &Events::discard())?;
    Ok(plans.into_iter().find(|plan| plan.package.name == "kmod-own").unwrap())
}

#[test]
fn a_compiled_module_is_packed_like_the_kernels_own() {
    let plan = planned_compiled("own.ko a nf_tables\nown.ko b nfnetlink\n", "kmod-tables", RELEASE).unwrap();
    let Package { version, license, files, .. } = &plan.package;
    assert_eq!((version.as_str(), license.as_str()), ("6.12.1.2.3-r4", "MIT"));
    let paths: Vec<&str> = files.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, [&format!("lib/modules/{RELEASE}/own.ko"), "etc/modules.d/own"]);
    assert_eq!(depends(&plan)[1..], ["kmod-tables"]);
}

#[test]
fn a_compiled_module_must_name_the_kmods_whose_symbols_it_uses() {
    for (uses, depends, release, id, words) in [
        ("own.ko a nf_tables\n", "", RELEASE, "KMOD007", "own.ko uses `a` of module `nf_tables`"),
        ("own.ko a nf_tables\n", "kmod-sum", RELEASE, "KMOD007", "add kmod-tables to `depends`"),
        ("own.ko a nowhere\n", "kmod-tables", RELEASE, "KMOD007", "no recipe that applies to this kernel"),
        ("", "", "6.12.2", "KMOD004", "6.12.2"),
        ("", "", "", "KMOD008", "was not compiled"),
    ] {
        let failure = planned_compiled(uses, depends, release).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), (id, Exit::Failed), "{uses}");
        assert!(failure.to_string().contains(words), "{failure}");
    }
}
