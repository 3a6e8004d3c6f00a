//! `enable` and `disable` on a made-up router: the file, the diff, the firewall's calls, and the way back.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use offloadctl::change::{Plan, Wish};
use offloadctl::files::Files;
use offloadctl::finding::Finding;
use offloadctl::firewall::Firewall;

const README: &str = include_str!("../README.md");

const CONFIG: &str = "\
config defaults
\toption syn_flood\t1
\toption input\t\tREJECT
\toption output\t\tACCEPT
\toption forward\t\tREJECT
# Uncomment this line to disable ipv6 rules
#\toption disable_ipv6\t1

config zone
\toption name\t\tlan
";

/// Writes each call into a file; a call fails when the file named after it holds a text that is in the configuration.
const FW4: &str = "\
#!/bin/sh
root=${0%/sbin/fw4}
echo \"$1\" >> \"$root/calls\"
echo \"told by fw4\"
if [ -e \"$root/fail-$1\" ] && grep -q -f \"$root/fail-$1\" \"$root/etc/config/firewall\"; then exit 1; fi
";

/// A root directory of one test.
struct Router {
    root: String,
}

impl Router {
    fn new(name: &str) -> Router {
        let router = Router { root: format!("{}/change-{name}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id()) };
        router.put("etc/config/firewall", CONFIG);
        router.put("sbin/fw4", FW4);
        router.put("var/run/fw4.state", "");
        fs::set_permissions(router.path("etc/config/firewall"), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(router.path("sbin/fw4"), Permissions::from_mode(0o755)).unwrap();
        router
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.rsplit_once('/').unwrap().0).unwrap();
        fs::write(path, text).unwrap();
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path("etc/config/firewall")).unwrap()
    }

    /// What the firewall was called with, in order.
    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(String::from).collect()
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_offloadctl")).args(["--root", &self.root]).args(words).output().unwrap()
    }

    /// Runs a command that succeeds, and returns what it printed.
    fn succeeds(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails, checks that the configuration is as before, and returns the message.
    fn fails(&self, words: &[&str]) -> String {
        let before = fs::read(self.path("etc/config/firewall")).ok();
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(fs::read(self.path("etc/config/firewall")).ok(), before);
        let text = String::from_utf8(output.stderr).unwrap();
        text[text.find("Error ").unwrap()..].to_owned()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[test]
fn a_firewall_that_is_not_loaded_is_not_reloaded() {
    let router = Router::new("down");
    fs::remove_file(router.path("var/run/fw4.state")).unwrap();
    router.put("etc/config/firewall", "config defaults\n\toption flow_offloading 1\n");
    // It fails with offload, whatever it is asked.
    router.put("fail-check", "flow_offloading 1");
    router.put("fail-reload", "");
    let text = router.succeeds(&["disable"]);
    assert!(text.contains("/sbin/fw4 has not loaded its rules") && text.contains("flow offload is off"), "{text}");
    assert_eq!(router.config(), "config defaults\n\toption flow_offloading '0'\n");
    assert_eq!(router.calls(), [""; 0]);
    // On it is turned only if the firewall would take it.
    router.put("fail-check", "flow_offloading '1'");
    assert!(router.fails(&["enable"]).starts_with("Error OCTL020: "));
    fs::remove_file(router.path("fail-check")).unwrap();
    assert!(router.succeeds(&["enable"]).contains("flow offload is on, in software: service firewall start"));
    assert_eq!(router.calls(), ["check", "check"]);
}

#[test]
fn what_the_firewall_does_not_understand_is_put_right() {
    let router = Router::new("invalid");
    router.put("etc/config/firewall", "config defaults\n\toption flow_offloading enabled\n");
    router.succeeds(&["disable"]);
    assert_eq!(router.config(), "config defaults\n\toption flow_offloading '0'\n");
    router.put(
        "etc/config/firewall",
        "config defaults 'd'\n\toption flow_offloading 0\nconfig defaults 'd'\n\toption flow_offloading 1\n",
    );
    router.succeeds(&["disable"]);
    assert!(router.config().ends_with("config defaults 'd'\n\toption flow_offloading '0'\n"), "{}", router.config());
}

#[test]
fn enable_adds_a_line_and_reloads() {
    let router = Router::new("enable");
    let text = router.succeeds(&["enable"]);
    assert!(README.contains(&format!("```text\n{text}```\n")), "not in README.md:\n{text}");
    assert_eq!(router.config(), CONFIG.replace("# Unc", "\toption flow_offloading '1'\n# Unc"));
    assert_eq!(router.calls(), ["check", "reload"]);
    let mode = fs::metadata(router.path("etc/config/firewall")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::read_dir(router.path("etc/config")).unwrap().count(), 1);

    assert_eq!(router.succeeds(&["enable"]), "Nothing to change: flow offload is on, in software.\n");
    assert_eq!(router.calls().len(), 2);
}

#[test]
fn hardware_and_back_again() {
    let router = Router::new("hardware");
    router.succeeds(&["enable", "--hw"]);
    let with = |offload, hardware| {
        let lines = format!("\toption flow_offloading '{offload}'\n\toption flow_offloading_hw '{hardware}'\n# Unc");
        CONFIG.replace("# Unc", &lines)
    };
    assert_eq!(router.config(), with(1, 1));
    router.succeeds(&["disable"]);
    assert_eq!(router.config(), with(0, 1));
    router.succeeds(&["enable"]);
    assert_eq!(router.config(), with(1, 0));
}

#[test]
fn a_dry_run_changes_nothing() {
    let router = Router::new("dry");
    let text = router.succeeds(&["enable", "--dry-run"]);
    assert!(text.starts_with("--- /etc/config/firewall\n+++ /etc/config/firewall\n@@ -3,6 +3,7 @@\n"), "{text}");
    assert!(text.contains("\n+\toption flow_offloading '1'\n"), "{text}");
    assert_eq!((router.config(), router.calls()), (CONFIG.into(), vec![]));
    assert_eq!(router.succeeds(&["disable", "--dry-run"]), "");
}

#[test]
fn a_configuration_without_the_section_gets_one() {
    let router = Router::new("section");
    router.put("etc/config/firewall", "config zone\n");
    router.succeeds(&["enable"]);
    assert_eq!(router.config(), "config zone\n\nconfig defaults\n\toption flow_offloading '1'\n");
}

#[test]
fn a_check_that_fails_leaves_the_running_firewall_alone() {
    let router = Router::new("check");
    router.put("fail-check", "flow_offloading '1'");
    let message = router.fails(&["enable"]);
    assert!(
        message.starts_with("Error OCTL020: ") && message.contains("OCTL019: '/sbin/fw4 check' failed"),
        "{message}"
    );
    assert_eq!(router.calls(), ["check"]);
}

#[test]
fn a_reload_that_fails_is_taken_back_and_loaded_again() {
    let router = Router::new("reload");
    router.put("fail-reload", "flow_offloading '1'");
    let message = router.fails(&["enable"]);
    assert!(message.starts_with("Error OCTL020: ") && message.contains("'/sbin/fw4 reload' failed"), "{message}");
    assert_eq!(router.calls(), ["check", "reload", "reload"]);
}

#[test]
fn a_way_back_that_fails_is_told() {
    let router = Router::new("back");
    router.put("fail-reload", "config defaults");
    let message = router.fails(&["enable"]);
    assert!(message.starts_with("Error OCTL021: ") && message.matches("OCTL019").count() == 2, "{message}");
}

#[test]
fn a_kernel_that_does_not_follow_is_a_failure() {
    let router = Router::new("kernel");
    let files = Files::below(&router.root);
    let plan = Plan::make(&files, Wish::Software).unwrap();
    let refuses = || Err(Finding::new("TEST", "no", "because", "pray"));
    let finding = plan.apply(&files, &Firewall::find(&files).unwrap(), refuses).unwrap_err();
    assert_eq!((finding.id, &finding.why[..], &finding.fix[..]), ("OCTL020", "TEST: no: because", "pray"));
    assert_eq!((router.config(), router.calls().len()), (CONFIG.into(), 3));
}

#[test]
fn a_file_that_changed_in_the_meantime_is_left_alone() {
    let router = Router::new("meantime");
    let files = Files::below(&router.root);
    let plan = Plan::make(&files, Wish::Software).unwrap();
    router.put("etc/config/firewall", "config zone\n");
    let finding = plan.apply(&files, &Firewall::find(&files).unwrap(), || Ok(())).unwrap_err();
    assert_eq!((finding.id, &router.config()[..]), ("OCTL017", "config zone\n"));
    assert!(router.calls().is_empty());
}

#[test]
fn two_at_once_do_not_meet() {
    let router = Router::new("lock");
    router.put("var/lock/offloadctl.lock", "");
    let held = File::open(router.path("var/lock/offloadctl.lock")).unwrap();
    held.lock().unwrap();
    assert!(router.fails(&["enable"]).starts_with("Error OCTL016: "));
    drop(held);
    router.succeeds(&["enable"]);
}

#[test]
fn what_cannot_be_changed_safely_is_not_changed() {
    type Spoil = fn(&Router);
    let cases: [(&str, &str, Spoil); 5] = [
        ("absent", "OCTL013", |router| fs::remove_file(router.path("etc/config/firewall")).unwrap()),
        ("wrong", "OCTL012", |router| router.put("etc/config/firewall", "config defaults\n\toptoin x\n")),
        ("uncommitted", "OCTL014", |router| router.put("tmp/.uci/firewall", "-firewall.x\n")),
        ("unwritable", "OCTL015", |router| router.put("etc/config/.firewall.offloadctl/in-the-way", "")),
        ("no-firewall", "OCTL018", |router| fs::remove_file(router.path("sbin/fw4")).unwrap()),
    ];
    for (name, id, spoil) in cases {
        let router = Router::new(name);
        spoil(&router);
        assert!(router.fails(&["enable"]).starts_with(&format!("Error {id}: ")), "{name}");
        assert!(router.calls().is_empty());
    }
}

#[test]
fn the_other_firewall_is_found_and_one_that_may_not_be_run_is_not() {
    let router = Router::new("other");
    fs::set_permissions(router.path("sbin/fw4"), Permissions::from_mode(0o644)).unwrap();
    router.put("etc/init.d/firewall", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(router.path("etc/init.d/firewall"), Permissions::from_mode(0o755)).unwrap();
    let text = router.succeeds(&["enable"]);
    assert!(text.ends_with("/etc/init.d/firewall was reloaded. Flow offload is on, in software.\n"), "{text}");
}
