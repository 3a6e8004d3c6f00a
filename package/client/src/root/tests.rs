//! File operations stay inside the root, whatever links there are.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

fn scratch() -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("root")).unwrap();
    let root = Root::open(&Utf8Path::from_path(folder.path()).unwrap().join("root")).unwrap();
    (folder, root)
}

fn put(root: &Root, path: &str) -> Result<()> {
    root.make_parents(path.into())?;
    root.write(path.into(), Access::root(0o640), false, &mut &b"text"[..])
}

#[test]
fn links_are_resolved_as_if_the_root_were_the_system() {
    let (folder, root) = scratch();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir_all(folder.path().join("root/usr/lib")).unwrap();
    let inside = |path: &str| folder.path().join("root").join(path);
    symlink("usr/lib", inside("lib")).unwrap();
    symlink("/usr/lib", inside("absolute")).unwrap();
    symlink("../../../../..", inside("up")).unwrap();
    symlink(&outside, inside("out")).unwrap();
    symlink("loop", inside("loop")).unwrap();

    put(&root, "/lib/one").unwrap();
    put(&root, "/absolute/two").unwrap();
    put(&root, "/up/three").unwrap();
    assert!(inside("usr/lib/one").is_file() && inside("usr/lib/two").is_file() && inside("three").is_file());
    assert_eq!(inside("usr/lib/one").metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    let error = put(&root, "/out/four").unwrap_err();
    assert_eq!(error.id(), "INST003", "the link leads to a folder that the root does not have");
    assert_eq!(put(&root, "/loop/five").unwrap_err().id(), "INST003");
    assert_eq!(put(&root, "/usr/lib/one/six").unwrap_err().id(), "INST003", "a file is no folder");
    assert_eq!(outside.read_dir().unwrap().count(), 0, "nothing was written outside");
    assert_eq!(root.canonical("/lib/one".into()), "/usr/lib/one");
    assert_eq!(root.canonical("/up/lib/new/two".into()), "/usr/lib/new/two");
    assert_eq!(root.kind("/lib".into()).unwrap(), Some(Kind::Link));
    assert_eq!(root.kind("/usr/lib/one".into()).unwrap(), Some(Kind::File));
    assert_eq!(root.kind("/nowhere/at/all".into()).unwrap(), None);
}

#[test]
fn what_is_remembered_does_not_lead_through_what_is_replaced() {
    type Change = fn(&Root);
    let changes: [(&str, Change); 4] = [
        ("a link", |root| root.link("/a".into(), "c").unwrap()),
        ("a file", |root| put(root, "/a").unwrap()),
        ("nothing", |root| assert!(root.remove_empty("/a".into()))),
        ("nothing, by another way", |root| assert!(root.remove_empty("/up/a".into()))),
    ];
    for (what, change) in changes {
        let (folder, root) = scratch();
        let root = root.remembering();
        let inside = |path: &str| folder.path().join("root").join(path);
        std::fs::create_dir_all(inside("c/b")).unwrap();
        symlink("../..", inside("up")).unwrap();
        put(&root, "/a/b/one").unwrap();
        assert!(root.remove("/a/b/one".into()).unwrap() && root.remove_empty("/a/b".into()), "{what}");
        // The cached folder is /a. It is moved with a system call, as no operation here could do.
        assert!(root.kind("/a/b".into()).unwrap().is_none());
        if inside("a").is_dir() && !what.starts_with("nothing") {
            std::fs::rename(inside("a"), inside("gone")).unwrap();
        }
        change(&root);
        assert_eq!(root.is_folder("/a".into()), what == "a link", "{what}");
        assert_eq!(root.is_folder("/a/b".into()), what == "a link", "{what}");
        assert_eq!(put(&root, "/a/b/two").is_ok(), what != "a file", "{what}");
    }
}

#[test]
fn a_link_in_place_of_a_file_is_replaced_and_not_followed() {
    let (folder, root) = scratch();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    symlink(folder.path().join("secret"), folder.path().join("root/etc")).unwrap();
    put(&root, "/etc").unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("secret")).unwrap(), "secret");
    assert_eq!(root.kind("/etc".into()).unwrap(), Some(Kind::File));
    root.link("/etc".into(), "/secret").unwrap();
    assert_eq!(root.kind("/etc".into()).unwrap(), Some(Kind::Link));
    assert!(root.open_file("/etc".into()).unwrap().is_none(), "the root has no /secret");
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_aside() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("torn"))
        }
    }
    let (folder, root) = scratch();
    put(&root, "/file").unwrap();
    let error = root.write("/file".into(), Access::root(0o644), true, &mut Broken).unwrap_err();
    assert!(error.id() == "INST003" && error.line().contains("torn"), "{}", error.line());
    assert_eq!(root.read("/file".into(), 10).unwrap().unwrap(), b"text");
    assert_eq!(folder.path().join("root").read_dir().unwrap().count(), 1);
    assert_eq!(root.read("/file".into(), 3).unwrap_err().id(), "INST024");
}

#[test]
fn only_missing_folders_are_made_and_only_empty_ones_removed() {
    let (_folder, root) = scratch();
    let made = root.make_parents("/a/b/c".into()).unwrap();
    assert_eq!(made, ["/a", "/a/b"]);
    assert!(root.make_parents("/a/b/c".into()).unwrap().is_empty());
    assert!(!root.remove_empty("/a".into()) && root.remove_empty("/a/b".into()));
    assert!(root.remove_empty("/a".into()));
    assert!(!root.remove("/a/b/c".into()).unwrap());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_mesh_of_links_leads_out(
        links in proptest::collection::vec(("[ab](/[ab]){0,1}", "OUT|(\\.\\./){1,3}outside|/?((\\.\\.|[ab])/){0,3}[ab]"), 1..6),
        path in "(/[ab]){1,4}",
        remembers in proptest::prelude::any::<bool>(),
    ) {
        let (folder, root) = scratch();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        for (place, target) in links {
            // Made with system calls, so that links are as wild as an attacker could make them.
            let place = folder.path().join("root").join(place);
            let _exists = std::fs::create_dir_all(place.parent().unwrap());
            if place.parent().unwrap().canonicalize().is_ok_and(|real| real.starts_with(root.path())) {
                let outside = folder.path().join("outside");
                let _exists = symlink(target.replace("OUT", outside.to_str().unwrap()), place);
            }
        }
        let path = Utf8Path::new(&path);
        let root = if remembers { root.remembering() } else { root };
        let _refused = put(&root, path.as_str());
        let _refused = root.link(path, "../../outside/link");
        let _refused = root.hard_link(&path.join("a"), path);
        let _refused = root.make_folder(&path.join("b"), Access::root(0o755));
        let _refused = root.remove(path);
        proptest::prop_assert_eq!(folder.path().join("outside").read_dir().unwrap().count(), 0);
        proptest::prop_assert_eq!(folder.path().read_dir().unwrap().count(), 2);
    }
}
