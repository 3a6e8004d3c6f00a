//! `doctor`: shows what this machine has and lacks, and how routers will run on it.

use camino::Utf8Path;
use model::Result;

use crate::Outcome;
use crate::cli::DoctorArgs;
use crate::doctor::{self, Checked, Host, Need, Purpose};
use crate::{Ctx, pipeline, upstream};

/// Free space that the cache needs for a first run: Debian packages, unpacked kernel, a saved guest.
const SPACE: u64 = 3 << 30;

/// Shows every need; fails when one is not met, after installing it if the user asked for that.
pub fn run(ctx: &Ctx, args: &DoctorArgs) -> Result<Outcome> {
    let host = Host::this();
    let mut needs = doctor::needs(Purpose::Ci);
    if let Some(release) = &args.release {
        let row = upstream::matrix(ctx)?.row(release, &args.target)?;
        let of_release = doctor::openwrt_needs(row.host);
        // The tests' needs include some of the SDK's; the release's own version counts.
        needs.retain(|need| of_release.iter().all(|other| other.name != need.name));
        needs.extend(of_release);
        // Tests may build programs for another architecture.
        let programs = doctor::sdk_router_programs(&row.arch);
        needs.retain(|need| programs.iter().all(|other| other.name != need.name));
        needs.extend(programs);
        let emulator = pipeline::emulator(ctx, &row.target)?;
        needs.retain(|need| emulator.iter().all(|other| other.check != need.check));
        needs.extend(emulator);
    }
    if ctx.install_deps {
        doctor::require_all(ctx, &needs)?;
    }
    let checked = doctor::examine(ctx, &host, &needs)?;
    let mut lines: Vec<String> = checked.iter().map(shown).collect();
    lines.push(row(" ", "KVM", &kvm(Utf8Path::new("/dev/kvm"))));
    lines.push(modules(sdk::local::BuildRoot::may_enter(&ctx.cancel)));
    lines.push(space(&ctx.cache));
    for line in &lines {
        ctx.events.line("doctor", line.as_str());
    }
    if checked.iter().any(|checked| checked.found.is_err()) {
        let failure = doctor::lacks(&host, &checked);
        ctx.events.emit(model::Event::Finding(failure.finding().clone()));
        return Ok(Outcome { exit: failure.exit(), data: lines.join("\n") });
    }
    Ok(Outcome::done(lines.join("\n")))
}

fn shown(checked: &Checked) -> String {
    match &checked.found {
        Ok(found) => row("ok", checked.need.name, found),
        Err(problem) => {
            let Need { name, purpose, what_for, .. } = checked.need;
            row("MISSING", name, &format!("{problem}; it {what_for}, for `{}`", purpose.verb()))
        }
    }
}

fn row(word: &str, name: &str, text: &str) -> String {
    format!("{word:7}  {name:12}  {text}")
}

/// A device that can be opened may still hang guests, so this only says that booting will decide.
fn kvm(device: &Utf8Path) -> String {
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => format!("{device} opens; a probe guest decides at boot whether it is used"),
        Err(error) => format!("{device}: {error}; the router is emulated, which is slower"),
    }
}

/// A missing permission is no failure here, because only modules from source need it.
fn modules(allowed: Result<()>) -> String {
    match allowed {
        Ok(()) => row(
            "ok",
            "modules",
            "this user may compile kernel modules, in a build root of the kernel's Debian \
            suite",
        ),
        Err(failure) => {
            row(" ", "modules", &format!("none from source: {}; {}", failure.finding().what, failure.finding().fix))
        }
    }
}

fn space(cache: &Utf8Path) -> String {
    let existing = cache.ancestors().find(|folder| folder.is_dir()).unwrap_or(cache);
    match rustix::fs::statvfs(existing.as_std_path()) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let word = if free < SPACE { "LOW" } else { "ok" };
            row(word, "disk", &format!("{:.1} GiB free for {cache}, {} wanted", gib(free), gib(SPACE)))
        }
        Err(error) => row("LOW", "disk", &format!("{existing}: {error}")),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::{Event, Events};

    fn args(release: Option<&str>, target: &str) -> DoctorArgs {
        DoctorArgs { release: release.map(Into::into), target: target.into() }
    }

    #[test]
    fn every_need_and_the_machine_have_a_line() {
        let (sender, events) = std::sync::mpsc::channel();
        let ctx = ctx("/tmp/openwrt-offload-never-made".into(), Events::to(sender));
        let outcome = run(&ctx, &args(None, "x86/64")).unwrap();
        for name in doctor::NEEDS.iter().map(|need| need.name).chain(["KVM", "modules", "disk"]) {
            assert!(outcome.data.contains(name), "{name}\n{}", outcome.data);
        }
        assert!(outcome.data.contains("GiB free"));
        let missing = outcome.data.contains("MISSING");
        assert_eq!(missing, outcome.exit == model::Exit::Host);
        assert_eq!(missing, events.try_iter().any(|event| matches!(event, Event::Finding(_))));
        assert!(!ctx.cache.exists(), "looking changes nothing");
    }

    #[test]
    fn a_release_adds_what_its_sdk_needs() {
        let ctx = ctx("/tmp/openwrt-offload-never-made".into(), Events::discard());
        let shown = |release: Option<&str>| run(&ctx, &args(release, "armsr/armv8")).map(|outcome| outcome.data);
        let text = shown(Some("24.10")).unwrap();
        assert!(text.contains("the C compiler of the release's SDK") || text.contains("comes with aarch64"), "{text}");
        for part in ["ncurses", "QEMU for ARM", "Rust target", "cross linker"] {
            assert_eq!(text.lines().filter(|line| line.contains(part)).count(), 1, "{text}");
        }
        assert_eq!(shown(Some("17.01")).unwrap_err().exit(), model::Exit::Usage);
    }

    #[test]
    fn who_may_not_compile_modules_is_told_what_would_help() {
        assert!(modules(Ok(())).starts_with("ok"));
        let text = modules(Err(model::Failure::interrupted()));
        assert!(text.contains("none from source") && !text.starts_with("ok"), "{text}");
    }

    #[test]
    fn a_device_that_does_not_open_is_no_failure() {
        assert!(kvm(Utf8Path::new("/nowhere/kvm")).contains("emulated"));
        assert!(kvm(Utf8Path::new("/dev/null")).contains("probe guest"));
    }
}
