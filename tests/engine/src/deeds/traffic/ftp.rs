//! An FTP session, whose two connections are flows like any other.

use std::net::{IpAddr, SocketAddr};

use model::{Deadline, Exit, Finding, Result};
use vm::lab;

use super::HANDSHAKE;
use crate::ask;
use crate::attempt::Attempt;
use crate::forward::Look;
use crate::scenario::{Family, FlowPlan, FtpMode, FtpPlan, Proto, Side, Target};

/// The server's port, by which a helper is given to a connection.
const CONTROL_PORT: u16 = 21;
/// The first port that data connections are listened for on.
const FIRST_PORT: u16 = 8021;

/// Opens both connections; a finding, when what the router made of the announcement leads nowhere.
pub(crate) fn ftp(attempt: &mut Attempt<'_>, plan: &FtpPlan) -> Result<Option<Finding>> {
    if attempt.net.flows.count() == 0 {
        Look::set_up(attempt.router.guest)?;
    }
    let mode = match plan.mode {
        FtpMode::Active => lab::FtpMode::Active,
        FtpMode::Passive => lab::FtpMode::Passive,
    };
    let port = FIRST_PORT.saturating_add(u16::try_from(attempt.net.flows.count()).unwrap_or(0));
    let server = SocketAddr::new(attempt.net.plan.wan.ipv4.0.into(), CONTROL_PORT);
    let session = match attempt.net.lab.ftp(server, mode, port, Deadline::after(HANDSHAKE)) {
        Ok(session) => session,
        Err(failure) if failure.exit() == Exit::Failed => return Ok(Some(failure.finding().clone())),
        Err(failure) => return Err(failure),
    };
    let lab::Ftp { control, data, announced } = session;
    let (from, to) = match plan.mode {
        FtpMode::Active => (Side::Wan, Target::Router),
        FtpMode::Passive => (Side::Lan, Target::Host),
    };
    attempt.net.flows.add(&flow(&plan.control, Side::Lan, Target::Host), "", control, CONTROL_PORT, CONTROL_PORT);
    attempt.net.flows.add(&flow(&plan.data, from, to), "", data, port, announced.port());
    Ok(plan.announced.and_then(|expected| heard(expected, announced.ip())))
}

fn flow(name: &str, from: Side, to: Target) -> FlowPlan {
    FlowPlan {
        flow: name.into(),
        proto: Proto::Tcp,
        family: Family::Ipv4,
        from,
        to,
        port: None,
        listen: None,
        size: None,
        seen_from: None,
        hops: 1,
        echo: false,
        bytes: None,
    }
}

fn heard(expected: IpAddr, announced: IpAddr) -> Option<Finding> {
    if announced == expected {
        return None;
    }
    ask::broken(
        "PROOF018",
        format!("the data connection was announced at {announced}, and {expected} was expected"),
        "the router's FTP helper did not rewrite the line, or rewrote one that it had to leave alone".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_of_another_address_is_a_finding() {
        let (one, other) = (IpAddr::from([203, 0, 113, 1]), IpAddr::from([192, 168, 1, 2]));
        assert_eq!(heard(one, one), None);
        assert_eq!(heard(one, other).unwrap().id, "PROOF018");
    }
}
