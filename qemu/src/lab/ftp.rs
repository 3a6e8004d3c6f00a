//! As much of FTP (RFC 959) as a router's helper looks at: the lines on the control connection that
//! announce a data connection, and that connection.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use model::{Deadline, Exit, Result};

use super::traffic::{End, Flow};
use super::{FlowHandle, Lab, Side, failures};

/// Who opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FtpMode {
    /// The server, to where the client says (`PORT`): needs the router's help when the client is hidden
    /// behind it.
    Active,
    /// The client, to where the server says (`PASV`).
    Passive,
}

/// A session: both connections are open, and carry payload like any flow.
#[derive(Debug)]
pub struct Ftp {
    /// From the LAN host to port 21 of the WAN host.
    pub control: FlowHandle,
    /// As announced on the control connection.
    pub data: FlowHandle,
    /// The address of the data connection as the other end heard it: after what the router made of it.
    pub announced: SocketAddr,
}

impl Lab {
    /// Logs the LAN host in at an FTP server on the WAN host and opens a data connection, for which
    /// `port` is used at the end that listens.
    ///
    /// Fails with `LAB014` when what arrives on the control connection announces no address
    /// that there is a way to, and as
    /// [`Lab::open`] for either connection.
    pub fn ftp(&self, server: SocketAddr, mode: FtpMode, port: u16, deadline: Deadline) -> Result<Ftp> {
        let control = Flow { seed: 21, ..Flow::tcp(Side::Lan, server) };
        let mut control = self.open(control, deadline)?;
        control.say(End::Far, "220 the lab is ready", deadline)?;
        // Linux's helper takes no first line: it looks only at lines behind one that it saw the end of.
        control.say(End::Near, "USER lab", deadline)?;
        control.say(End::Far, "230 welcome", deadline)?;
        let listener = |address| SocketAddr::new(address, port);
        let (from, heard) = match mode {
            FtpMode::Active => {
                let line = format!("PORT {}", written(listener(control.near().ip()))?);
                let heard = control.say(End::Near, &line, deadline)?;
                control.say(End::Far, "200 as you like", deadline)?;
                (Side::Wan, heard)
            }
            FtpMode::Passive => {
                control.say(End::Near, "PASV", deadline)?;
                let line = format!("227 Entering Passive Mode ({}).", written(listener(server.ip()))?);
                (Side::Lan, control.say(End::Far, &line, deadline)?)
            }
        };
        let announced = read(&heard).ok_or_else(|| failures::not_announced(&heard))?;
        let data = Flow { listen: Some(port), seed: 20, ..Flow::tcp(from, announced) };
        let data = self.open(data, deadline).map_err(|failure| match failure.exit() {
            // No way to such an address: the router let the client's own one pass.
            Exit::Usage => failures::not_announced(&heard),
            _ => failure,
        })?;
        Ok(Ftp { control, data, announced })
    }
}

/// Six numbers: the address and the port, byte by byte.
fn written(address: SocketAddr) -> Result<String> {
    let SocketAddr::V4(address) = address else {
        return Err(failures::bad_flow("PORT and PASV have room for an IPv4 address only"));
    };
    let bytes = [&address.ip().octets()[..], &address.port().to_be_bytes()].concat();
    Ok(bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(","))
}

/// The six numbers in a line, wherever they stand.
fn read(line: &str) -> Option<SocketAddr> {
    line.split([' ', '(', ')']).find_map(|word| {
        let numbers = word.split(',').map(str::parse).collect::<std::result::Result<Vec<u8>, _>>().ok()?;
        let [a, b, c, d, high, low] = numbers[..] else { return None };
        Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_six_numbers() {
        let address = SocketAddr::from(([203, 0, 113, 2], 50_021));
        assert_eq!(written(address).unwrap(), "203,0,113,2,195,101");
        assert_eq!(read("227 Entering Passive Mode (203,0,113,2,195,101)."), Some(address));
        assert_eq!(read("PORT 203,0,113,2,195,101"), Some(address));
        for bad in ["", "PORT", "PORT 1,2,3,4,5", "PORT 1,2,3,4,5,256", "PORT 1,2,3,4,5,6,7"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(written("[::1]:1".parse().unwrap()).unwrap_err().id(), "LAB005");
    }
}
