//! The program: reads the command line, runs one command, turns the outcome into an exit code.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use offloadctl::arguments::{self, Command, HELP};
use offloadctl::files::Files;
use offloadctl::finding::Stop;
use offloadctl::{flows, modules, report, status};

/// Exit code of everything that is not an answer; 0, 1 and 2 are answers of `status`.
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
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
    let files = Files::below("/");
    match arguments::parse(std::env::args_os().skip(1))? {
        Command::Help => out.write_all(HELP.as_bytes())?,
        Command::Version => writeln!(out, "offloadctl {}", env!("CARGO_PKG_VERSION"))?,
        Command::Status { json } => {
            let status = status::ask(&files)?;
            if json {
                report::status_json(out, &status)?
            } else {
                report::status_text(out, &status)?
            }
            return Ok(status.verdict.exit_code());
        }
        Command::Flows { json, paths } => {
            let source = flows::source(&files, &modules::survey(&files))?;
            let mut list = report::FlowList::new(out, json, source, flows::accounting(&files));
            flows::each(&files, source, |flow| if paths.contains(&flow.path) { list.flow(flow) } else { Ok(()) })?;
            list.end()?;
        }
    }
    Ok(0)
}
