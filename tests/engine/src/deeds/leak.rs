//! Whether the kernel's memory grows with every load of a module.
//!
//! The modules are unloaded and loaded in batches, and after each batch everything is looked at that the kernel counts by
//! itself, with caches dropped and slabs flushed: objects in each slab cache (`/proc/slabinfo`, or all of them together
//! where the kernel does not list them), pages in `vmalloc` areas, memory for each processor, and free pages. What grows
//! with every batch by nearly as much as there were loads is lost. Where the kernel has kmemleak, that is asked besides.
//! What a module loses only while it is used is not seen by this.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Check, CheckKind, Deadline, Exit, Failure, Finding, Problem, Result};

use crate::ask;
use crate::attempt::Attempt;
use crate::scenario::NoLeak;

/// Loads in a batch.
const TIMES: u64 = 15;

/// Batches that are compared, after one that fills whatever is kept for the next load.
const BATCHES: usize = 3;

/// How much of a batch's loads a figure must grow by, each time: others free things meanwhile.
const SHARE: f64 = 0.8;

/// Sixty loads on an emulated router, while others compile.
const LIMIT: Duration = Duration::from_secs(600);

/// `leaks TIMES BATCHES NAME…`: the modules are loaded when it begins and when it ends. As busybox and OpenWrt have it.
const SCRIPT: &str = r#"
same() { echo "$1" | tr - _; }
file_of() {
	for file in /lib/modules/$(uname -r)/*.ko; do
		base=${file##*/}
		[ "$(same "${base%.ko}")" != "$1" ] || { echo "$file"; return; }
	done
	echo "no file of /lib/modules/$(uname -r) is the module $1"
	return 1
}
gone() {
	for name in $order; do
		try=0
		until rmmod "$name" 2>/dev/null; do
			try=$((try + 1))
			[ $try -lt 100 ] || { echo "$name is in use"; rmmod "$name"; return 1; }
		done
	done
}
back() {
	for file in $files; do insmod "$file" || return; done
}
batch() {
	count=0
	while [ $count -lt $times ]; do
		back && gone || return
		count=$((count + 1))
	done
}
look() {
	echo 3 >/proc/sys/vm/drop_caches
	for shrink in /sys/kernel/slab/*/shrink; do [ ! -w $shrink ] || echo 1 >$shrink 2>/dev/null; done
	echo "= look"
	awk '$1 == "MemFree:" || $1 == "Percpu:" || $1 == "SUnreclaim:" { print "= " $1, $2 }' /proc/meminfo
	[ ! -r /proc/slabinfo ] || awk 'NR > 2 { print "= slab:" $1, $2 }' /proc/slabinfo
	[ ! -r /proc/vmallocinfo ] || awk '{ bytes += $2 } END { print "= vmalloc:", int(bytes / 1024) }' /proc/vmallocinfo
}
leaks() {
	times=$1 batches=$2
	shift 2
	order=
	# The newest comes first, and nothing needs it.
	for name in $(cut -d ' ' -f 1 /proc/modules); do
		for wanted in "$@"; do [ "$(same "$wanted")" != "$name" ] || order="$order $name"; done
	done
	[ $(echo $order | wc -w) = $# ] || { echo "not all of $* are loaded"; return 1; }
	files=
	for name in $order; do
		file=$(file_of "$name") || { echo "$file"; return 1; }
		files="$file $files"
	done
	debug=/sys/kernel/debug
	[ -e $debug/kmemleak ] || mount -t debugfs debugfs $debug 2>/dev/null
	gone && batch || return
	[ ! -w $debug/kmemleak ] || { echo scan >$debug/kmemleak; echo clear >$debug/kmemleak; echo "= kmemleak"; }
	look
	while [ $batches -gt 0 ]; do
		batch || return
		look
		batches=$((batches - 1))
	done
	if [ -w $debug/kmemleak ]; then
		echo scan >$debug/kmemleak
		echo scan >$debug/kmemleak
		sed 's/^/= lost: /' $debug/kmemleak
	fi
	back
}
"#;

/// The finding of a module that keeps memory, or that cannot be loaded again and again.
const LEAKS: &str = "STEP014";

/// Does it. `Ok(Some(_))`: something grows, or a module cannot be unloaded.
pub(crate) fn look(attempt: &mut Attempt<'_>, modules: &NoLeak, at: &str) -> Result<Option<Finding>> {
    let names: String = modules.0.iter().map(|name| format!(" '{name}'")).collect();
    let script = format!("{SCRIPT}\nleaks {TIMES} {BATCHES}{names} 2>&1");
    let output = attempt.router.guest.script(&script, Deadline::after(LIMIT))?;
    let text = output.text();
    let found = if output.success() {
        let looks = looks(&text);
        if looks.len() != BATCHES + 1 {
            return Err(unclear(&text));
        }
        grown(&looks, &text)
    } else {
        let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("= ")).collect();
        ask::broken(LEAKS, format!("{modules} could not be loaded and unloaded again and again"), said.join("\n"))
    };
    attempt.told.check(Check {
        at: at.into(),
        kind: CheckKind::Step,
        subject: format!("memory over {} loads of {modules}", TIMES * BATCHES as u64),
        expected: "nothing grows with them".into(),
        observed: found.as_ref().map_or("nothing grows with them".into(), |finding| finding.what.clone()),
        detail: looked_at(&text),
        holds: found.is_none(),
    });
    Ok(found)
}

/// The figures of each look, by name; free pages as those that are used.
fn looks(text: &str) -> Vec<BTreeMap<&str, f64>> {
    let mut looks: Vec<BTreeMap<&str, f64>> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("= ")) {
        if line == "look" {
            looks.push(BTreeMap::new());
        } else if let (Some((name, figure)), Some(look)) = (line.split_once(' '), looks.last_mut())
            && let Ok(figure) = figure.trim().parse::<f64>()
        {
            look.insert(name, if name == "MemFree:" { -figure } else { figure });
        }
    }
    looks
}

/// What was looked at, in words.
fn looked_at(text: &str) -> String {
    let looks = looks(text);
    let has = |part: &str| looks.first().is_some_and(|look| look.keys().any(|name| name.starts_with(part)));
    let caches = looks.first().map_or(0, |look| look.keys().filter(|name| name.starts_with("slab:")).count());
    let parts = [
        text.lines().any(|line| line == "= kmemleak").then(|| "kmemleak".to_owned()),
        (caches > 0).then(|| format!("{caches} slab caches")),
        (caches == 0 && has("SUnreclaim:")).then(|| "all slabs together".to_owned()),
        has("vmalloc:").then(|| "vmalloc areas".to_owned()),
        has("Percpu:").then(|| "memory for each processor".to_owned()),
        has("MemFree:").then(|| "free pages".to_owned()),
    ];
    format!("looked at {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// What grew in every batch, the surest first.
fn grown(looks: &[BTreeMap<&str, f64>], text: &str) -> Option<Finding> {
    let lost: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("= lost: ")).take(12).collect();
    if !lost.is_empty() {
        return ask::broken(LEAKS, "kmemleak found memory that nobody refers to".into(), lost.join("\n"));
    }
    let last = looks.last()?;
    let least = |name: &&str| {
        let deltas = looks.windows(2).map(|pair| pair[1].get(name).zip(pair[0].get(name)).map(|(new, old)| new - old));
        deltas.map(|delta| delta.unwrap_or_default()).fold(f64::INFINITY, f64::min)
    };
    // Pages come in fours of the kibibytes that are counted, and whoever takes some is seen in a slab or an area first.
    let caches = last.keys().any(|name| name.starts_with("slab:"));
    let enough = |name: &str| match name {
        "MemFree:" | "vmalloc:" | "Percpu:" => Some(4.0),
        "SUnreclaim:" if !caches => Some(4.0),
        "SUnreclaim:" => None,
        _ => Some(1.0),
    };
    let is_leak = |name: &&&str| enough(name).is_some_and(|each| least(name) >= each * TIMES as f64 * SHARE);
    let mut names: Vec<&str> = last.keys().filter(is_leak).copied().collect();
    names.sort_by_key(|name| (*name == "MemFree:", *name == "vmalloc:", *name == "Percpu:"));
    let name = names.first()?;
    let growth = least(name);
    let what = match name.strip_prefix("slab:") {
        Some(cache) => format!("the slab cache {cache} grows by {growth} objects with every {TIMES} loads"),
        None => {
            let part = match *name {
                "vmalloc:" => "the vmalloc areas grow",
                "SUnreclaim:" => "the kernel's slabs grow",
                "Percpu:" => "the memory for each processor grows",
                _ => "the memory in use grows",
            };
            format!("{part} by {growth} KiB with every {TIMES} loads")
        }
    };
    let figures = |name: &&str| {
        let figures = looks.iter().map(|look| look.get(name).map_or("?".into(), |figure| figure.abs().to_string()));
        format!("{} {}", name.trim_end_matches(':'), figures.collect::<Vec<_>>().join(" "))
    };
    let told: Vec<String> = names.iter().map(figures).collect();
    let fix = "free in the module's exit, or where its init fails, what its init takes; `cargo xtask test NAME --keep` leaves the router \
               running";
    let found = ask::broken(LEAKS, what, format!("after each batch there was:\n{}", told.join("\n")));
    found.map(|finding| Finding { fix: fix.into(), ..finding })
}

fn unclear(text: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "SCEN010",
        what: "the router did not say what its kernel's memory is used for",
        why: text,
        fix: "run the step by hand: `cargo xtask test NAME --keep`",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(looks: &[&[(&str, u64)]]) -> String {
        let look = |look: &&[(&str, u64)]| {
            let lines = look.iter().map(|(name, figure)| format!("= {name} {figure}\n"));
            format!("= look\n{}", lines.collect::<String>())
        };
        looks.iter().map(look).collect()
    }

    fn found(figures: &[(&str, [u64; 4])]) -> Option<Finding> {
        let looks: Vec<Vec<(&str, u64)>> =
            (0..4).map(|at| figures.iter().map(|(name, figures)| (*name, figures[at])).collect()).collect();
        let looks: Vec<&[(&str, u64)]> = looks.iter().map(Vec::as_slice).collect();
        let text = text(&looks);
        grown(&super::looks(&text), &text)
    }

    #[test]
    fn what_grows_with_every_batch_is_a_leak_and_what_comes_and_goes_is_none() {
        for (figures, word) in [
            (&[("slab:kmalloc-128", [900, 925, 950, 976])][..], "kmalloc-128 grows by 25 objects"),
            (&[("slab:a", [1, 1, 1, 1]), ("vmalloc:", [1000, 1200, 1400, 1600])], "vmalloc areas grow by 200 KiB"),
            (&[("slab:a", [1, 1, 1, 1]), ("MemFree:", [9000, 8900, 8800, 8700])], "memory in use grows by 100 KiB"),
            (&[("SUnreclaim:", [1000, 1100, 1200, 1300])], "slabs grow by 100 KiB"),
            (
                &[("slab:a", [1, 1, 1, 1]), ("Percpu:", [900, 960, 1020, 1080]), ("MemFree:", [900, 840, 780, 720])],
                "memory for each processor grows by 60 KiB",
            ),
            // The cache tells more than the pages that it takes.
            (&[("MemFree:", [9000, 8000, 7000, 6000]), ("slab:x", [0, 50, 100, 150])], "cache x grows by 50"),
        ] {
            let finding = found(figures).unwrap();
            assert_eq!(finding.id, "STEP014");
            assert!(finding.what.contains(word), "{}", finding.what);
        }
        for figures in [
            &[("slab:kmalloc-128", [900, 925, 950, 951])][..],
            &[("slab:dentry", [5000, 9000, 4000, 9000])],
            &[("MemFree:", [9000, 8900, 9100, 8000])],
            &[("slab:a", [1, 1, 1, 1]), ("SUnreclaim:", [1000, 1100, 1200, 1300])],
            &[("Percpu:", [900, 960, 1020, 1024])],
        ] {
            assert_eq!(found(figures), None, "{figures:?}");
        }
    }

    #[test]
    fn a_router_that_says_nothing_of_its_memory_is_no_verdict() {
        let failure = unclear("no such file");
        assert_eq!((failure.id(), failure.exit()), ("SCEN010", Exit::Blocked));
    }

    #[test]
    fn kmemleak_is_believed_and_what_was_looked_at_is_told() {
        let look: &[(&str, u64)] = &[("slab:a", 1), ("MemFree:", 2), ("vmalloc:", 3)];
        let looks = text(&[look; 4]);
        assert_eq!(looked_at(&looks), "looked at 1 slab caches, vmalloc areas, free pages");
        let with = format!("= kmemleak\n{looks}= lost: unreferenced object 0xffff (size 128):\n");
        assert_eq!(looked_at(&with), "looked at kmemleak, 1 slab caches, vmalloc areas, free pages");
        let finding = grown(&super::looks(&with), &with).unwrap();
        assert!(finding.why.contains("size 128"), "{finding:?}");
    }

    /// The script on a router whose programs write down what they are called with.
    fn script(modules: &str, words: &str) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        std::fs::create_dir_all(format!("{root}/lib/modules/6.1")).unwrap();
        for name in ["low-x", "top_y"] {
            std::fs::write(format!("{root}/lib/modules/6.1/{name}.ko"), "").unwrap();
        }
        std::fs::write(format!("{root}/modules"), modules).unwrap();
        let fakes = "uname() { echo 6.1; }\nlook() { echo look; }\nmount() { false; }\n\
            rmmod() { echo - $1; }\ninsmod() { echo + ${1##*/}; }\n";
        let script = format!("{SCRIPT}\n{fakes}leaks 1 1 {words}")
            .replace("/lib/modules", &format!("{root}/lib/modules"))
            .replace("/proc/modules", &format!("{root}/modules"))
            .replace("/sys/kernel/debug", &format!("{root}/debug"));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said.replace('\n', " ").replace(&root, ""))
    }

    #[test]
    fn modules_go_before_what_they_need_and_are_there_again_at_the_end() {
        let (done, said) = script("top_y 1 0 - Live\nlow_x 1 1 top_y Live\n", "low-x top-y");
        let turn = "+ low-x.ko + top_y.ko - top_y - low_x ";
        assert_eq!((done, said), (true, format!("- top_y - low_x {turn}look {turn}look + low-x.ko + top_y.ko ")));
        let (done, said) = script("low_x 1 0 - Live\n", "low-x top-y");
        assert!(!done && said.contains("not all of"), "{said}");
    }
}
