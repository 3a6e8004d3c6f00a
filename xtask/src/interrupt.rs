//! Ctrl-C and SIGTERM: the first asks the run to end tidily, the second ends it at once.

use model::{Cancel, Exit, Failure, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Starts a thread that turns signals into [`Cancel`]. The second signal needs no care for children: they are tied to
/// this process and end with it.
pub fn listen(cancel: &Cancel) -> Result<()> {
    let refused = |error: std::io::Error| Failure::io("listen for signals", "this process", &error);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
    let cancel = cancel.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _signal in signals.forever() {
                if cancel.is_cancelled() {
                    std::process::exit(Exit::Interrupted.code().into());
                }
                cancel.cancel();
            }
        })
        .map_err(refused)?;
    Ok(())
}
