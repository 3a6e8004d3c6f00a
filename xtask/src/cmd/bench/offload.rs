//! `bench offload`: the cost of forwarding a packet on the router, with offload off and on.

use std::fmt::Write as _;

use model::Result;
use model::cost::{Clock, Costs, OF_HARDWARE};

use crate::cli::BenchOffloadArgs;
use crate::doctor::Purpose;
use crate::pipeline::{self, Job};
use crate::scratch::Scratch;
use crate::{Ctx, Outcome};

/// Measures, and shows the figures as tables.
pub(super) fn run(ctx: &Ctx, args: &BenchOffloadArgs) -> Result<Outcome> {
    let (job, stand_in) = Job::stand_in(ctx, &args.selection, Purpose::Test)?;
    job.require(ctx, Purpose::Test)?;
    let _scratch = Scratch::take()?;
    let measured = pipeline::bench(ctx, &job, &stand_in, args)?;
    Ok(Outcome::done(measured.iter().map(table).collect::<Vec<_>>().join("\n\n")))
}

/// One line for each kind of packet and path.
fn table(costs: &Costs) -> String {
    let unit = costs.clock.unit();
    let mut text = format!("{:<22} {:<9} {:>23} {:>8}", "packet", "offload", format!("{unit} a packet"), "of off");
    if costs.clock == Clock::Time {
        text.push_str(&format!(" {:>12}", "packets/s"));
    }
    for cost in &costs.costs {
        let share = costs.baseline(cost).map_or(1.0, |off| cost.forwarding.median / off.forwarding.median);
        let (packet, path, figure) = (cost.packet(), cost.path.word(), cost.forwarding.to_string());
        let _infallible = write!(text, "\n{packet:<22} {path:<9} {figure:>23} {:>6.1} %", share * 100.0);
        if costs.clock == Clock::Time {
            let _infallible = write!(text, " {:>12.0}", 1e9 / cost.whole.median);
        }
    }
    if costs.has_hardware() {
        let _infallible = write!(text, "\n{OF_HARDWARE}");
    } else if let Some(why) = &costs.no_hardware {
        let _infallible = write!(text, "\nhardware: no device of the guest can ({why})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::cost::{Cost, Path, Spread};

    fn cost(path: Path, forwarding: &[f64]) -> Cost {
        let whole: Vec<f64> = forwarding.iter().map(|figure| figure + 1000.0).collect();
        Cost {
            family: "ipv4".into(),
            proto: "udp".into(),
            payload: 64,
            path,
            packets: 20_000,
            rounds: forwarding.len(),
            forwarding: Spread::of(forwarding).unwrap(),
            whole: Spread::of(&whole).unwrap(),
        }
    }

    #[test]
    fn a_line_tells_the_packet_the_way_and_the_share() {
        let costs = Costs {
            kernel: String::new(),
            clock: Clock::Instructions,
            costs: vec![cost(Path::Off, &[7000.0, 7007.0, 6993.0]), cost(Path::Software, &[2100.0])],
            no_hardware: Some("Operation not supported".into()),
        };
        let expected = "\
packet                 offload     instructions a packet   of off
IPv4, UDP, 64 bytes    off                  7000 ±0.10 %  100.0 %
IPv4, UDP, 64 bytes    software             2100 ±0.00 %   30.0 %
hardware: no device of the guest can (Operation not supported)";
        assert_eq!(table(&costs), expected);
        let with_hardware = Costs { costs: vec![cost(Path::Hardware, &[700.0])], ..costs.clone() };
        assert!(
            table(&with_hardware).ends_with(&format!("700 ±0.00 %  100.0 %\n{OF_HARDWARE}")),
            "{}",
            table(&with_hardware)
        );
        let timed = Costs { clock: Clock::Time, no_hardware: None, ..costs };
        assert!(table(&timed).ends_with("30.0 %       322581"), "{}", table(&timed));
    }
}
