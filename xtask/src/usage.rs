//! Reading the command line, with refusals in the voice of every other failure.

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use model::{Exit, Failure, Format, Result, Target};

use crate::cli::{Cli, Selection};

/// Targets that the stand-in can be built and booted for.
pub const TARGETS: &[&str] = &["x86/64"];

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Run a verb.
    Run(Box<Cli>),
    /// Print this text to stdout: help or version.
    Show(String),
}

/// Reads the words of a command line, the program's name first. No words at all ask for the short help.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if words.len() <= 1 {
        words.push("-h".into());
    }
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(Request::Run(Box::new(cli))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Request::Show(error.render().to_string()))
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// clap's message is "error: WHAT", then blocks of tips, usage and a pointer to the help.
fn refusal(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut blocks = text.split("\n\n").map(str::trim);
    let what = blocks.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let mut why = "the command line must match the verb's flags exactly".to_owned();
    let mut fix = Vec::new();
    for block in blocks {
        match block.split_once(':') {
            Some(("tip", tip)) => fix.extend(tip.split("\n  tip:").map(|tip| tip.trim().to_owned())),
            Some(("Usage", usage)) => why = format!("the usage is `{}`", usage.trim()),
            _ => {}
        }
    }
    fix.push("add --help to see the verb's flags with examples".into());
    Failure::new(Exit::Usage, "USE001", what, why, fix.join("\n"))
}

/// The target that was asked for; an unknown one names the nearest that there is.
pub fn target(selection: &Selection) -> Result<Target> {
    let asked = selection.target.as_str();
    let unknown = |why: String| {
        let nearest = TARGETS
            .iter()
            .max_by(|one, other| strsim::jaro(one, asked).total_cmp(&strsim::jaro(other, asked)))
            .copied()
            .unwrap_or_default();
        Failure::new(
            Exit::Usage,
            "USE002",
            format!("unknown target `{asked}`"),
            why,
            format!("the nearest is `--target {nearest}`; there are: {}", TARGETS.join(", ")),
        )
    };
    let target: Target = asked.parse().map_err(|error: model::UnknownTarget| unknown(error.to_string()))?;
    if selection.openwrt.release.is_some() {
        // Which targets a release has is the matrix's to say.
        return Ok(target);
    }
    if TARGETS.contains(&asked) { Ok(target) } else { Err(unknown("no machine is described for it".into())) }
}

/// The target of what is done with the stand-in only.
pub fn stand_in_target(selection: &Selection) -> Result<Target> {
    match &selection.openwrt.release {
        None => target(selection),
        Some(release) => Err(Failure::new(
            Exit::Usage,
            "USE003",
            format!("this is done with the stand-in, and OpenWrt {release} was asked for"),
            "`ci` checks this source tree, and `bench offload` measures with a guest of its own",
            "leave --release away, or use it with `build`, `lint`, `feed`, `boot` and `test`",
        )),
    }
}

/// Several kernels where one is worked on at a time.
pub fn one_kernel(asked: usize) -> Failure {
    Failure::new(
        Exit::Usage,
        "USE004",
        format!("{asked} kernels were asked for, and this is done for one at a time"),
        "only `test` runs on several kernels in one go, and a release has one of its own",
        "give one line with --kernel: 6.1, 6.12 or newest; with --release none",
    )
}

/// The formats that were asked for, each once and always in the same order.
pub fn formats(selection: &Selection) -> Vec<Format> {
    Format::ALL.into_iter().filter(|format| selection.formats.contains(format)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Verb;
    use clap::CommandFactory;

    fn read(line: &str) -> Result<Request> {
        parse(std::iter::once("xtask").chain(line.split_whitespace()).map(OsString::from))
    }

    fn refused(line: &str) -> Failure {
        read(line).unwrap_err()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_words_and_help_show_the_verbs_with_examples() {
        for line in ["", "--help"] {
            let Ok(Request::Show(text)) = read(line) else { panic!("{line:?}") };
            assert!(text.contains("cargo xtask test --install-deps") && text.contains("Exit codes"), "{text}");
        }
    }

    #[test]
    fn global_flags_may_follow_the_verb() {
        let Ok(Request::Run(cli)) = read("test -v --message-format json --junit r.xml --offline") else { panic!() };
        assert_eq!((cli.global.verbose, cli.verb.word()), (1, "test"));
        assert!(cli.global.offline);
        let reports = cli.verb.reports().unwrap();
        assert_eq!(reports.junit.as_ref().map(|path| path.as_str()), Some("r.xml"));
    }

    #[test]
    fn serve_takes_an_address_or_none() {
        for (line, address) in [("feed --serve", "127.0.0.1:8080"), ("feed --serve 127.0.0.1:0", "127.0.0.1:0")] {
            let Ok(Request::Run(cli)) = read(line) else { panic!("{line}") };
            let Verb::Feed(args) = cli.verb else { panic!("{line}") };
            assert_eq!(args.serve.map(|address| address.to_string()).as_deref(), Some(address));
        }
        assert!(matches!(read("feed verify"), Ok(Request::Run(_))));
    }

    #[test]
    fn wrong_usage_says_what_why_and_fix_and_ends_with_2() {
        for (line, what, fix) in [
            ("tset", "tset", "test"),
            ("build --ofline", "--ofline", "--offline"),
            ("build --kernel 5.4", "5.4", "--help"),
            ("test --offline --install-deps", "--install-deps", "--help"),
            ("--verbose", "", "--help"),
        ] {
            let failure = refused(line);
            assert_eq!((failure.id(), failure.exit()), ("USE001", Exit::Usage), "{line}");
            let finding = failure.finding();
            assert!(finding.what.contains(what) && finding.fix.contains(fix), "{line}: {failure}");
            assert!(!finding.why.is_empty() && !finding.what.is_empty(), "{line}: {failure}");
        }
    }

    #[test]
    fn an_unknown_target_names_the_nearest() {
        let selection = |target: &str| Selection {
            target: target.into(),
            kernels: vec![crate::cli::Kernel::V6_12],
            formats: Vec::new(),
            debian_mirror: None,
            openwrt: Default::default(),
        };
        for text in ["x86/46", "x86", "ath79/generic", "../.."] {
            let failure = target(&selection(text)).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("USE002", Exit::Usage), "{text}");
            assert!(failure.finding().fix.contains("x86/64"), "{failure}");
        }
        assert_eq!(target(&selection("x86/64")).unwrap().slug(), "x86-64");
    }

    #[test]
    fn a_release_has_its_own_targets_and_some_verbs_have_none() {
        let selection = |line: &str| {
            let Request::Run(cli) = read(line).unwrap() else { panic!("not a run") };
            let Verb::Build(args) = cli.verb else { panic!("not build") };
            args.selection
        };
        let release = selection("build --release 25.12.5 --target malta/be --locked");
        assert_eq!(target(&release).unwrap().to_string(), "malta/be");
        let failure = stand_in_target(&release).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("USE003", Exit::Usage));
        assert_eq!(stand_in_target(&selection("build")).unwrap().to_string(), "x86/64");
        assert_eq!(one_kernel(2).id(), "USE004");
        for line in ["build --locked", "build --compare"] {
            assert_eq!(refused(line).id(), "USE001", "{line}");
        }
    }

    #[test]
    fn formats_are_a_set_and_both_unless_said_otherwise() {
        let asked = |words: &[&str]| {
            let words = ["xtask", "build"].iter().chain(words).map(OsString::from);
            let Request::Run(cli) = parse(words).unwrap() else { panic!("not a run") };
            let Verb::Build(args) = cli.verb else { panic!("not build") };
            formats(&args.selection)
        };
        let [ipk, apk] = Format::ALL;
        assert_eq!(asked(&[]), [ipk, apk]);
        assert_eq!(asked(&["--format", "apk,ipk"]), [ipk, apk]);
        assert_eq!(asked(&["--format", "apk", "--format", "apk"]), [apk]);
        assert_eq!(asked(&["--format=ipk"]), [ipk]);
        let refused = parse(["xtask", "build", "--format", "deb"].map(OsString::from)).unwrap_err();
        assert_eq!((refused.id(), refused.exit()), ("USE001", Exit::Usage));
    }
}
