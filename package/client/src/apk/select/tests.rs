//! Selections that are possible, and how those that are not are shown.

use super::*;
use proptest::prelude::*;

/// `name version [arch][; depends …][; provides …][; install-if …][; priority N]`.
fn info(text: &str) -> Info {
    let mut parts = text.split(';').map(str::trim);
    let head: Vec<_> = parts.next().unwrap().split(' ').collect();
    let arch = head.get(2).copied().unwrap_or("noarch");
    let mut info = Info { name: head[0].into(), version: head[1].into(), arch: arch.into(), ..Info::default() };
    for part in parts {
        let (field, list) = part.split_once(' ').unwrap();
        let items = || list.split(' ').map(|item| item.parse().unwrap()).collect();
        match field {
            "depends" => info.depends = items(),
            "provides" => info.provides = items(),
            "install-if" => info.install_if = items(),
            "priority" => info.provider_priority = Some(list.parse().unwrap()),
            other => panic!("{other}"),
        }
    }
    info
}

fn candidate(info: &Info, installed: bool) -> Candidate<'_> {
    Candidate { info, installed, available: !installed, repository: usize::from(!installed) }
}

fn plan(offered: &[&str], installed: &[&str], wishes: &str) -> Result<Vec<String>> {
    upgrade(offered, installed, wishes, "")
}

/// Upgrades the names in `given`, or everything when it is `*`.
fn upgrade(offered: &[&str], installed: &[&str], wishes: &str, given: &str) -> Result<Vec<String>> {
    let infos: Vec<(Info, bool)> =
        installed.iter().map(|text| (info(text), true)).chain(offered.iter().map(|text| (info(text), false))).collect();
    let candidates: Vec<Candidate<'_>> = infos.iter().map(|(info, installed)| candidate(info, *installed)).collect();
    let wishes: Vec<Wish> = wishes.split_whitespace().map(|wish| wish.parse().unwrap()).collect();
    let accepts = |arch: &str| ["noarch", "x86_64"].contains(&arch);
    let upgrade = Asks { upgrade: true, ..Asks::default() };
    let everywhere = if given == "*" { upgrade } else { Asks::default() };
    let given = given.split_whitespace().map(str::to_owned).collect();
    let problem = Problem {
        candidates: &candidates,
        wishes: &wishes,
        given: &given,
        asks: upgrade,
        passed_on: Asks::default(),
        everywhere,
        accepts: &accepts,
    };
    let chosen = select(&problem)?;
    Ok(chosen.into_iter().map(|index| candidates[index].title()).collect())
}

#[track_caller]
fn chosen(offered: &[&str], installed: &[&str], wishes: &str, expected: &str) {
    assert_eq!(plan(offered, installed, wishes).unwrap().join(" "), expected);
}

/// Asserts apk's text, and our reason.
#[track_caller]
fn refused(offered: &[&str], installed: &[&str], wishes: &str, shown: &str, why: &str) {
    let error = plan(offered, installed, wishes).unwrap_err();
    assert_eq!(error.id(), "APKC005");
    assert_eq!(error.to_string(), format!("unable to select packages:{shown}"));
    assert_eq!(error.why().as_deref(), Some(why));
}

#[test]
fn what_is_needed_comes_first_and_what_is_not_stays_away() {
    let offered = ["top 1; depends base mid", "base 1", "mid 1; depends base", "other 1"];
    chosen(&offered, &[], "top", "base-1 mid-1 top-1");
    chosen(&["a 1; depends b", "b 1; depends a"], &[], "a", "b-1 a-1");
    chosen(&offered, &["other 1", "base 1"], "mid", "base-1 mid-1");
    chosen(&offered, &["other 1"], "", "");
}

#[test]
fn the_installed_one_then_the_newest_one_that_fits() {
    let offered = ["a 1", "a 3", "a 2", "b 1; depends a<3", "c 1; depends a~2"];
    chosen(&offered, &[], "a", "a-3");
    chosen(&offered, &["a 1"], "a", "a-1");
    chosen(&offered, &["a 1"], "a>1", "a-3");
    chosen(&offered, &["a 3"], "a=1", "a-1");
    chosen(&offered, &[], "b", "a-2 b-1");
    chosen(&offered, &[], "b c", "a-2 b-1 c-1");
    // The first choice turns out to be wrong later.
    chosen(&offered, &[], "a c", "a-2 c-1");
    // The newest one is chosen first, and apk does not backtrack.
    refused(
        &["a 2; depends gone", "a 1"],
        &[],
        "a",
        "\n  gone (no such package):\n    required by: a-2[gone]",
        "no index has a package of the name gone",
    );
}

#[test]
fn provided_names_count_as_they_are_provided() {
    let ssh = ["drop 1; provides ssh=1", "open 1; provides ssh=2", "tool 1; depends ssh"];
    chosen(&ssh, &[], "tool ssh<2", "drop-1 tool-1");
    refused(
        &ssh,
        &[],
        "drop open",
        "\n  open-1:\n    conflicts: drop-1\n    satisfies: world[open]",
        "open-1 conflicts with drop-1",
    );
    let any = ["a 1; provides x-any", "b 1; provides x-any", "top 1; depends x-any"];
    chosen(&any, &[], "top b", "b-1 top-1");
    chosen(&any, &["a 1; provides x-any"], "top a", "a-1 top-1");
    assert_eq!(
        plan(&any, &["a 1; provides x-any"], "top").unwrap_err().id(),
        "APKC005",
        "it is installed and not wished for"
    );
    refused(
        &any,
        &[],
        "top",
        "\n  x-any (virtual):\n    note: please select one of the 'provided by'\n          packages explicitly\n    provided by: a b\n    required by: top-1[x-any]",
        "x-any is provided by several packages, and none of them is the default",
    );
    chosen(&["a 1; provides x-any; priority 10", "b 1; provides x-any; priority 100"], &[], "x-any", "b-1");
    chosen(&["x 1", "b 2; provides x=2"], &[], "x", "b-2");
}

#[test]
fn what_excludes_each_other_is_not_there_together() {
    let offered = ["a 1; depends !b", "b 1", "c 1; depends b", "d 2; depends !b<2"];
    chosen(&offered, &[], "a", "a-1");
    refused(&offered, &[], "a c", "\n  b-1:\n    conflicts: a-1\n    satisfies: c-1[b]", "b-1 conflicts with a-1");
    refused(&offered, &[], "b d", "\n  d-2:\n    conflicts: b-1\n    satisfies: world[d]", "d-2 conflicts with b-1");
    refused(&offered, &[], "!b c", "\n  b-1:\n    breaks: world[!b]\n    satisfies: c-1[b]", "you asked for !b");
    chosen(&["a 1; depends !x", "y 1; provides x=1", "z 1; provides x"], &[], "a", "a-1");
}

#[test]
fn what_cannot_be_had_is_shown_as_apk_shows_it() {
    refused(
        &[],
        &[],
        "foo",
        "\n  foo (no such package):\n    required by: world[foo]",
        "no index has a package of the name foo",
    );
    let offered = ["a 1; depends nosuch>1", "foreign 1 mips_24kc", "old 1"];
    refused(
        &offered,
        &[],
        "a",
        "\n  nosuch (no such package):\n    required by: a-1[nosuch>1]",
        "no index has a package of the name nosuch",
    );
    refused(
        &offered,
        &[],
        "old>1",
        "\n  old-1:\n    breaks: world[old>1]",
        "only other versions of old are available: old-1",
    );
    refused(
        &offered,
        &[],
        "foreign",
        "\n  foreign-1:\n    error: uninstallable\n    arch: mips_24kc\n    satisfies: world[foreign]",
        "foreign-1 is for the architecture mips_24kc",
    );
}

#[test]
fn the_kernel_is_what_runs() {
    let kmod = ["kmod-a 6.1-r1; depends kernel=6.1~bb-r1", "kernel 6.1~bb-r1"];
    refused(
        &kmod,
        &["kernel 6.1~aa-r1"],
        "kernel kmod-a",
        "\n  kernel-6.1~aa-r1:\n    breaks: kmod-a-6.1-r1[kernel=6.1~bb-r1]",
        "this system runs the kernel 6.1~aa-r1, and the package kmod-a-6.1-r1 was built for kernel=6.1~bb-r1",
    );
    refused(
        &kmod,
        &["kernel 6.1~aa-r1"],
        "kernel=6.1~bb-r1",
        "\n  kernel-6.1~aa-r1:\n    breaks: world[kernel=6.1~bb-r1]",
        "this system runs the kernel 6.1~aa-r1, and you asked for kernel=6.1~bb-r1",
    );
    refused(
        &kmod,
        &[],
        "kmod-a",
        "\n  kernel-6.1~bb-r1:\n    error: uninstallable\n    satisfies: kmod-a-6.1-r1[kernel=6.1~bb-r1]",
        "kernel-6.1~bb-r1 is a kernel, which installing packages does not change",
    );
    refused(
        &kmod[..1],
        &[],
        "kmod-a",
        "\n  kernel (no such package):\n    required by: kmod-a-6.1-r1[kernel=6.1~bb-r1]",
        "no kernel package is installed here that says which kernel runs",
    );
    chosen(&kmod, &["kernel 6.1~bb-r1"], "kmod-a", "kernel-6.1~bb-r1 kmod-a-6.1-r1");
    // Another package cannot take the kernel's place either.
    let actor = ["kmod-a 6.1-r1; depends kernel=6.1~bb-r1", "actor 1; provides kernel=6.1~bb-r1"];
    for installed in [&[][..], &["kernel 6.1~aa-r1"]] {
        assert_eq!(plan(&actor, installed, "kmod-a").unwrap_err().id(), "APKC005");
    }
    // Whatever world says, it stays.
    chosen(&kmod, &["kernel 6.1~aa-r1"], "", "kernel-6.1~aa-r1");
}

#[test]
fn companions_come_along_and_go_without_a_word() {
    let offered = ["a 1", "doc 1", "a-doc 1; install-if a doc", "n 1; install-if a !doc"];
    chosen(&offered, &[], "doc", "doc-1");
    chosen(&offered, &[], "a doc", "a-1 doc-1 a-doc-1");
    chosen(&offered, &[], "a", "a-1 n-1");
    chosen(&offered, &["a 1", "doc 1", "a-doc 1; install-if a doc"], "a doc !n", "a-1 doc-1 a-doc-1");
    // An install-if package that cannot be installed blocks the rest, as with apk.
    let broken = ["a 1", "a-bad 1; install-if a; depends nosuch"];
    assert_eq!(plan(&broken, &[], "a").unwrap_err().id(), "APKC005");
}

#[test]
fn alternatives_without_end_are_given_up() {
    let mut offered = vec!["x0 1; depends nosuch".to_owned()];
    for level in 1..40 {
        let below = format!("x{}", level - 1);
        offered.push(format!("l{level} 1; provides x{level}=1; depends {below}"));
        offered.push(format!("r{level} 1; provides x{level}=1; depends {below}"));
    }
    let offered: Vec<_> = offered.iter().map(String::as_str).collect();
    assert_eq!(plan(&offered, &[], "x39").unwrap_err().id(), "APKC005");
    let long: Vec<String> =
        (0..1000).map(|number| format!("p{number} 1; depends p{}", number + 1)).chain(["p1000 1".into()]).collect();
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    assert_eq!(plan(&long, &[], "p0").unwrap().len(), 1001, "a long chain is no deep one");
}

/// Whether a set of packages could be installed together, ignoring the kernel and virtual names.
fn is_good(set: &[&Info], wishes: &[Wish]) -> bool {
    let there = |need: &Dependency| match need.is_conflict() {
        true => true,
        false => set.iter().any(|info| info.satisfies(need)),
    };
    let names = |info: &Info| -> Vec<String> {
        let provided = info.provides.iter().map(|provide| provide.name.clone());
        provided.chain([info.name.clone()]).collect()
    };
    let apart = |one: &Info, other: &Info| {
        std::ptr::eq(one, other)
            || names(one).iter().all(|name| !names(other).contains(name))
                && !one.depends.iter().any(|depends| forbids(depends, other))
    };
    let wished = |wish: &Wish| matches!(wish, Wish::Package(dependency) if there(dependency));
    wishes.iter().all(wished)
        && set.iter().all(|info| info.depends.iter().all(there))
        && set.iter().all(|one| set.iter().all(|other| apart(one, other)))
}

fn universe() -> impl Strategy<Value = Vec<Info>> {
    let item = "!?[abcd]((=|<|>|~)[12])?";
    let package = ("[abc]", "[12]", prop::collection::vec(item, 0..3), prop::option::of("d=[12]"));
    prop::collection::vec(package, 1..7).prop_map(|packages| {
        let package = |(name, version, depends, provides): (String, String, Vec<String>, Option<String>)| Info {
            depends: depends.iter().map(|item| item.parse().unwrap()).collect(),
            provides: provides.iter().map(|item| item.parse().unwrap()).collect(),
            name,
            version,
            ..Info::default()
        };
        packages.into_iter().map(package).filter(|info| !info.depends.iter().any(|need| forbids(need, info))).collect()
    })
}

#[test]
fn an_upgrade_takes_what_is_newer_and_fits() {
    let offered = ["tool 2; depends lib", "lib 2", "lib 1", "other 2", "alias 5; provides dns=5"];
    let installed = ["tool 1; depends lib", "lib 1", "other 2", "plain 1; provides dns=1"];
    let all = |given: &str| upgrade(&offered, &installed, "tool other dns", given).unwrap().join(" ");
    assert_eq!(all("*"), "alias-5 other-2 lib-2 tool-2", "a provider gives way to a newer one");
    assert_eq!(all("lib"), "plain-1 other-2 lib-2 tool-1");
    assert_eq!(all(""), "plain-1 other-2 lib-1 tool-1");
    let kernels = ["kernel 2", "kmod-a 2; depends kernel=2"];
    let running = ["kernel 1", "kmod-a 1; depends kernel=1"];
    // A feed with modules of the next kernel breaks upgrades: apk chooses the newer module and does not backtrack.
    assert_eq!(upgrade(&kernels, &running, "kernel kmod-a", "*").unwrap_err().id(), "APKC005");
    assert_eq!(upgrade(&kernels, &running, "kernel kmod-a=1", "*").unwrap(), ["kernel-1", "kmod-a-1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_chosen_holds_together(infos in universe(), wishes in prop::collection::vec("[abcd]((=|<|>)[12])?", 1..3)) {
        let wishes: Vec<Wish> = wishes.iter().map(|wish| wish.parse().unwrap()).collect();
        let candidates: Vec<_> = infos.iter().map(|info| candidate(info, false)).collect();
        let problem = Problem {
            candidates: &candidates,
            wishes: &wishes,
            given: &BTreeSet::new(),
            asks: Asks::default(),
            passed_on: Asks::default(),
            everywhere: Asks::default(),
            accepts: &|_| true,
        };
        match select(&problem) {
            Ok(selected) => {
                let set: Vec<&Info> = selected.iter().map(|&index| &infos[index]).collect();
                prop_assert!(is_good(&set, &wishes), "{:?}", set);
            }
            Err(error) => prop_assert_eq!(error.id(), "APKC005"),
        }
    }
}
