//! The program: reads the command line, runs one command, turns the outcome into an exit code.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use offloadctl::arguments::{self, Command, Form, Request};
use offloadctl::change::{Plan, Wish};
use offloadctl::conntrack::Path;
use offloadctl::devices::Devices;
use offloadctl::files::Files;
use offloadctl::finding::Stop;
use offloadctl::firewall::Firewall;
use offloadctl::list::{FlowList, Origin};
use offloadctl::status::Verdict;
use offloadctl::terminal::Keys;
use offloadctl::top::{Sort, Top};
use offloadctl::{answer, doctor, examination, explain, flows, include, inquiry, modules, report, status, watch};

/// Exit code of everything that is not an answer; 0, 1 and 2 are answers.
const FAILED: u8 = 3;
/// What is written at once: a list of 100,000 flows is more than 10 MB.
const OUTPUT_BYTES: usize = 64 * 1024;

fn main() -> ExitCode {
    let mut out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
    let outcome = run(&mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            // What was found so far comes before the message; where neither can be written, the exit code remains.
            let _ = out.flush();
            if let Some(finding) = stop.finding() {
                let _ = report::finding(&mut io::stderr().lock(), "Error", &finding);
            }
            ExitCode::from(FAILED)
        }
    }
}

fn run(out: &mut dyn Write) -> Result<u8, Stop> {
    let Request { root, command } = arguments::parse(std::env::args_os().skip(1))?;
    let files = Files::below(root);
    files.check()?;
    match command {
        Command::Help(text) => out.write_all(text.as_bytes())?,
        Command::Version => writeln!(out, "offloadctl {}", env!("CARGO_PKG_VERSION"))?,
        Command::Status { json } => {
            let status = status::ask(&files);
            let write = if json { report::status_json } else { report::status_text };
            write(out, &status)?;
            return Ok(status.verdict.exit_code());
        }
        Command::Flows { paths, sort, top, form: Form::Watch } => {
            let source = flows::source(&files, &modules::survey(&files))?;
            watch::run(&files, source, &paths, sort.unwrap_or(Sort::Bytes), top, out)?;
        }
        Command::Explain { question, json } => {
            let facts = inquiry::ask(&files, question)?;
            let explanation = explain::explain(&facts);
            let write = if json { answer::write_json } else { answer::write };
            write(out, &facts, &explanation)?;
            return Ok(explanation.exit_code());
        }
        Command::Doctor { json } => {
            let status = status::ask(&files);
            let conflicts = doctor::examine(&examination::look(&files, &status));
            let write = if json { examination::write_json } else { examination::write };
            write(out, &status.remarks, &conflicts)?;
            if status.verdict == Verdict::Unknown {
                return Ok(FAILED);
            }
            return Ok(u8::from(!conflicts.is_empty() || !status.remarks.is_empty()));
        }
        Command::Ruleset { hardware, devices, check } => {
            let known = Devices::read(&files);
            let (devices, notes) = match devices {
                Some(named) => include::corrected(&known, named),
                None => (include::devices(&known)?, Vec::new()),
            };
            for note in notes {
                let _ = writeln!(io::stderr(), "{note}");
            }
            if check && hardware && files.are_live() {
                include::check_hardware(&known, &devices, &files)?;
            }
            let text = include::text(&devices, hardware);
            if check && !include::check(&files, &text)? {
                // Said where it does not end up in a file of rules.
                let _ = writeln!(io::stderr(), "Not checked: nft was not found.");
            }
            out.write_all(text.as_bytes())?;
        }
        Command::Change { wish, dry_run } => change(&files, wish, dry_run, out)?,
        Command::Flows { paths, sort, top, form } => list_flows(&files, &paths, sort, top, form, out)?,
    }
    Ok(0)
}

fn list_flows(
    files: &Files,
    paths: &[Path],
    sort: Option<Sort>,
    most: usize,
    form: Form,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    let source = flows::source(files, &modules::survey(files))?;
    let (accounting, timestamps) = (flows::accounting(files), flows::timestamps(files));
    let mut list = FlowList::new(out, form == Form::Json, Origin { source, accounting, timestamps, sort });
    let Some(sort) = sort else {
        flows::each(files, source, paths, |flow| list.flow(flow))?;
        return Ok(list.end(None)?);
    };
    let mut top = Top::new(sort, most);
    flows::each(files, source, paths, |flow| {
        top.add(flow);
        Ok(())
    })?;
    let seen = top.seen();
    top.into_flows().try_for_each(|flow| list.flow(&flow))?;
    Ok(list.end(Some(seen))?)
}

fn change(files: &Files, wish: Wish, dry_run: bool, out: &mut dyn Write) -> Result<(), Stop> {
    let plan = Plan::make(files, wish)?;
    plan.diff(out)?;
    if dry_run {
        return Ok(());
    }
    let works = || if files.are_live() { status::follows(files, wish) } else { Ok(()) };
    if plan.is_empty() && works().is_ok() {
        return Ok(writeln!(out, "Nothing to change: flow offload is {}.", wish.name())?);
    }
    let firewall = Firewall::find(files)?;
    out.flush()?;
    if !firewall.is_loaded() {
        plan.write(files, &firewall)?;
        return Ok(writeln!(
            out,
            "{} has not loaded its rules, so nothing was reloaded. Once it does, flow offload is {}: service firewall start",
            firewall.name,
            wish.name()
        )?);
    }
    // While the keys are listened to, Ctrl-C does not end the program half way.
    let keys = Keys::listen();
    plan.apply(files, &firewall, works)?;
    drop(keys);
    Ok(writeln!(out, "{} was reloaded. Flow offload is {}.", firewall.name, wish.name())?)
}
