//! The feeds that a release publishes: what its image lacks comes from there, or is nowhere.

use formats::Format;

use super::release::MiniRelease;
use crate::place::Place;
use crate::run::SLOW;
use crate::small::{folder, package};

const SCENARIOS: [(&str, &str); 3] = [
    (
        "borrows",
        "needs: { programs: [rare-tool], packages: [rare-tool] }
steps: [{run: [rare-tool], says: [from rare-tool]}, {run: [rare-part], says: [from rare-part]}]",
    ),
    ("nowhere", "needs: { programs: [no-such-tool], packages: [no-such-tool] }\nsteps: [{run: [no-such-tool]}]"),
    (
        "needed",
        "steps: [{manager: update}, {manager: install, packages: [mine]}, {run: [rare-tool], says: [from rare-tool]}]",
    ),
];

#[test]
fn what_an_image_lacks_is_installed_from_the_releases_own_feeds() {
    let place = Place::warm_elsewhere();
    let scenarios = place.path("scenarios");
    std::fs::create_dir(&scenarios).unwrap();
    for (name, steps) in SCENARIOS {
        let text = format!("version: 1\ntitle: {name}\n{steps}\n");
        std::fs::write(scenarios.join(format!("{name}.yaml")), text).unwrap();
    }
    for format in [Format::Ipk, Format::Apk] {
        let release = MiniRelease::publish(&place, format);
        let rare = [package("rare-tool", &["libc", "rare-part"]), package("rare-part", &["libc"])];
        release.mirror.publish_packages(release.name(), "packages/x86_64/packages", format, &rare);
        let mine = folder(&place, &format!("mine-{format}"), &[package("mine", &["rare-tool"])], &[format]);
        let words = ["--scenarios", scenarios.as_str(), "--packages", mine.as_str(), "--boot-deadline", "600"];
        let names = SCENARIOS.map(|(name, _)| name);
        let ran = place.start(&[&release.test(&names)[..], &words].concat()).ends_within(6 * SLOW);
        ran.fine();
        let manager = format.manager();
        for (name, verdict) in [("borrows", "pass"), ("nowhere", "skip"), ("needed", "pass")] {
            assert!(ran.err.contains(&format!("{verdict}    {name}/{manager}")), "{name}: {}", ran.err);
        }
        let why = "lacks the program no-such-tool; its feeds have no no-such-tool: packages (not read: ";
        assert!(ran.err.contains(why), "{}", ran.err);
        assert!(ran.err.contains("installed rare-tool of its own feeds"), "{}", ran.err);

        // What nobody has is told before a scenario begins.
        let lost = folder(&place, &format!("lost-{format}"), &[package("lost", &["rare-tool", "nobody"])], &[format]);
        let words = ["--scenarios", scenarios.as_str(), "--packages", lost.as_str()];
        let ran = place.start(&[&release.test(&["borrows"])[..], &words].concat()).ends_within(6 * SLOW);
        ran.refused(1, "OWN008", &["lost needs nobody", "nor in the release's feeds: packages (not read: "]);

        // An index that was changed is not used.
        let index = if format == Format::Ipk { "Packages.gz" } else { "packages.adb" };
        release.mirror.publish_packages(release.name(), "packages/x86_64/luci", format, &[package("evil", &[])]);
        let [from, to] = ["luci", "packages"]
            .map(|feed| release.mirror.feed(release.name(), &format!("packages/x86_64/{feed}")).join(index));
        let mut bytes = std::fs::read(from).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(to, bytes).unwrap();
        let ran = place.start(&release.test(&["borrows"]).into_iter().chain(words).collect::<Vec<_>>());
        let ran = ran.ends_within(6 * SLOW);
        assert!(ran.err.contains("error[PUB00"), "{}", ran.err);
    }
}
