//! The whole life of a package, and traffic through a device that a module makes: fixtures with scenarios of their own.

use crate::place::{Place, sources};
use crate::run::{Run, SLOW};

#[track_caller]
fn passes(fixture: &str, passed: &str) {
    let place = Place::warm();
    let folder = sources().join("tests/fixtures").join(fixture);
    let (recipes, scenarios) = (folder.join("recipes"), folder.join("scenarios"));
    let words = ["test", "--recipes", recipes.as_str(), "--scenarios", scenarios.as_str(), "--accel", "tcg"];
    let ran = Run::in_users_cache(&place, &words).ends_within(10 * SLOW);
    ran.fine();
    assert!(ran.err.contains(&format!("ok: {passed}, 0 failed, 0 blocked, 0 skipped")), "{}", ran.err);
}

#[test]
fn packages_clash_upgrade_downgrade_and_go_with_both_managers() {
    passes("package-life", "8 passed");
}

/// Besides its scenario, the kmod is tried as every kmod is.
#[test]
fn traffic_goes_through_a_tunnel_that_a_module_makes() {
    passes("tunnel", "2 passed");
}
