//! Facts about the machine, reported once per run: figures mean nothing without them.

use camino::Utf8Path;
use model::Events;

use crate::Ctx;

/// Prefix of the fact that names the packages which the cases of a kernel used; the kernel's line follows.
pub const PACKAGES: &str = "packages for ";
/// Name of the fact that tells whose SDK made the packages and whose routers ran them, where these are not the same.
pub const PROOF: &str = "proof";
/// Name of the fact that says which part of the scenarios ran.
pub const PART: &str = "part";

/// Reports the host's facts; unknown ones are left out.
pub fn host(ctx: &Ctx) {
    tell(&ctx.events, Utf8Path::new("/proc"), ctx.jobs.get());
}

fn tell(events: &Events, proc: &Utf8Path, jobs: usize) {
    let read = |path: &str| std::fs::read_to_string(proc.join(path)).unwrap_or_default();
    let processors = read("cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    if let Some((_colon, model)) = model {
        events.fact("host CPU", format!("{model} × {count}"));
    }
    let kernel = read("sys/kernel/osrelease");
    if !kernel.trim().is_empty() {
        events.fact("host kernel", kernel.trim());
    }
    events.fact("jobs", jobs.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Event;

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let proc = Utf8Path::from_path(folder.path()).unwrap();
        for (name, text) in files {
            let path = proc.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (sender, events) = std::sync::mpsc::channel();
        tell(&Events::to(sender), proc, 2);
        let fact = |event| match event {
            Event::Fact { name, value } => format!("{name}={value}"),
            other => panic!("{other:?}"),
        };
        events.try_iter().map(fact).collect()
    }

    #[test]
    fn the_host_is_named_and_what_it_hides_is_left_out() {
        let cpu = "processor\t: 0\nmodel name\t: A CPU @ 2.1 GHz\nprocessor\t: 1\nmodel name\t: A CPU @ 2.1 GHz\n";
        let all = told(&[("cpuinfo", cpu), ("sys/kernel/osrelease", "6.12.1\n")]);
        assert_eq!(all, ["host CPU=A CPU @ 2.1 GHz × 2", "host kernel=6.12.1", "jobs=2"]);
        assert_eq!(told(&[]), ["jobs=2"]);
    }
}
