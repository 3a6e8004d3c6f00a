//! The frame around a command's output, so that an answer is told from echo, prompt and kernel log.
//!
//! ```text
//! harness → guest   (words) >FILE 2>&1 </dev/null; vm_answer 5e6f 0007
//! guest → harness   …echo, prompt, kernel log…
//!                   5e6f0007 EXIT-CODE LENGTH
//!                   …LENGTH bytes of output, as the terminal changed them…
//!                   5e6f0007 end
//! ```
//!
//! The token is fresh for each command and sent in two words, so the echo of the command cannot look
//! like an answer. The length tells whether the kernel wrote into the middle of the output.

/// The shell functions that print a frame, one line each; `output` is the file that holds the output
/// of the last command. `vm_show` prints the last answer once more. An answer without output, as many are, starts no
/// process: under emulation two of them take as long as many a command.
pub(super) fn functions(output: &str) -> [String; 4] {
    [
        "vm_begin() { echo; echo \"$vm_token $vm_code $1\"; }".into(),
        format!("vm_body() {{ vm_begin $(wc -c <{output}); cat {output}; }}"),
        format!(
            "vm_show() {{ vm_token=$1$2; if [ -s {output} ]; then vm_body; else vm_begin 0; fi; echo; echo \"$vm_token end\"; }}"
        ),
        "vm_answer() { vm_code=$?; vm_show \"$@\"; }".into(),
    ]
}

/// A frame's fresh token, in the two words in which it is sent.
#[derive(Debug, Clone)]
pub(super) struct Token {
    first: String,
    second: String,
}

impl Token {
    pub(super) fn new(session: u32, command: u32) -> Token {
        Token { first: Token::session_word(session), second: format!("{command:04x}") }
    }

    /// The word that all frames of a session have in common.
    pub(super) fn session_word(session: u32) -> String {
        format!("{session:08x}")
    }

    /// As it is sent.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.first, self.second)
    }

    fn joined(&self) -> String {
        format!("{}{}", self.first, self.second)
    }
}

/// A complete frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Exit code of the command.
    pub(super) code: i32,
    /// Its output, or what is wrong with the frame.
    pub(super) body: Result<Vec<u8>, Garbled>,
    /// Lines that the kernel wrote before or into the answer.
    pub(super) noise: Vec<String>,
}

/// A frame whose body is not as long as it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled {
    pub(super) expected: usize,
    pub(super) got: usize,
}

/// Looks for one frame in bytes that arrive piece by piece.
pub(super) struct Search {
    header: Vec<u8>,
    end: Vec<u8>,
    bytes: Vec<u8>,
    /// Where to look for the next marker.
    from: usize,
    header_at: Option<usize>,
}

impl Search {
    pub(super) fn new(token: &Token) -> Search {
        let joined = token.joined();
        Search {
            header: format!("{joined} ").into_bytes(),
            end: format!("{joined} end").into_bytes(),
            bytes: Vec::new(),
            from: 0,
            header_at: None,
        }
    }

    /// Takes bytes up; a frame once its end has arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Frame> {
        self.bytes.extend_from_slice(bytes);
        if self.header_at.is_none() {
            self.header_at = self.find(&self.header.clone());
            self.from = match self.header_at {
                Some(at) => at + 1,
                None => self.bytes.len().saturating_sub(self.header.len()),
            };
        }
        let header_at = self.header_at?;
        let Some(end_at) = self.find(&self.end.clone()) else {
            self.from = self.bytes.len().saturating_sub(self.end.len()).max(header_at + 1);
            return None;
        };
        Some(self.frame(header_at, end_at))
    }

    /// What has arrived outside of the frame so far.
    pub(super) fn outside(&self) -> &[u8] {
        &self.bytes[..self.header_at.unwrap_or(self.bytes.len())]
    }

    fn find(&self, marker: &[u8]) -> Option<usize> {
        let tail = self.bytes.get(self.from..)?;
        tail.windows(marker.len()).position(|window| window == marker).map(|at| at + self.from)
    }

    fn frame(&self, header_at: usize, end_at: usize) -> Frame {
        let mut noise = kernel_lines(self.outside());
        let inside = &self.bytes[header_at + self.header.len()..end_at];
        let line_end = inside.iter().position(|&byte| byte == b'\n').unwrap_or(inside.len());
        let (head, raw) = inside.split_at(line_end);
        let (code, length) = match header_numbers(head) {
            Some(numbers) => numbers,
            None => return Frame { code: 0, body: Err(Garbled { expected: 0, got: inside.len() }), noise },
        };
        // One line end belongs to the header and one to the end marker.
        let raw = raw.strip_prefix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        Frame { code, body: restore(raw, length, &mut noise), noise }
    }
}

fn header_numbers(head: &[u8]) -> Option<(i32, usize)> {
    let mut words = std::str::from_utf8(head).ok()?.split_ascii_whitespace();
    let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(numbers)
}

/// Undoes what the terminal and the kernel log did to `length` bytes of output.
fn restore(raw: &[u8], length: usize, noise: &mut Vec<String>) -> Result<Vec<u8>, Garbled> {
    if raw.len() == length {
        return Ok(raw.to_vec());
    }
    let plain = without_line_end_changes(raw);
    if plain.len() == length {
        return Ok(plain);
    }
    let (quiet, lines) = without_kernel_lines(&plain);
    if quiet.len() == length {
        noise.extend(lines);
        return Ok(quiet);
    }
    Err(Garbled { expected: length, got: plain.len() })
}

/// A terminal puts a carriage return before each line feed (`onlcr`, termios(3)): exactly one each.
fn without_line_end_changes(raw: &[u8]) -> Vec<u8> {
    let followed = raw.iter().zip(raw.iter().skip(1).chain([&0]));
    followed.filter(|&(&byte, &next)| !(byte == b'\r' && next == b'\n')).map(|(&byte, _)| byte).collect()
}

/// Cuts kernel log lines out, wherever in a line they begin.
fn without_kernel_lines(bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
    let (mut rest, mut quiet, mut lines) = (bytes, Vec::with_capacity(bytes.len()), Vec::new());
    while let Some(&byte) = rest.first() {
        if byte == b'[' && is_kernel_line(rest) {
            let length = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
            lines.push(String::from_utf8_lossy(&rest[..length]).trim_end().to_owned());
            rest = &rest[length..];
        } else {
            quiet.push(byte);
            rest = &rest[1..];
        }
    }
    (quiet, lines)
}

/// The lines of a console text that the kernel wrote.
pub(super) fn kernel_lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|&byte| byte == b'\n');
    lines.filter(|line| is_kernel_line(line)).map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
}

/// Whether this begins like `[   12.345678] text` (`CONFIG_PRINTK_TIME`).
fn is_kernel_line(line: &[u8]) -> bool {
    let stamp = || {
        let inside = line.strip_prefix(b"[")?;
        let close = inside.iter().take(24).position(|&byte| byte == b']')?;
        let text = std::str::from_utf8(&inside[..close]).ok()?;
        let (seconds, micros) = text.trim_start().split_once('.')?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        (digits(seconds) && digits(micros) && micros.len() == 6).then_some(())
    };
    stamp().is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> Token {
        Token::new(0x5e6f, 7)
    }

    /// What a terminal makes of the frame of a guest.
    fn on_the_wire(before: &str, code: i32, output: &[u8]) -> Vec<u8> {
        let token = token().joined();
        let mut bytes = format!("{before}\n{token} {code} {}\n", output.len()).into_bytes();
        bytes.extend_from_slice(output);
        bytes.extend_from_slice(format!("\n{token} end\n").as_bytes());
        bytes.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', b'\n'] } else { vec![byte] }).collect()
    }

    fn search(bytes: &[u8]) -> Option<Frame> {
        Search::new(&token()).push(bytes)
    }

    #[test]
    fn code_length_and_output_come_back() {
        let frame = search(&on_the_wire("# ", 3, b"one\ntwo")).unwrap();
        assert_eq!(frame, Frame { code: 3, body: Ok(b"one\ntwo".to_vec()), noise: vec![] });
        assert_eq!(search(&on_the_wire("", 0, b"")).unwrap().body, Ok(vec![]));
    }

    #[test]
    fn the_echo_of_the_command_is_no_answer() {
        let echo = format!("# (true) >/tmp/output 2>&1; vm_answer {}\r\n", token().words());
        assert_eq!(search(echo.as_bytes()), None);
        assert!(search(&on_the_wire(&echo, 0, b"x")).is_some());
        // Nor is the answer to an earlier command.
        let stale = on_the_wire("", 0, b"old");
        assert_eq!(Search::new(&Token::new(0x5e6f, 8)).push(&stale), None);
    }

    #[test]
    fn kernel_lines_are_kept_apart_wherever_they_fall() {
        let line = "[    1.000002] IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready";
        let frame = search(&on_the_wire(&format!("# \n{line}\n"), 0, b"out")).unwrap();
        assert_eq!((frame.body, frame.noise), (Ok(b"out".to_vec()), vec![line.to_string()]));

        let mut wire = on_the_wire("", 0, b"first half, second half\n");
        let middle = wire.windows(6).position(|window| window == b"second").unwrap();
        wire.splice(middle..middle, format!("{line}\r\n").into_bytes());
        let frame = search(&wire).unwrap();
        assert_eq!(frame.body, Ok(b"first half, second half\n".to_vec()));
        assert_eq!(frame.noise, [line]);
    }

    #[test]
    fn output_that_looks_like_a_kernel_line_stays_output() {
        let log = b"[    1.000002] a\n[x] b\n[1.5] c\n";
        let frame = search(&on_the_wire("", 0, log)).unwrap();
        assert_eq!((frame.body, frame.noise.len()), (Ok(log.to_vec()), 0));
    }

    #[test]
    fn a_damaged_frame_says_so() {
        let mut wire = on_the_wire("", 0, b"payload");
        let at = wire.windows(7).position(|window| window == b"payload").unwrap();
        wire.remove(at);
        assert_eq!(search(&wire).unwrap().body, Err(Garbled { expected: 7, got: 6 }));
        let wire = String::from_utf8(on_the_wire("", 0, b"p")).unwrap().replace(" 0 1\r", " 0 x1\r");
        assert!(search(wire.as_bytes()).unwrap().body.is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_survive_in_any_pieces(output in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..40) {
            let wire = on_the_wire("# ", 1, &output);
            let mut search = Search::new(&token());
            let mut frame = None;
            for part in wire.chunks(piece) {
                frame = frame.or(search.push(part));
            }
            prop_assert_eq!(frame.unwrap().body.unwrap(), output);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut wire = on_the_wire("", 0, b"x");
            wire.splice(5..5, bytes.iter().copied());
            let _any = search(&wire);
            let _any = kernel_lines(&bytes);
        }
    }
}
